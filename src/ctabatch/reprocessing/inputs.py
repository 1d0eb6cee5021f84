"""What the jobs of a reprocessing read: DL0, models and IRFs from the lake, and metadata."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctabatch.errors import InputError, IntegrityError
from ctabatch.files import write_json
from ctabatch.irf.models import MODEL_FILES
from ctabatch.lake.base import DataLake
from ctabatch.lake.checksum import digest
from ctabatch.reprocessing.plan import chunk_of, observation_of

#: Name of the IRF beside the models.
IRF_FILE = "irf.fits.gz"


def fetch_dl0(lake: DataLake, plan: Mapping[str, Any], name: str, output: Path) -> None:
    """Copy a DL0 file of a plan from the disk of the lake, with the bytes that were planned.

    Raises
    ------
    ctabatch.errors.IntegrityError
        The lake has other bytes under this name than when the plan was made.
    """
    chunk = chunk_of(plan, name=name)
    _fetch(lake, chunk, output)


def fetch_models(lake: DataLake, plan: Mapping[str, Any], key: str, folder: Path) -> None:
    """Fetch an IRF and its models.

    Models are pickles, so that reading one runs its code: each must have the size and checksum that
    the catalogue had when the plan was made, and the SHA-256 that its production noted.
    """
    if key not in plan["irfs"]:
        raise InputError(f"the plan has no IRF {key!r}", allowed=", ".join(plan["irfs"]))
    for name, file in plan["irfs"][key]["files"].items():
        target = Path(folder) / MODEL_FILES.get(name, IRF_FILE)
        _fetch(lake, file, target)
        wanted = file.get("models__sha256")
        if not wanted and target.suffix == ".pkl":
            target.unlink()
            raise IntegrityError(
                f"{file['did']} has no models__sha256 in its metadata: a pickle is not read without",
                "report it to those who made the model",
            )
        if wanted and hashlib.sha256(target.read_bytes()).hexdigest() != wanted:
            target.unlink()
            raise IntegrityError(
                f"{file['did']} does not have the SHA-256 {wanted} of its metadata",
                "don't use it; report it to the operators of the data lake",
            )


def _fetch(lake: DataLake, file: Mapping[str, Any], target: Path) -> None:
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.parent / f".{target.name}.incoming"
    path = lake.fetch([file["did"]], work)[file["did"]]
    found = digest(path)
    if found != (file["bytes"], file["adler32"]):
        path.unlink()
        work.rmdir()
        raise IntegrityError(
            f"{file['did']} has {found.bytes} bytes with adler32 {found.adler32} now, planned were "
            f"{file['bytes']} with {file['adler32']}",
            "plan again",
        )
    path.replace(target)
    work.rmdir()


def write_observation(plan: Mapping[str, Any], key: str, output: Path, lineage: Path) -> None:
    """Write what DL3 production needs to know of an observation.

    Parameters
    ----------
    plan : mapping
        Content of ``plan.json``.
    key : str
        Of the observation.
    output : pathlib.Path
        JSON with the list of the flat metadata of its DL0 files.
    lineage : pathlib.Path
        JSON with the keys that say what the DL3 was made of.
    """
    item = observation_of(plan, key)
    files = plan["irfs"][item["irf"]]["files"]
    write_json(output, [chunk["metadata"] for chunk in item["chunks"]])
    content = {
        "dl3__request_digest": item["request_digest"],
        "dl3__irf": files["irf"]["did"],
        "dl3__irf_id": files["irf"].get("instance__id"),
        "dl3__irf_zenith_difference_deg": item["match"]["zenith_deg"],
        "dl3__irf_azimuth_difference_deg": item["match"]["azimuth_deg"],
        "dl3__models": " ".join(files[name]["did"] for name in MODEL_FILES),
        "dl3__models_ids": " ".join(str(files[name].get("instance__id")) for name in MODEL_FILES),
        **{f"software__{name}": value for name, value in plan["software"].items()},
    }
    write_json(lineage, {key: value for key, value in content.items() if value is not None})
