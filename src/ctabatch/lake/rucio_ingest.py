"""Ingest into a Rucio lake, in steps that can be repeated.

1. look: what is known under the names, and does it agree with the files offered; is there room;
2. copy: to the storage element, size and adler32 verified there, then renamed;
3. register: DIDs and replicas, in bulk, and look that the catalogue agrees;
4. attach: to the dataset;
5. protect: one rule on the dataset, without which Rucio's reaper may delete the files;
6. show: set the metadata;
7. close: the dataset takes no more files.

Our searches find files by their metadata, and not without: what was killed before 6 is invisible.
The same call again finds what is done and does the rest. Files without a dataset of their own are
held together by one that is named after its content.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ctabatch.errors import ConflictError, InputError, LakeError
from ctabatch.lake.base import IngestResult, NewFile, Progress
from ctabatch.lake.checksum import Digest, digest
from ctabatch.lake.local_storage import explain, in_parallel
from ctabatch.lake.rucio_catalogue import SHOWN, Entry, RucioCatalogue
from ctabatch.lake.rucio_session import BULK, RucioSession, chunks, did_dict
from ctabatch.lake.rucio_space import check_space
from ctabatch.lake.rucio_storage import RucioStorage

logger = logging.getLogger(__name__)

ACTIVITY = "Production Output"


@dataclass
class RucioIngest:
    """One call of ingest.

    Parameters
    ----------
    session, catalogue, storage
        The parts of the lake.
    rse : str
        Storage element.
    files : sequence of NewFile
        Checked files.
    dataset : str
        DID of the dataset that holds them.
    progress : callable, optional
        See `ctabatch.lake.base.Progress`.
    """

    session: RucioSession
    catalogue: RucioCatalogue
    storage: RucioStorage
    rse: str
    files: Sequence[NewFile]
    dataset: str
    progress: Progress | None = None
    known: dict[str, Entry] = field(default_factory=dict)
    digests: dict[str, Digest] = field(default_factory=dict)
    absent: list[NewFile] = field(default_factory=list)

    def run(self) -> IngestResult:
        """Do all steps; see the module."""
        for step in (
            self.look,
            self.copy,
            self.register,
            self.attach,
            self.protect,
            self.show,
            self.close,
        ):
            step()
        names = [item.did for item in self.files]
        logger.info("ingested %d files to %s, %d were known", len(names), self.rse, len(self.known))
        return IngestResult(
            tuple(did for did in names if did not in self.known),
            tuple(did for did in names if did in self.known),
        )

    def look(self) -> None:
        """Find out what is there, and refuse what can't be, before anything is done."""
        self.known = self.catalogue.entries([item.did for item in self.files], metadata=False)
        for did, entry in self.known.items():
            if entry.kind != "FILE":
                raise ConflictError(f"{did} is a {entry.kind.lower()}, no file can have its name")
        self._check_dataset()
        try:
            found = in_parallel(lambda item: digest(item.path), self.files)
        except OSError as error:
            raise explain(error, "reading the files to ingest") from None
        self.digests = {item.did: value for item, value in zip(self.files, found, strict=True)}
        self._check_agreement(self.known)
        held = self.catalogue.replicas(list(self.known))
        self.absent = [
            item
            for item in self.files
            if self.rse not in {replica.rse for replica in held.get(item.did, ())}
        ]
        needed = sum(self.digests[item.did].bytes for item in self.absent)
        check_space(self.session, self.storage, self.rse, needed)

    def _check_dataset(self) -> None:
        entry = self.catalogue.entries([self.dataset], metadata=False).get(self.dataset)
        if entry is None or (entry.open and entry.kind == "DATASET"):
            return
        if entry.kind != "DATASET":
            raise ConflictError(
                f"{self.dataset} is a {entry.kind.lower()}, no dataset can have its name"
            )
        content = self.catalogue.content([self.dataset])
        extra = [item.did for item in self.files if item.did not in content]
        if extra:
            raise ConflictError(
                f"dataset {self.dataset} is closed with {len(content)} files and has no {extra[0]}",
                "use another dataset",
            )

    def _check_agreement(self, entries: Mapping[str, Entry]) -> None:
        # Rucio itself accepts replicas of a known DID with other bytes, and says nothing.
        for item in self.files:
            entry = entries.get(item.did)
            if entry and self.digests[item.did] != (entry.bytes, entry.adler32):
                raise ConflictError(
                    f"{item.did} exists with other content than {item.path}",
                    "products never change; use another name",
                )

    def copy(self) -> None:
        """Bring the files to the storage element that are not there yet."""
        done = len(self.files) - len(self.absent)
        if self.progress and done:
            self.progress(done, len(self.files), "already there")
        if not self.absent:
            return
        store = self.storage.store(self.rse)
        addresses = store.address([item.did for item in self.absent])

        def take(item: NewFile) -> None:
            store.place(item.path, self.digests[item.did], addresses[item.did])

        def report(count: int, item: NewFile) -> None:
            if self.progress:
                self.progress(done + count, len(self.files), item.did)

        try:
            in_parallel(take, self.absent, report)
        except OSError as error:
            raise explain(error, f"copying to {self.rse}") from None

    def register(self) -> None:
        """Enter DIDs and replicas in the catalogue."""
        rows = [
            {
                **did_dict(item.did),
                "bytes": self.digests[item.did].bytes,
                "adler32": self.digests[item.did].adler32,
            }
            for item in self.absent
        ]
        self.session.in_bulk(
            ("add_replicas", (self.rse, chunk), {}) for chunk in chunks(rows, BULK // 4)
        )
        # Another process may have registered one of the names since we looked.
        names = [item.did for item in self.absent]
        self._check_agreement(self.catalogue.entries(names, metadata=False))

    def attach(self) -> None:
        """Make the dataset where it is absent, and attach the files it lacks."""
        from rucio.common.exception import DataIdentifierAlreadyExists, FileAlreadyExists

        scope, name = did_dict(self.dataset).values()
        content: dict[str, Entry] = {}
        try:
            self.session.call("add_dataset", scope, name, expected=("DataIdentifierAlreadyExists",))
        except DataIdentifierAlreadyExists:
            content = self.catalogue.content([self.dataset])
        missing = [did_dict(item.did) for item in self.files if item.did not in content]
        for chunk in chunks(missing):
            try:
                self.session.call(
                    "attach_dids", scope, name, chunk, expected=("FileAlreadyExists",)
                )
            except FileAlreadyExists:
                # The answer to the same call was lost, or a second process is at it.
                self._attach_rest(scope, name, chunk)

    def _attach_rest(self, scope: str, name: str, rows: list[dict]) -> None:
        content = self.catalogue.content([self.dataset])
        rest = [row for row in rows if f"{row['scope']}:{row['name']}" not in content]
        if rest:
            self.session.call("attach_dids", scope, name, rest)

    def protect(self) -> None:
        """Make sure that a rule holds the dataset on the storage element."""
        from rucio.common.exception import DuplicateRule

        try:
            self.session.call(
                "add_replication_rule",
                [did_dict(self.dataset)],
                1,
                self.rse,
                grouping="DATASET",
                activity=ACTIVITY,
                comment="ctabatch ingest",
                expected=("DuplicateRule",),
            )
        except DuplicateRule:
            return

    def show(self) -> None:
        """Set the metadata, by which searches find the files from now on."""
        self.catalogue.set_metadata(
            {item.did: item.metadata or {SHOWN: True} for item in self.files}
        )

    def close(self) -> None:
        """Close the dataset."""
        from rucio.common.exception import UnsupportedOperation

        scope, name = did_dict(self.dataset).values()
        try:
            self.session.call("close", scope, name, expected=("UnsupportedOperation",))
        except UnsupportedOperation:
            entry = self.catalogue.known([self.dataset])[self.dataset]
            if entry.open:
                raise LakeError(f"dataset {self.dataset} can't be closed") from None


def check_scopes(files: Sequence[NewFile], dataset: str | None, scopes: Sequence[str]) -> None:
    """Refuse DIDs of a scope that searches do not cover: nobody would find them.

    Parameters
    ----------
    files : sequence of NewFile
        What is to be ingested.
    dataset : str or None
        DID of the dataset.
    scopes : sequence of str
        The configured scopes.
    """
    for did in [item.did for item in files] + ([dataset] if dataset else []):
        scope = did_dict(did)["scope"]
        if scope not in scopes:
            raise InputError(
                f"{did} is of scope {scope}", where="lake.scope", allowed=" or ".join(scopes)
            )
