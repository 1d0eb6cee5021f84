"""The `DataLake` interface: what every back end does, with the same semantics.

All calls take and return lists (bulk), and are idempotent: doing a thing twice is doing it once.
A DID is the text ``scope:name``; names of CTAO files are logical file names that start with ``/``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Called with (done, total, what) while a long operation runs.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class NewFile:
    """A file to ingest.

    Parameters
    ----------
    path : pathlib.Path
        Where the file is now; it is read, never moved.
    did : str
        ``scope:name`` under which it will be known.
    metadata : dict
        Flat keys (ctao-datamodel names joined by ``__``) to text, number or bool.
    """

    path: Path
    did: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Replica:
    """One copy of a file: where it is and what its bytes should be."""

    did: str
    rse: str
    tier: str  #: ``DISK`` or ``TAPE``
    uri: str
    bytes: int
    adler32: str  #: 8 hexadecimal digits


@dataclass(frozen=True)
class Volume:
    """Number of files and their total size in bytes."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Usage:
    """Space of a storage element, in bytes; None where there is no limit."""

    rse: str
    used: int
    free: int | None
    quota_left: int | None


@dataclass(frozen=True)
class StageRequest:
    """A request to have files on disk for some time; `ids` are the back end's own (rule ids)."""

    ids: tuple[str, ...]
    dids: tuple[str, ...]
    rse: str


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did: DIDs newly registered, and those that were there already, identical."""

    registered: tuple[str, ...]
    present: tuple[str, ...]


class DataLake(ABC):
    """A catalogue of files with metadata, and the storage elements (RSEs) that hold them."""

    @abstractmethod
    def search(self, query: str, *, columns: Sequence[str] | None = None):
        """Find files by metadata.

        Parameters
        ----------
        query : str
            Expression of `ctabatch.lake.query`, for instance
            ``data__level = DL3 and instance__obs_id >= 110000``. Empty text finds all files.
        columns : sequence of str, optional
            Metadata keys to return; all by default.

        Returns
        -------
        pandas.DataFrame
            One row a file, sorted by DID: ``did``, ``bytes``, ``adler32`` and the metadata keys.

        Raises
        ------
        ctabatch.errors.InputError
            The query is not understood; names the position and what is allowed there.
        """

    @abstractmethod
    def volume(self, dids: Iterable[str]) -> Volume:
        """Count files and bytes; a dataset counts as its files, each file once."""

    @abstractmethod
    def replicas(self, dids: Iterable[str]) -> list[Replica]:
        """List all copies of the files (of datasets: of their files)."""

    @abstractmethod
    def metadata(self, dids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the metadata of each DID; an unknown DID is an error that names it."""

    @abstractmethod
    def set_metadata(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        """Set keys of many DIDs; other keys stay."""

    @abstractmethod
    def ingest(
        self,
        files: Sequence[NewFile],
        *,
        dataset: str | None = None,
        rse: str | None = None,
        progress: Progress | None = None,
    ) -> IngestResult:
        """Take files in: copy, verify size and adler32, register, attach, metadata, show.

        Killed at any point, a second call completes it; until then a search shows none of it.

        Parameters
        ----------
        files : sequence of NewFile
            What to ingest.
        dataset : str, optional
            DID of a dataset that the files are attached to; made where absent.
        rse : str, optional
            Storage element; the configured default otherwise.
        progress : callable, optional
            Called as files are done.

        Raises
        ------
        ctabatch.errors.ConflictError
            A name exists with other bytes; nothing of this call becomes visible.
        """

    @abstractmethod
    def fetch(
        self, dids: Iterable[str], folder: Path, *, progress: Progress | None = None
    ) -> dict[str, Path]:
        """Copy files to `folder` under their base names, checksum verified, tape excluded.

        A file which is there already with the right checksum is kept. Each is written under a
        temporary name and renamed when complete.
        """

    @abstractmethod
    def stage(self, dids: Iterable[str], *, rse: str, lifetime: float) -> StageRequest:
        """Ask for disk copies on `rse` for `lifetime` seconds; the same ask is the same request."""

    @abstractmethod
    def wait(
        self,
        request: StageRequest,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Wait until all files are on disk; failed transfers are tried again, then named."""

    @abstractmethod
    def release(self, request: StageRequest) -> None:
        """Give up the disk copies of a request; other requests for the same files keep theirs."""

    @abstractmethod
    def requests(self) -> list[StageRequest]:
        """List the staging requests that are still held."""

    @abstractmethod
    def held(self, dids: Iterable[str], *, rse: str) -> StageRequest | None:
        """Return the request that `stage` made for these DIDs, None where it is not held."""

    @abstractmethod
    def usage(self, rse: str) -> Usage:
        """Return the space of a storage element as the account sees it."""

    @abstractmethod
    def verify(self, dids: Iterable[str]) -> dict[str, str]:
        """Read every disk copy again; returns the DIDs that fail, each with the reason."""
