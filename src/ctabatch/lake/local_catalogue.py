"""Catalogue of the embedded lake: one SQLite file, safe for several processes at once.

The metadata of a file are kept as JSON, for output, and as rows of typed values, for searching.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tenacity import retry, retry_if_exception_message, stop_after_delay, wait_random

from ctabatch.errors import LakeError, UnknownDid
from ctabatch.lake.local_search import select
from ctabatch.lake.local_storage import explain
from ctabatch.lake.query import Query, attribute

_VERSION = 1

#: How long a writer waits for another one, in seconds.
_PATIENCE = 120

_SCHEMA = f"""
CREATE TABLE dids (
    id INTEGER PRIMARY KEY,
    did TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('file', 'dataset')),
    bytes INTEGER,
    adler32 TEXT,
    metadata TEXT NOT NULL DEFAULT '{{}}'
);
CREATE TABLE keys (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE attributes (
    did_id INTEGER NOT NULL REFERENCES dids,
    key_id INTEGER NOT NULL REFERENCES keys,
    text TEXT NOT NULL,
    number REAL,
    flag INTEGER,
    time INTEGER,
    PRIMARY KEY (did_id, key_id)
) WITHOUT ROWID;
CREATE INDEX attributes_text ON attributes (key_id, text);
CREATE INDEX attributes_number ON attributes (key_id, number) WHERE number IS NOT NULL;
CREATE INDEX attributes_flag ON attributes (key_id, flag) WHERE flag IS NOT NULL;
CREATE INDEX attributes_time ON attributes (key_id, time) WHERE time IS NOT NULL;
CREATE TABLE contents (
    dataset_id INTEGER NOT NULL REFERENCES dids,
    file_id INTEGER NOT NULL REFERENCES dids,
    PRIMARY KEY (dataset_id, file_id)
) WITHOUT ROWID;
CREATE TABLE replicas (
    did_id INTEGER NOT NULL REFERENCES dids,
    rse TEXT NOT NULL,
    permanent INTEGER NOT NULL,
    PRIMARY KEY (did_id, rse)
) WITHOUT ROWID;
CREATE TABLE requests (
    id TEXT PRIMARY KEY, rse TEXT NOT NULL, expires REAL NOT NULL, dids TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE request_files (
    did_id INTEGER NOT NULL REFERENCES dids,
    request_id TEXT NOT NULL REFERENCES requests ON DELETE CASCADE,
    PRIMARY KEY (did_id, request_id)
) WITHOUT ROWID;
CREATE INDEX request_files_request ON request_files (request_id);
PRAGMA user_version = {_VERSION};
"""


class Entry(NamedTuple):
    """A row of the catalogue; size and checksum are None for datasets."""

    id: int
    did: str
    kind: str
    bytes: int | None
    adler32: str | None


class Catalogue:
    """Access to the catalogue file.

    Parameters
    ----------
    path : pathlib.Path
        SQLite file; made, with its folder, by the first who writes.
    """

    def __init__(self, path: Path):
        self.path = path
        self._local = threading.local()

    @property
    def connection(self) -> sqlite3.Connection:
        """Connection of this thread and process; to an empty catalogue where there is none yet."""
        if self._held() or self.path.exists():
            return self._open()
        # Only a writer makes the lake: a search in the wrong folder shall leave no trace there.
        if not hasattr(self._local, "empty"):
            self._local.empty = sqlite3.connect(":memory:", isolation_level=None)
            self._make_schema(self._local.empty)
        return self._local.empty

    def _held(self) -> sqlite3.Connection | None:
        pid, connection = getattr(self._local, "held", (None, None))
        return connection if pid == os.getpid() else None  # never use a connection after a fork

    def _open(self) -> sqlite3.Connection:
        if not self._held():
            self._local.held = (os.getpid(), self._connect())
        return self._local.held[1]

    # Two processes that open a new catalogue at once: switching to WAL does not wait by itself.
    @retry(
        retry=retry_if_exception_message(match=".*locked.*"),
        stop=stop_after_delay(_PATIENCE),
        wait=wait_random(0.01, 0.1),
        reraise=True,
    )
    def _connect(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(error, "making the folder of the lake") from None
        try:
            connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._make_schema(connection)
        except sqlite3.Error as error:
            raise LakeError(f"catalogue {self.path} can't be opened: {error}") from None
        return connection

    def _make_schema(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        elif version != _VERSION:
            raise LakeError(
                f"catalogue {self.path} has version {version}, this program knows {_VERSION}"
            )

    @contextmanager
    def transaction(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open a transaction: a consistent view, or with `write` the only writer."""
        connection = self._open() if write else self.connection
        try:
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise LakeError(f"catalogue {self.path}: {error}") from None

    def entries(self, dids: Iterable[str]) -> dict[str, Entry]:
        """Return the entries of those DIDs that exist."""
        rows = self.connection.execute(
            "SELECT d.id, d.did, d.kind, d.bytes, d.adler32 FROM json_each(?) j"
            " JOIN dids d ON d.did = j.value",
            [json.dumps(list(dids))],
        )
        return {row[1]: Entry(*row) for row in rows}

    def known(self, dids: list[str]) -> dict[str, Entry]:
        """Return the entries of DIDs; an unknown one is an error that names it."""
        found = self.entries(dids)
        missing = [did for did in dids if did not in found]
        if missing:
            raise UnknownDid(missing)
        return found

    def files(self, dids: list[str]) -> list[Entry]:
        """Return files and the files of datasets, each once."""
        found = self.known(dids)
        result = {did: entry for did, entry in found.items() if entry.kind == "file"}
        datasets = [entry.id for entry in found.values() if entry.kind == "dataset"]
        if datasets:
            rows = self.connection.execute(
                "SELECT DISTINCT d.id, d.did, d.kind, d.bytes, d.adler32 FROM json_each(?) j"
                " JOIN contents c ON c.dataset_id = j.value JOIN dids d ON d.id = c.file_id"
                " ORDER BY d.did",
                [json.dumps(datasets)],
            )
            result |= {row[1]: Entry(*row) for row in rows}
        return list(result.values())

    def content(self, dataset: Entry) -> set[str]:
        """Return the DIDs of a dataset's files."""
        return {entry.did for entry in self.files([dataset.did])}

    def replicas(self, files: Iterable[Entry]) -> dict[str, dict[str, bool]]:
        """Return for each file DID the storage elements that hold it, and whether for good."""
        result = {entry.did: {} for entry in files}
        for did, rse, permanent in self.connection.execute(
            "SELECT d.did, r.rse, r.permanent FROM json_each(?) j JOIN dids d ON d.did = j.value"
            " JOIN replicas r ON r.did_id = d.id ORDER BY r.permanent DESC, r.rse",
            [json.dumps(list(result))],
        ):
            result[did][rse] = bool(permanent)
        return result

    def metadata(self, dids: list[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata of DIDs; an unknown one is an error that names it."""
        entries = self.known(dids)
        rows = dict(
            self.connection.execute(
                "SELECT d.id, d.metadata FROM json_each(?) j JOIN dids d ON d.id = j.value",
                [json.dumps([entry.id for entry in entries.values()])],
            )
        )
        return {did: json.loads(rows[entries[did].id]) for did in dids}

    def add_files(self, files: Mapping[str, tuple[int, str]]) -> None:
        """Add file DIDs with size and adler32; inside a write transaction."""
        self.connection.executemany(
            "INSERT INTO dids (did, kind, bytes, adler32) VALUES (?, 'file', ?, ?)",
            [(did, size, checksum) for did, (size, checksum) in files.items()],
        )

    def add_dataset(self, did: str, files: Iterable[Entry]) -> None:
        """Add a dataset with its files; inside a write transaction."""
        cursor = self.connection.execute(
            "INSERT INTO dids (did, kind) VALUES (?, 'dataset')", [did]
        )
        self.connection.executemany(
            "INSERT INTO contents VALUES (?, ?)", [(cursor.lastrowid, entry.id) for entry in files]
        )

    def add_replicas(self, rse: str, files: Iterable[Entry], *, permanent: bool) -> None:
        """Note copies on a storage element; a permanent one stays permanent."""
        self.connection.executemany(
            "INSERT INTO replicas VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET permanent = max(permanent, excluded.permanent)",
            [(entry.id, rse, permanent) for entry in files],
        )

    def merge_metadata(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        """Set keys of DIDs, other keys stay; inside a write transaction."""
        updates = {did: keys for did, keys in updates.items() if keys}
        entries = self.known(list(updates))
        current = self.metadata(list(updates))
        keys = self._key_ids({key for values in updates.values() for key in values})
        documents, gone, rows = [], [], []
        for did, values in updates.items():
            entry = entries[did]
            documents.append((json.dumps(current[did] | dict(values)), entry.id))
            if entry.kind != "file":
                continue  # a search finds files only
            gone += [(entry.id, keys[key]) for key in values if key in current[did]]
            forms = {keys[key]: attribute(value) for key, value in values.items()}
            rows += [(entry.id, key, *form) for key, form in forms.items() if form is not None]
        run = self.connection.executemany
        run("UPDATE dids SET metadata = ? WHERE id = ?", documents)
        run("DELETE FROM attributes WHERE did_id = ? AND key_id = ?", gone)
        run("INSERT INTO attributes VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _key_ids(self, names: set[str]) -> dict[str, int]:
        self.connection.executemany(
            "INSERT OR IGNORE INTO keys (name) VALUES (?)", [(name,) for name in sorted(names)]
        )
        return dict(
            self.connection.execute(
                "SELECT k.name, k.id FROM json_each(?) j JOIN keys k ON k.name = j.value",
                [json.dumps(sorted(names))],
            )
        )

    def search(self, query: Query) -> list[tuple[str, int, str, dict[str, Any]]]:
        """Return DID, size, adler32 and metadata of the files that match, each once."""
        with self.transaction() as connection:
            rows = select(connection, query)
        documents = json.loads(f"[{','.join(row[3] for row in rows)}]")
        return [(*row[:3], document) for row, document in zip(rows, documents, strict=True)]
