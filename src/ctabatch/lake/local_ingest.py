"""Ingest into the embedded lake: all files of a call become visible in one transaction, or none.

1. look: which DIDs are known, and do they agree with the files offered;
2. copy: into an incoming folder, size and checksum read back there;
3. publish, as the only writer: look again, register, attach, set metadata, rename the files to
   their places, commit.

A process killed in 1 or 2 leaves incoming files, which the next ingest sweeps away; one killed in 3
before the commit leaves files that no entry points to, which the same ingest replaces.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ctabatch.config.lake import RseSettings
from ctabatch.errors import BatchError, ConflictError, InputError
from ctabatch.lake.base import IngestResult, NewFile, Progress
from ctabatch.lake.checksum import Digest, digest
from ctabatch.lake.local_catalogue import Catalogue, Entry
from ctabatch.lake.local_space import check_space
from ctabatch.lake.local_storage import Storage, explain, in_parallel, incoming
from ctabatch.lake.names import check_metadata, parse_did

logger = logging.getLogger(__name__)


class _Item(NamedTuple):
    """A file of the call; `copy` is None where the storage element has it already."""

    file: NewFile
    copy: Path | None
    digest: Digest


def check_files(files: Sequence[NewFile], dataset: str | None) -> list[NewFile]:
    """Check what a caller wants to ingest, before anything is done.

    Parameters
    ----------
    files : sequence of NewFile
        As given.
    dataset : str or None
        DID of the dataset.

    Returns
    -------
    list of NewFile
        The same, metadata as plain dictionaries.

    Raises
    ------
    ctabatch.errors.InputError
        Bad DIDs or metadata, a DID twice, a file that is missing.
    """
    dids = set()
    checked = []
    for item in files:
        parse_did(item.did)
        if item.did in dids:
            raise InputError(f"{item.did} stands twice in one ingest", allowed="each DID once")
        dids.add(item.did)
        if not Path(item.path).is_file():
            raise InputError(f"{item.path} is missing or not a file")
        checked.append(NewFile(Path(item.path), item.did, check_metadata(item.metadata)))
    if dataset is not None:
        parse_did(dataset)
        if dataset in dids:
            raise InputError(f"{dataset} names both the dataset and a file of it")
    return checked


@dataclass
class Ingest:
    """One call of ingest.

    Parameters
    ----------
    catalogue, storage
        The parts of the lake.
    rse, settings
        Name and settings of the storage element.
    progress : callable, optional
        See `ctabatch.lake.base.Progress`.
    """

    catalogue: Catalogue
    storage: Storage
    rse: str
    settings: RseSettings
    progress: Progress | None = None

    def run(self, files: Sequence[NewFile], dataset: str | None) -> IngestResult:
        """Ingest checked files."""
        known = self._look(files, dataset)
        held = self.catalogue.replicas(known.values())
        here = {did for did, entry in known.items() if self._is_here(entry, held[did])}
        sizes = [item.path.stat().st_size for item in files if item.did not in here]
        check_space(self.catalogue, self.storage, self.rse, self.settings, sum(sizes))
        try:
            with incoming(self.storage.rse_folder(self.rse)) as folder:
                items = self._copy(files, here, known, folder)
                return self._publish(items, dataset)
        except OSError as error:
            raise explain(error, f"ingest to {self.rse}") from None

    def _is_here(self, entry: Entry, held: dict[str, bool]) -> bool:
        return self.rse in held and self.storage.is_complete(self.rse, entry.did, entry.bytes)

    def _look(self, files: Sequence[NewFile], dataset: str | None) -> dict[str, Entry]:
        """Return the entries of known DIDs, after checking that files may have these names."""
        known = self.catalogue.entries([item.did for item in files])
        for did, entry in known.items():
            if entry.kind != "file":
                raise ConflictError(f"{did} is a dataset, no file can have its name")
        if dataset is None:
            return known
        found = self.catalogue.entries([dataset]).get(dataset)
        if found and found.kind != "dataset":
            raise ConflictError(f"{dataset} is a file, no dataset can have its name")
        if found:
            content = self.catalogue.content(found)
            extra = [item.did for item in files if item.did not in content]
            if extra:
                raise ConflictError(
                    f"dataset {dataset} is closed with {len(content)} files and has no {extra[0]}",
                    "use another dataset",
                )
        return known

    def _copy(
        self, files: Sequence[NewFile], here: set[str], known: dict[str, Entry], folder: Path
    ) -> list[_Item]:
        def take(numbered: tuple[int, NewFile]) -> _Item:
            number, item = numbered
            entry = known.get(item.did)
            if entry and item.path.stat().st_size != entry.bytes:
                raise _conflict(item)
            target = None if item.did in here else folder / str(number)
            found = self.storage.copy_in(item.path, target) if target else digest(item.path)
            if entry and found != (entry.bytes, entry.adler32):
                raise _conflict(item)
            return _Item(item, target, found)

        def report(done: int, numbered: tuple[int, NewFile]) -> None:
            if self.progress:
                self.progress(done, len(files), numbered[1].did)

        return in_parallel(take, list(enumerate(files)), report)

    def _publish(self, items: list[_Item], dataset: str | None) -> IngestResult:
        files = [item.file for item in items]
        moves: list[tuple[Path, str]] = []
        try:
            with self.catalogue.transaction(write=True):
                known = self._look(files, dataset)
                for item in items:
                    entry = known.get(item.file.did)
                    if entry and item.digest != (entry.bytes, entry.adler32):
                        raise _conflict(item.file)
                held = self.catalogue.replicas(known.values())
                moves += [
                    (item.copy, item.file.did)
                    for item in items
                    if item.copy
                    and not (
                        item.file.did in known
                        and self._is_here(known[item.file.did], held[item.file.did])
                    )
                ]
                size = sum(path.stat().st_size for path, _ in moves)
                check_space(self.catalogue, self.storage, self.rse, self.settings, size)
                self._register(items, known, dataset)
                self.storage.place(self.rse, moves)
        except BaseException:
            self._undo(moves)
            raise
        present = tuple(item.did for item in files if item.did in known)
        registered = tuple(item.did for item in files if item.did not in known)
        logger.info("ingested %d files to %s, %d were there", len(files), self.rse, len(present))
        return IngestResult(registered, present)

    def _register(self, items: list[_Item], known: dict[str, Entry], dataset: str | None) -> None:
        self.catalogue.add_files(
            {item.file.did: item.digest for item in items if item.file.did not in known}
        )
        entries = self.catalogue.known([item.file.did for item in items])
        self.catalogue.add_replicas(self.rse, entries.values(), permanent=True)
        if dataset is not None and not self.catalogue.entries([dataset]):
            self.catalogue.add_dataset(dataset, entries.values())
        self.catalogue.merge_metadata({item.file.did: item.file.metadata for item in items})

    def _undo(self, moves: list[tuple[Path, str]]) -> None:
        """Remove renamed files that nothing points to; what stays is replaced by the next run."""
        moved = [did for path, did in moves if not path.exists()]
        if not moved:
            return
        with suppress(OSError, BatchError), self.catalogue.transaction(write=True):
            held = self.catalogue.replicas(self.catalogue.entries(moved).values())
            for did in moved:
                if self.rse not in held.get(did, {}):
                    self.storage.remove(self.rse, did)


def _conflict(item: NewFile) -> ConflictError:
    return ConflictError(
        f"{item.did} exists with other content than {item.path}",
        "products never change; use another name",
    )
