"""The embedded data lake: an SQLite catalogue and folders; needs no service.

Several processes may use it at once. It wants a file system with working locks.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctabatch.config.lake import LocalLakeSettings, RseSettings
from ctabatch.errors import InputError, IntegrityError, LakeError
from ctabatch.lake.base import (
    IngestResult,
    NewFile,
    Progress,
    Replica,
    Usage,
    Volume,
)
from ctabatch.lake.checksum import copy, digest
from ctabatch.lake.frame import make_frame
from ctabatch.lake.local_catalogue import Catalogue, Entry
from ctabatch.lake.local_ingest import Ingest, check_files
from ctabatch.lake.local_space import usage
from ctabatch.lake.local_staging import Staging
from ctabatch.lake.local_storage import Storage, explain, in_parallel, incoming, sweep
from ctabatch.lake.names import check_metadata, unique_dids
from ctabatch.lake.query import parse
from ctabatch.lake.staged import StagedLake


class LocalLake(StagedLake):
    """A data lake in a folder.

    Parameters
    ----------
    settings : ctabatch.config.lake.LocalLakeSettings
        Folder and storage elements.
    default_rse : str
        Storage element of `ingest`.
    """

    def __init__(self, settings: LocalLakeSettings, default_rse: str = "DISK"):
        self._rses = settings.rses
        self._default_rse = default_rse
        folder = settings.folder.absolute()
        self._catalogue = Catalogue(folder / "catalogue.sqlite")
        self._storage = Storage(folder)
        self._staging = Staging(self._catalogue, self._storage, self._rses)

    def _rse(self, rse: str) -> RseSettings:
        if rse not in self._rses:
            raise InputError(f"no storage element {rse!r}", allowed=", ".join(self._rses))
        return self._rses[rse]

    def search(self, query: str, *, columns: Sequence[str] | None = None):
        """Find files by metadata; see `DataLake.search`."""
        return make_frame(self._catalogue.search(parse(query)), columns)

    def volume(self, dids: Iterable[str]) -> Volume:
        """Count files and bytes; see `DataLake.volume`."""
        files = self._catalogue.files(unique_dids(dids))
        return Volume(len(files), sum(entry.bytes for entry in files))

    def replicas(self, dids: Iterable[str]) -> list[Replica]:
        """List all copies; see `DataLake.replicas`."""
        self._staging.expire()
        files = self._catalogue.files(unique_dids(dids))
        held = self._catalogue.replicas(files)
        return [self._replica(entry, rse) for entry in files for rse in held[entry.did]]

    def _replica(self, entry: Entry, rse: str) -> Replica:
        tier = self._rse(rse).tier
        uri = self._storage.path(rse, entry.did).as_uri()
        return Replica(entry.did, rse, tier, uri, entry.bytes, entry.adler32)

    def metadata(self, dids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return metadata; see `DataLake.metadata`."""
        return self._catalogue.metadata(unique_dids(dids))

    def set_metadata(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        """Set metadata keys; see `DataLake.set_metadata`."""
        dids = unique_dids(updates)
        checked = {did: check_metadata(updates[did]) for did in dids}
        with self._catalogue.transaction(write=True):
            self._catalogue.known(dids)
            self._catalogue.merge_metadata(checked)

    def ingest(
        self,
        files: Sequence[NewFile],
        *,
        dataset: str | None = None,
        rse: str | None = None,
        progress: Progress | None = None,
    ) -> IngestResult:
        """Take files in; see `DataLake.ingest` and `ctabatch.lake.local_ingest`."""
        rse = rse or self._default_rse
        settings = self._rse(rse)
        checked = check_files(files, dataset)
        if not checked:
            return IngestResult((), ())
        work = Ingest(self._catalogue, self._storage, rse, settings, progress)
        return work.run(checked, dataset)

    def fetch(
        self, dids: Iterable[str], folder: Path, *, progress: Progress | None = None
    ) -> dict[str, Path]:
        """Copy files to a folder; see `DataLake.fetch`."""
        self._staging.expire()
        files = self._catalogue.files(unique_dids(dids))
        folder = Path(folder)
        targets = {entry.did: folder / entry.did.rsplit("/", 1)[1] for entry in files}
        if len(set(targets.values())) < len(targets):
            names = [path.name for path in targets.values()]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"several files are called {twice}", allowed="one folder for each")
        sources = self._disk_copies(files)
        if not files:
            return {}

        def report(done: int, entry: Entry) -> None:
            if progress:
                progress(done, len(files), entry.did)

        try:
            with incoming(folder) as work:

                def take(entry: Entry) -> None:
                    _fetch(entry, sources[entry.did], targets[entry.did], work)

                in_parallel(take, files, report)
        except OSError as error:
            raise explain(error, f"fetching to {folder}") from None
        return targets

    def _disk_copies(self, files: list[Entry]) -> dict[str, list[Path]]:
        held = self._catalogue.replicas(files)
        copies = {
            entry.did: [
                self._storage.path(rse, entry.did)
                for rse in held[entry.did]
                if self._rse(rse).tier == "DISK"
            ]
            for entry in files
        }
        taped = [did for did, paths in copies.items() if not paths]
        if taped:
            more = f" and {len(taped) - 1} more files" if len(taped) > 1 else ""
            verb = "are" if more else "is"
            raise LakeError(
                f"{taped[0]}{more} {verb} on tape only", "stage first: cta-batch lake stage"
            )
        return copies

    def _check_disk(self, rse: str) -> None:
        if self._rse(rse).tier != "DISK":
            disks = ", ".join(name for name, item in self._rses.items() if item.tier == "DISK")
            raise InputError(f"{rse} is not a disk", allowed=disks)

    def usage(self, rse: str) -> Usage:
        """Return the space of a storage element; see `DataLake.usage`."""
        settings = self._rse(rse)
        self._staging.expire()
        return usage(self._catalogue, self._storage, rse, settings)

    def verify(self, dids: Iterable[str]) -> dict[str, str]:
        """Read all disk copies; see `DataLake.verify`."""
        self._staging.expire()
        files = self._catalogue.files(unique_dids(dids))
        held = self._catalogue.replicas(files)
        copies = [
            (entry, rse)
            for entry in files
            for rse in held[entry.did]
            if self._rse(rse).tier == "DISK"
        ]

        def check(copy_: tuple[Entry, str]) -> str | None:
            entry, rse = copy_
            reason = _defect(entry, self._storage.path(rse, entry.did))
            return f"{rse}: {reason}" if reason else None

        faults: dict[str, str] = {}
        for (entry, _), reason in zip(copies, in_parallel(check, copies), strict=True):
            if reason:
                faults[entry.did] = "; ".join(filter(None, [faults.get(entry.did), reason]))
        return faults

    def orphans(self, *, remove: bool = False) -> list[Path]:
        """Find stored files that no entry points to, which killed processes leave behind.

        Half-written files of such processes are removed in any case.

        Parameters
        ----------
        remove : bool
            Remove them.

        Returns
        -------
        list of pathlib.Path
        """
        found = []
        for rse in self._rses:
            if not self._storage.rse_folder(rse).is_dir():
                continue
            sweep(self._storage.rse_folder(rse))
            # As the only writer: no ingest is between renaming its files and its commit.
            with self._catalogue.transaction(write=True):
                stored = dict(self._storage.stored(rse))
                held = self._catalogue.replicas(self._catalogue.entries(stored).values())
                for did, path in sorted(stored.items()):
                    if rse not in held.get(did, {}):
                        found.append(path)
                        if remove:
                            self._storage.remove_path(rse, path)
        return found


def _defect(entry: Entry, path: Path) -> str | None:
    try:
        found = digest(path)
    except OSError as error:
        return error.strerror or str(error)
    if found.bytes != entry.bytes:
        return f"{found.bytes} bytes, registered are {entry.bytes}"
    if found.adler32 != entry.adler32:
        return f"adler32 {found.adler32}, registered is {entry.adler32}"
    return None


def _fetch(entry: Entry, sources: list[Path], target: Path, work: Path) -> None:
    if target.is_file() and _defect(entry, target) is None:
        return
    reasons = []
    part = work / target.name
    for source in sources:
        part.unlink(missing_ok=True)
        try:
            found = copy(source, part, durable=False)
        except (FileNotFoundError, PermissionError) as error:
            if error.filename != str(source):
                raise
            reasons.append(f"{source}: {error.strerror}")
            continue
        if found == (entry.bytes, entry.adler32):
            part.replace(target)
            return
        reasons.append(f"{source}: {found.bytes} bytes with adler32 {found.adler32}")
    raise IntegrityError(
        f"{entry.did} should have {entry.bytes} bytes with adler32 {entry.adler32}; found "
        + "; ".join(reasons)
    )
