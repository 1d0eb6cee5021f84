"""Reading files of a Rucio lake: to a folder, or only to see that their bytes are right."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctabatch.errors import InputError, IntegrityError, LakeError
from ctabatch.lake.base import Progress, Replica
from ctabatch.lake.checksum import Digest, digest
from ctabatch.lake.local_storage import explain, in_parallel, incoming
from ctabatch.lake.rucio_catalogue import Entry, RucioCatalogue
from ctabatch.lake.rucio_storage import RucioStorage


class RucioFetch:
    """Reads files from the storage elements on disk.

    Parameters
    ----------
    catalogue, storage
        The parts of the lake.
    """

    def __init__(self, catalogue: RucioCatalogue, storage: RucioStorage):
        self._catalogue = catalogue
        self._storage = storage

    def fetch(
        self, dids: Sequence[str], folder: Path, progress: Progress | None
    ) -> dict[str, Path]:
        """Copy files to a folder; see `ctabatch.lake.base.DataLake.fetch`."""
        files = list(self._catalogue.files(dids).values())
        targets = {entry.did: folder / entry.did.rsplit("/", 1)[1] for entry in files}
        if len(set(targets.values())) < len(targets):
            names = [path.name for path in targets.values()]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"several files are called {twice}", allowed="one folder for each")
        wanted = [entry for entry in files if _defect(entry, targets[entry.did])]
        sources = self._on_disk(wanted, complete=True)
        done = len(files) - len(wanted)
        if progress and done:
            progress(done, len(files), "already there")

        def report(count: int, entry: Entry) -> None:
            if progress:
                progress(done + count, len(files), entry.did)

        try:
            if wanted:
                with incoming(folder) as work:

                    def take(entry: Entry) -> None:
                        part = work / targets[entry.did].name
                        self._take(entry, sources[entry.did], part)
                        part.replace(targets[entry.did])

                    in_parallel(take, wanted, report)
        except OSError as error:
            raise explain(error, f"fetching to {folder}") from None
        return targets

    def verify(self, dids: Sequence[str]) -> dict[str, str]:
        """Read every copy on disk; see `ctabatch.lake.base.DataLake.verify`."""
        files = self._catalogue.files(dids)
        copies = [
            (files[did], replica)
            for did, replicas in self._on_disk(list(files.values())).items()
            for replica in replicas
        ]
        with tempfile.TemporaryDirectory(prefix="ctabatch-verify-") as work:

            def check(numbered: tuple[int, tuple[Entry, Replica]]) -> str | None:
                number, (entry, replica) = numbered
                part = Path(work) / str(number)
                try:
                    return self._read(entry, replica, part)
                finally:
                    part.unlink(missing_ok=True)

            found = in_parallel(check, list(enumerate(copies)))
        faults: dict[str, list[str]] = {}
        for (entry, _), reason in zip(copies, found, strict=True):
            if reason:
                faults.setdefault(entry.did, []).append(reason)
        return {did: "; ".join(reasons) for did, reasons in faults.items()}

    def _on_disk(self, files: list[Entry], complete: bool = False) -> Mapping[str, list[Replica]]:
        held = self._catalogue.replicas([entry.did for entry in files])
        disk = {did: [item for item in held[did] if item.tier == "DISK"] for did in held}
        taped = [did for did, copies in disk.items() if not copies]
        if taped and complete:
            more = f" and {len(taped) - 1} more files" if len(taped) > 1 else ""
            raise LakeError(
                f"{taped[0]}{more} {'are' if more else 'is'} on tape only",
                "stage first: cta-batch lake stage",
            )
        return disk

    def _read(self, entry: Entry, replica: Replica, target: Path) -> str | None:
        """Copy a replica to a new file; returns what is wrong with it, or None."""
        store = self._storage.of(replica.rse, replica.uri)
        try:
            found = store.get(replica.uri, target)
        except OSError as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                return f"{replica.rse}: {error.strerror}"
            raise
        except LakeError as error:
            return f"{replica.rse}: {error.message}"
        wrong = _difference(entry, found)
        return f"{replica.rse}: {wrong}" if wrong else None

    def _take(self, entry: Entry, sources: list[Replica], target: Path) -> None:
        reasons = []
        for replica in sources:
            target.unlink(missing_ok=True)
            reason = self._read(entry, replica, target)
            if reason is None:
                return
            reasons.append(reason)
        raise IntegrityError(
            f"{entry.did} can't be read with its {entry.bytes} bytes and adler32 {entry.adler32}; "
            f"found {'; '.join(reasons)}",
            "report it to the operators of the storage",
        )


def _defect(entry: Entry, path: Path) -> str | None:
    if not path.is_file() or path.stat().st_size != entry.bytes:
        return "absent or incomplete"
    return _difference(entry, digest(path))


def _difference(entry: Entry, found: Digest) -> str | None:
    if found == (entry.bytes, entry.adler32):
        return None
    return f"{found.bytes} bytes with adler32 {found.adler32}"
