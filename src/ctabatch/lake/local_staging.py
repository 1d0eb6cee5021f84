"""Staging in the embedded lake: requests for disk copies, made by whoever waits for them.

A request is a promise of space with an end; `Staging.wait` makes the copies. Copies that no request
holds are removed, unless they were ingested there.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

from tenacity import Retrying, before_sleep_log, stop_after_attempt, wait_exponential

from ctabatch.config.lake import RseSettings
from ctabatch.errors import IntegrityError, LakeError
from ctabatch.lake.base import Progress, StageRequest
from ctabatch.lake.eta import time_left
from ctabatch.lake.local_catalogue import Catalogue, Entry
from ctabatch.lake.local_space import check_space
from ctabatch.lake.local_storage import Storage, explain, in_parallel, incoming

logger = logging.getLogger(__name__)

#: Files that are copied before their copies are noted together.
_BATCH = 64

_ATTEMPTS = 3


@dataclass
class Staging:
    """Staging of one lake.

    Parameters
    ----------
    catalogue, storage
        The parts of the lake.
    rses : dict
        Settings of the storage elements by name.
    """

    catalogue: Catalogue
    storage: Storage
    rses: dict[str, RseSettings]

    def stage(self, dids: list[str], rse: str, lifetime: float) -> StageRequest:
        """Note a request, or prolong the same one; see `ctabatch.lake.base.DataLake.stage`."""
        self.expire()
        asked = tuple(sorted(dids))
        identity = _identity(asked, rse)
        expires = time.time() + lifetime
        with self.catalogue.transaction(write=True) as connection:
            files = self.catalogue.files(dids)
            promised = {row[0] for row in self._wanted(rse)}
            held = self.catalogue.replicas(files)
            new = [e for e in files if e.id not in promised and rse not in held[e.did]]
            size = sum(entry.bytes for entry in new)
            check_space(self.catalogue, self.storage, rse, self.rses[rse], size)
            connection.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET expires = max(expires, excluded.expires)",
                [identity, rse, expires, json.dumps(asked)],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO request_files VALUES (?, ?)",
                [(entry.id, identity) for entry in files],
            )
        return StageRequest((identity,), asked, rse)

    def _wanted(self, rse: str):
        return self.catalogue.connection.execute(
            "SELECT f.did_id FROM request_files f JOIN requests q ON q.id = f.request_id"
            " WHERE q.rse = ?",
            [rse],
        )

    def requests(self) -> list[StageRequest]:
        """Return the requests that are held."""
        self.expire()
        rows = self.catalogue.connection.execute("SELECT id, dids, rse FROM requests ORDER BY id")
        return [StageRequest((row[0],), tuple(json.loads(row[1])), row[2]) for row in rows]

    def held(self, dids: list[str], rse: str) -> StageRequest | None:
        """Find the request for these DIDs; see `ctabatch.lake.base.DataLake.held`."""
        self.expire()
        asked = tuple(sorted(dids))
        row = self.catalogue.connection.execute(
            "SELECT id FROM requests WHERE id = ?", [_identity(asked, rse)]
        ).fetchone()
        return StageRequest((row[0],), asked, rse) if row else None

    def release(self, request: StageRequest) -> None:
        """Give up a request and the copies that only it held."""
        with self.catalogue.transaction(write=True) as connection:
            connection.executemany(
                "DELETE FROM requests WHERE id = ?", [(identity,) for identity in request.ids]
            )
        self._drop(request.rse)

    def expire(self) -> None:
        """Release the requests whose time is over."""
        over = self.catalogue.connection.execute(
            "SELECT id, rse FROM requests WHERE expires <= ?", [time.time()]
        ).fetchall()
        for identity, rse in over:
            logger.info("staging request %s is over", identity)
            self.release(StageRequest((identity,), (), rse))

    def _drop(self, rse: str) -> None:
        """Remove copies that no request holds: first the entries, then the files."""
        with self.catalogue.transaction(write=True) as connection:
            rows = connection.execute(
                "SELECT d.id, d.did FROM replicas r JOIN dids d ON d.id = r.did_id"
                " WHERE r.rse = ?1 AND NOT r.permanent AND NOT EXISTS (SELECT 1 FROM request_files"
                " f JOIN requests q ON q.id = f.request_id WHERE f.did_id = d.id AND q.rse = ?1)",
                [rse],
            ).fetchall()
            connection.executemany(
                "DELETE FROM replicas WHERE did_id = ? AND rse = ?", [(row[0], rse) for row in rows]
            )
        if not rows:
            return
        dids = [did for _, did in rows]
        with self.catalogue.transaction(write=True):
            # Somebody may have staged or ingested one of them again in between.
            held = self.catalogue.replicas(self.catalogue.entries(dids).values())
            for did in dids:
                if rse not in held[did]:
                    self.storage.remove(rse, did)

    def wait(self, request: StageRequest, timeout: float | None, progress: Progress | None) -> None:
        """Copy the files of a request that are not on disk yet."""
        self.expire()
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        files = self._files(request)
        missing = self._missing(request.rse, files)
        first = done = len(files) - len(missing)
        begin = time.monotonic()
        while missing:
            for batch in batched(missing, _BATCH):
                if time.monotonic() >= deadline:
                    raise LakeError(
                        f"{len(files) - done} of {len(files)} files are not on {request.rse} yet "
                        f"after {timeout:g} s",
                        "wait longer; the request is still held",
                    )
                done += self._transfer(request, batch, deadline)
                if progress:
                    progress(
                        done,
                        len(files),
                        time_left(done, first, len(files), time.monotonic() - begin),
                    )
            missing = self._missing(request.rse, files)
            done = len(files) - len(missing)
        if progress:
            progress(len(files), len(files), "on disk")

    def _files(self, request: StageRequest) -> list[Entry]:
        rows = self.catalogue.connection.execute(
            "SELECT d.id, d.did, d.kind, d.bytes, d.adler32 FROM request_files f"
            " JOIN dids d ON d.id = f.did_id WHERE f.request_id IN (SELECT value FROM json_each(?))"
            " ORDER BY d.did",
            [json.dumps(request.ids)],
        )
        files = [Entry(*row) for row in rows]
        if not files:
            raise LakeError(
                f"staging request {', '.join(request.ids)} is not held any more",
                "it was released or its lifetime is over; stage again",
            )
        return files

    def _missing(self, rse: str, files: Sequence[Entry]) -> list[Entry]:
        held = self.catalogue.replicas(files)
        return [
            entry
            for entry in files
            if rse not in held[entry.did]
            or not self.storage.is_complete(rse, entry.did, entry.bytes)
        ]

    def _transfer(self, request: StageRequest, files: Sequence[Entry], deadline: float) -> int:
        """Copy files and note their copies; returns how many were copied before the deadline."""
        held = self.catalogue.replicas(files)
        try:
            with incoming(self.storage.rse_folder(request.rse)) as folder:
                stopped = threading.Event()

                def copy(numbered):
                    number, entry = numbered
                    sources = [rse for rse in held[entry.did] if rse != request.rse]
                    if sources and not self._recall(sources[0], entry.bytes, deadline, stopped):
                        return None
                    return self._copy(entry, sources, folder / str(number)), entry

                results = in_parallel(copy, list(enumerate(files)), stopped=stopped)
                copied = list(filter(None, results))
                with self.catalogue.transaction(write=True):
                    self._files(request)
                    entries = [entry for _, entry in copied]
                    self.catalogue.add_replicas(request.rse, entries, permanent=False)
                    self.storage.place(request.rse, [(path, e.did) for path, e in copied])
        except OSError as error:
            raise explain(error, f"staging to {request.rse}") from None
        return len(copied)

    def _copy(self, entry: Entry, sources: list[str], target: Path) -> Path:
        """Copy from the first source that has the right bytes, with several attempts."""
        for attempt in Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(0.1, max=5),
            before_sleep=before_sleep_log(logger, logging.WARNING),
            reraise=True,
        ):
            with attempt:
                reasons = []
                for rse in sources:
                    target.unlink(missing_ok=True)
                    try:
                        found = self.storage.copy_in(self.storage.path(rse, entry.did), target)
                    except (FileNotFoundError, PermissionError) as error:
                        reasons.append(f"{rse}: {error.strerror}")
                        continue
                    if found == (entry.bytes, entry.adler32):
                        return target
                    reasons.append(f"{rse}: adler32 {found.adler32} is not {entry.adler32}")
                found = "; ".join(reasons) or "there is no other copy"
                raise IntegrityError(f"{entry.did} can't be staged: {found}")

    def _recall(self, rse: str, size: int, deadline: float, stopped: threading.Event) -> bool:
        """Wait as long as the configured tape takes; false where the end comes first."""
        settings = self.rses.get(rse, RseSettings())
        seconds = settings.latency + (size / settings.throughput if settings.throughput else 0)
        left = deadline - time.monotonic()
        interrupted = stopped.wait(max(0, min(seconds, left)))
        return seconds <= left and not interrupted


def _identity(asked: tuple[str, ...], rse: str) -> str:
    return hashlib.sha256(json.dumps([rse, asked]).encode()).hexdigest()[:32]
