"""Put verified DL3 into the data lake, and note it with DL0 and older DL3."""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import batched
from pathlib import Path
from typing import Any

from ctao_datamodel.models.dataproducts.utils import dpps_filename

from ctabatch.checks import FAILED
from ctabatch.config.model import Configuration
from ctabatch.errors import ValidationFailed
from ctabatch.files import read_json, write_json
from ctabatch.irf.lookup import SUPERSEDED, VALID
from ctabatch.lake.base import DataLake, NewFile
from ctabatch.lake.frame import frame_records
from ctabatch.lake.metadata import new_file, read_sidecar
from ctabatch.reprocessing.plan import observation_of

_IDS_A_QUERY = 100


def ingest_observation(
    config: Configuration,
    lake: DataLake,
    plan: Mapping[str, Any],
    key: str,
    dl3: Path,
    verification: Path,
    output: Path,
) -> dict[str, Any]:
    """Ingest the DL3 of an observation, if it passed its checks, and note it.

    Raises
    ------
    ctabatch.errors.ValidationFailed
        A check failed, or the verification is of another file. Nothing is ingested.
    """
    item = observation_of(plan, key)
    _refuse_failed(read_json(verification), dl3)
    file = product_of(config, item, dl3)
    result = lake.ingest([file], rse=config.lake.default_rse)
    noted = record(lake, {file.did: item})
    content = {
        "observation": key,
        "did": file.did,
        "rse": config.lake.default_rse,
        "events": file.metadata["dl3__events"],
        "livetime_s": file.metadata["obs__livetime_s"],
        "registered": bool(result.registered),
        "superseded": noted["superseded"],
    }
    write_json(output, content)
    return content


def product_of(config: Configuration, item: Mapping[str, Any], dl3: Path) -> NewFile:
    """Describe a DL3 file for the lake; its name there has the first digits of its identity."""
    product = read_sidecar(dl3).product
    revision = "" if item["revision"] == 1 else f"-r{item['revision']}"
    suffix = f"_{item['request_digest'][:12]}{revision}.fits.gz"
    name = dpps_filename(product, suffix=suffix)
    return new_file(dl3, vo=config.lake.vo, scope=config.lake.scope, name=name)


def record(lake: DataLake, made: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Note with DL0 which DL3 came of it, and mark older DL3 of the same observations.

    Doing it again changes nothing.

    Parameters
    ----------
    lake : DataLake
        Where they are.
    made : mapping
        DID of a valid DL3 -> its observation in the plan.

    Returns
    -------
    dict
        ``superseded``: DIDs that were marked now.
    """
    updates: dict[str, dict[str, Any]] = {}
    rows = _valid_dl3(lake, [item["obs_id"] for item in made.values()])
    created = {row["did"]: str(row.get("creation_time", "")) for row in rows}
    superseded = []
    for did, item in made.items():
        site = item["conditions"]["site"]
        for row in rows:
            same = (row["instance__obs_id"], row["instance__site_id"]) == (item["obs_id"], site)
            older = created[row["did"]] < created.get(did, "")
            if same and row["did"] != did and older:
                updates[row["did"]] = {"dl3__status": SUPERSEDED, "dl3__superseded_by": did}
                superseded.append(row["did"])
    known = lake.metadata([chunk["did"] for item in made.values() for chunk in item["chunks"]])
    for did, item in made.items():
        for chunk in item["chunks"]:
            noted = str(known[chunk["did"]].get("dl0__dl3", "")).split()
            if did not in noted:
                updates[chunk["did"]] = {"dl0__dl3": " ".join([*noted, did])}
    if updates:
        lake.set_metadata(updates)
    return {"superseded": sorted(superseded)}


def _valid_dl3(lake: DataLake, ids: Iterable[int]) -> list[dict[str, Any]]:
    rows = []
    for some in batched(sorted(set(ids)), _IDS_A_QUERY):
        wanted = " or ".join(f"instance__obs_id = {obs_id}" for obs_id in some)
        rows += frame_records(
            lake.search(f"data__level = DL3 and dl3__status = {VALID} and ({wanted})")
        )
    return rows


def _refuse_failed(verification: Mapping[str, Any], dl3: Path) -> None:
    files = verification["files"]
    failed = [
        f"{check['name']}: {check['message']}"
        for item in files
        for check in item["checks"]
        if check["status"] == FAILED
    ]
    found = hashlib.sha256(Path(dl3).read_bytes()).hexdigest()
    if [item["sha256"] for item in files] != [found]:
        failed.append("the file that was verified is another one")
    if failed or not verification["passed"]:
        raise ValidationFailed(
            f"{dl3} is not ingested, a check failed: "
            f"{failed[0] if failed else 'see its verification'}",
            "see the file of its verification",
        )
