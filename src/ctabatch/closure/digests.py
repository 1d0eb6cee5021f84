"""What the products of a chain contain, as digests: equal for equal results, wherever the jobs ran."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ctabatch.closure.requests import key_of
from ctabatch.errors import BatchError, InputError
from ctabatch.files import read_json
from ctabatch.irf.product import content_digest
from ctabatch.lake.base import DataLake

#: What counts of the summary of an analysis: its numbers, not times, versions and file names.
NUMBERS = ("on_region", "best", "parameters", "integral_flux", "flux_points", "light_curve")


def digests_of(
    lake: DataLake, folder: Path, names: Mapping[str, str], dids: Mapping[int, str]
) -> dict[str, str]:
    """Compute the digests of IRF, DL3 and analyses.

    Parameters
    ----------
    lake : ctabatch.lake.base.DataLake
        Where the DL3 are.
    folder : pathlib.Path
        Results of the chain.
    names : mapping
        Names of the requests ``irf`` and ``analysis``; that of an analysis goes on with its seed.
    dids : mapping
        Seed to the DID of its DL3.

    Returns
    -------
    dict
        Product to the SHA-256 of its tables (IRF, DL3) or of its numbers (analysis).
    """
    found = {}
    for path in sorted((folder / "irf" / names["irf"]).glob("*.fits.gz")):
        found[f"IRF {path.name}"] = _tables(path)
    with TemporaryDirectory(prefix="ctabatch-") as name:
        lake.fetch(list(dids.values()), Path(name))
        for seed, did in dids.items():
            found[f"DL3 {key_of(seed)}"] = _tables(Path(name) / did.rsplit("/", 1)[1])
    for seed in dids:
        key = f"{names['analysis']}-{key_of(seed)}"
        summary = read_json(folder / "analysis" / key / "summary.json")
        text = json.dumps({name: summary[name] for name in NUMBERS}, sort_keys=True)
        found[f"analysis {key_of(seed)}"] = hashlib.sha256(text.encode()).hexdigest()
    return found


def _tables(path: Path) -> str:
    from astropy.io import fits

    with fits.open(path) as hdus:
        return content_digest(hdus)


def read_digests(path: Path) -> dict[str, str]:
    """Read the digests of an earlier chain.

    Raises
    ------
    ctabatch.errors.InputError
        The file is no ``summary.json`` of a closure test.
    """
    try:
        content: Any = read_json(path)["digests"]
    except (OSError, BatchError, ValueError, KeyError, TypeError):
        raise InputError(
            "has no digests", f"--compare: {path}", "summary.json of a closure test"
        ) from None
    return dict(content)


def differences(mine: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """List the products of `mine` that `other` has not, or with other content."""
    return [
        f"{name}: {'other content' if name in other else 'not there'}"
        for name, digest in mine.items()
        if other.get(name) != digest
    ]
