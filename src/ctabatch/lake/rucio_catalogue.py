"""What a Rucio server knows: DIDs with size, checksum and metadata, datasets, and replicas.

Sizes and checksums are columns of Rucio's table of DIDs, our metadata are JSON beside it. One
search of Rucio can't use both and returns names only; the rest is asked for in bulk.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ctabatch.errors import UnknownDid
from ctabatch.lake.base import Replica
from ctabatch.lake.names import FIXED_KEYS
from ctabatch.lake.query import Query
from ctabatch.lake.rucio_filters import filters
from ctabatch.lake.rucio_session import BULK, CONNECTIONS, RucioSession, chunks, did_dict

#: Set on files that are ingested without metadata: metadata are what makes a file visible.
SHOWN = "ctabatch__shown"

#: So many DIDs are not worth a bulk call, which takes as long as four single ones to begin with.
_FEW = 8


class Entry(NamedTuple):
    """A DID of the catalogue; size and checksum mean something for files only."""

    did: str
    kind: str  #: ``FILE``, ``DATASET`` or ``CONTAINER``
    bytes: int
    adler32: str
    open: bool  #: whether a dataset takes more files
    metadata: dict[str, Any]
    shown: bool  #: whether searches find the file


class RucioCatalogue:
    """Bulk look-ups in a Rucio catalogue.

    Parameters
    ----------
    session : ctabatch.lake.rucio_session.RucioSession
        Connection.
    scopes : sequence of str
        Scopes that are searched.
    """

    def __init__(self, session: RucioSession, scopes: Sequence[str]):
        self.session = session
        self.scopes = tuple(dict.fromkeys(scopes))

    def search(self, query: Query) -> list[Entry]:
        """Return the files that match, those of an unfinished ingest excepted."""
        names = self._candidates(query)
        return [
            entry
            for entry in self.entries(names).values()
            if entry.kind == "FILE" and entry.shown and query.matches(entry.metadata)
        ]

    def _candidates(self, query: Query) -> list[str]:
        from rucio.common.exception import RucioException

        found = {}
        for scope in self.scopes:
            try:
                hits = self._list(scope, query, True)
            except RucioException:
                # A value of another type under one of the keys, in whatever scope: ask for less.
                hits = self._list(scope, query, False)
            found |= dict.fromkeys(f"{scope}:{name}" for name in hits)
        return list(found)

    def _list(self, scope: str, query: Query, typed: bool) -> list[str]:
        # Rucio heeds did_type only where no metadata are asked for; `search` looks at it again.
        options = {"did_type": "file"}
        if typed and query.keys:
            options["expected"] = ("InvalidMetadata", "DatabaseException", "RucioException")
        jobs = [("list_dids", (scope, piece), options) for piece in filters(query, typed=typed)]
        return [name for answer in self.session.in_bulk(jobs) for name in answer]

    def entries(self, dids: Iterable[str], *, metadata: bool = True) -> dict[str, Entry]:
        """Return the entries of those DIDs that exist, in the order of `dids`.

        Parameters
        ----------
        dids : iterable of str
            DIDs of any kind.
        metadata : bool
            Whether to ask for the metadata too; without, none is `shown`.
        """
        dids = list(dids)
        rows = self._few_rows(dids) if metadata and len(dids) <= _FEW else None
        if rows is None:
            rows = self._rows(dids, metadata)
        return {did: _entry(did, rows[did], metadata) for did in dids if did in rows}

    def _few_rows(self, dids: Sequence[str]) -> dict[str, dict] | None:
        """Ask for few DIDs one by one, which takes less than a bulk call; None if one is absent."""
        from rucio.common.exception import DataIdentifierNotFound

        options = {"plugin": "ALL", "expected": ("DataIdentifierNotFound",)}
        jobs = [("get_metadata", tuple(did_dict(did).values()), options) for did in dids]
        try:
            return dict(zip(dids, self.session.in_bulk(jobs), strict=True))
        except DataIdentifierNotFound:
            return None

    def _rows(self, dids: Sequence[str], metadata: bool) -> dict[str, dict]:
        # Columns are read in bulk, metadata row by row: these in shares for all connections.
        shares = {"DID_COLUMN": BULK}
        if metadata:
            shares["JSON"] = min(BULK, max(_FEW, math.ceil(len(dids) / CONNECTIONS)))
        jobs = [
            ("get_metadata_bulk", ([did_dict(did) for did in chunk],), {"plugin": plugin})
            for plugin, share in shares.items()
            for chunk in chunks(dids, share)
        ]
        rows: dict[str, dict] = {}
        for answer in self.session.in_bulk(jobs):
            for row in answer:
                rows.setdefault(f"{row['scope']}:{row['name']}", {}).update(row)
        # A DID that came between the two look-ups has no columns yet.
        return {did: row for did, row in rows.items() if "did_type" in row}

    def known(self, dids: Sequence[str], *, metadata: bool = False) -> dict[str, Entry]:
        """Return the entries of DIDs; an unknown one is an error that names it."""
        found = self.entries(dids, metadata=metadata)
        missing = [did for did in dids if did not in found]
        if missing:
            raise UnknownDid(missing)
        return found

    def content(self, collections: Sequence[str]) -> dict[str, Entry]:
        """Return the files of datasets and containers, each once."""
        jobs = [
            ("bulk_list_files", ([did_dict(did) for did in chunk],), {})
            for chunk in chunks(collections)
        ]
        return {
            did: Entry(did, "FILE", row["bytes"], row["adler32"], False, {}, False)
            for answer in self.session.in_bulk(jobs)
            for row in answer
            for did in [f"{row['scope']}:{row['name']}"]
        }

    def files(self, dids: Sequence[str]) -> dict[str, Entry]:
        """Return files, and the files of datasets, each once."""
        found = self.known(dids)
        result = {did: entry for did, entry in found.items() if entry.kind == "FILE"}
        collections = [did for did, entry in found.items() if entry.kind != "FILE"]
        return result | self.content(collections) if collections else result

    def replicas(self, dids: Sequence[str]) -> dict[str, list[Replica]]:
        """Return the complete copies of files, those on disk first."""
        jobs = [
            ("list_replicas", ([did_dict(did) for did in chunk],), {"all_states": True})
            for chunk in chunks(dids, BULK // 2)
        ]
        result: dict[str, list[Replica]] = {did: [] for did in dids}
        for answer in self.session.in_bulk(jobs):
            for row in answer:
                did = f"{row['scope']}:{row['name']}"
                result[did] = sorted(_replicas(did, row), key=lambda item: (item.tier, item.rse))
        return result

    def set_metadata(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        """Set metadata of DIDs that exist; each of the calls is one transaction."""
        rows = [{**did_dict(did), "meta": dict(meta)} for did, meta in updates.items() if meta]
        # Quarters of what is allowed: they run side by side.
        self.session.in_bulk(
            ("set_dids_metadata_bulk", (chunk,), {}) for chunk in chunks(rows, BULK // 4)
        )


def _entry(did: str, row: Mapping[str, Any], with_metadata: bool) -> Entry:
    metadata = {}
    if with_metadata:
        # Columns that a later version of Rucio adds are empty here.
        metadata = {
            key: _as_set(value)
            for key, value in row.items()
            if key not in FIXED_KEYS and value is not None
        }
    shown = bool(metadata)
    metadata.pop(SHOWN, None)
    size, checksum = row["bytes"] or 0, row["adler32"] or ""
    return Entry(did, row["did_type"], size, checksum, bool(row["is_open"]), metadata, shown)


def _as_set(value: Any) -> Any:
    # The client library makes times of text in this form, wherever it stands.
    return value.strftime("%a, %d %b %Y %H:%M:%S UTC") if isinstance(value, datetime) else value


def _replicas(did: str, row: Mapping[str, Any]) -> list[Replica]:
    """Choose for each storage element the address that it prefers."""
    best: dict[str, tuple[int, str, str]] = {}
    for uri, item in row["pfns"].items():
        if row["states"].get(item["rse"]) == "AVAILABLE":
            offer = (item.get("priority") or 0, uri, item["type"])
            best[item["rse"]] = min(best.get(item["rse"], offer), offer)
    return [
        Replica(did, rse, tier, uri, row["bytes"], row["adler32"])
        for rse, (_, uri, tier) in best.items()
    ]
