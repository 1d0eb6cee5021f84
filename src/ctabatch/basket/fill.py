"""Choose what goes into a basket: by DID or query, with the logs of what made it."""

import re
from collections.abc import Iterable
from typing import Any

from ctabatch.basket.state import known_files, may_see
from ctabatch.basket.store import DATA, LOG, Item, item_of
from ctabatch.errors import InputError, UnknownDid
from ctabatch.iam.identity import Identity
from ctabatch.lake.base import DataLake
from ctabatch.lake.frame import frame_records

#: Names of log files.
LOG_NAME = re.compile(r".*\.log(\.gz|\.txt)?")


def is_query(text: str) -> bool:
    """Tell a query from a DID."""
    return bool(set(text) & set("=<>"))


def find(lake: DataLake, person: Identity, what: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of files, each once.

    Parameters
    ----------
    lake : ctabatch.lake.base.DataLake
        Where to look.
    person : ctabatch.iam.identity.Identity
        Files that he may not see are left out of what a query finds, and unknown if named.
    what : iterable of str
        DIDs (of datasets: their files) and queries.

    Raises
    ------
    ctabatch.errors.UnknownDid
        A DID that is not there, or that this person may not see.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in what:
        if is_query(text):
            rows = [row for row in frame_records(lake.search(text)) if may_see(person, row)]
        else:
            rows = _of_did(lake, text)
            if hidden := [row["did"] for row in rows if not may_see(person, row)]:
                raise UnknownDid([text] if text not in hidden else hidden)
        found |= {row["did"]: row for row in rows}
    return list(found.values())


def _of_did(lake: DataLake, did: str) -> list[dict[str, Any]]:
    copies = {replica.did: replica for replica in lake.replicas([did])}
    if not copies:
        raise InputError(f"{did} has no file that can be read", allowed="a file or a dataset")
    known = known_files(lake, list(copies))
    return [
        known.get(name, {}) | {"did": name, "bytes": copy.bytes, "adler32": copy.adler32}
        for name, copy in copies.items()
    ]


def items(rows: Iterable[dict[str, Any]], lake_name: str, *, metadata: bool = False) -> list[Item]:
    """Make items of rows."""
    return [
        item_of(
            row,
            lake_name,
            kind=LOG if LOG_NAME.fullmatch(row["did"]) else DATA,
            metadata=metadata,
        )
        for row in rows
    ]


def logs_of(
    lake: DataLake, person: Identity, rows: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the logs that the activities left in the lake which made these files.

    They are files with the same ``activity__id`` whose name ends in ``.log``, ``.log.gz`` or
    ``.log.txt``.
    """
    activities = sorted({row["activity__id"] for row in rows if row.get("activity__id")})
    found: dict[str, dict[str, Any]] = {}
    for begin in range(0, len(activities), 50):
        part = activities[begin : begin + 50]
        query = " or ".join(f'activity__id = "{identity}"' for identity in part)
        for row in frame_records(lake.search(query)):
            if LOG_NAME.fullmatch(row["did"]) and may_see(person, row):
                found[row["did"]] = row
    return list(found.values())
