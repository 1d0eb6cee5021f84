"""Access to the storage elements of a Rucio lake: over the network, or as a mounted folder.

Rucio's protocols do the transfers, except for ``file``, where the library's own loses the reason
of a failure (a full disk becomes a `KeyError`) and does not wait for the disk.
"""

import errno
import logging
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from tenacity import (
    before_sleep_log,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from ctabatch.errors import InputError, LakeError
from ctabatch.lake.checksum import Digest, copy, digest
from ctabatch.lake.rucio_client import one_line
from ctabatch.lake.rucio_session import RucioSession, did_dict

logger = logging.getLogger(__name__)

_ATTEMPTS = 4


class StorageError(LakeError):
    """The storage failed in a way that may pass."""


_patient = retry(
    retry=retry_if_exception_type(StorageError),
    stop=stop_after_attempt(_ATTEMPTS),
    wait=wait_random_exponential(multiplier=0.5, max=15),
    before_sleep=before_sleep_log(logger, logging.WARNING),
    reraise=True,
)


class Store(ABC):
    """A storage element for which addresses (PFNs) are known."""

    @abstractmethod
    def address(self, dids: Iterable[str]) -> dict[str, str]:
        """Return where files of these names are, or would be."""

    @abstractmethod
    def stat(self, uri: str) -> Digest | None:
        """Return size and adler32 of a file as the storage has it; None where there is none."""

    @abstractmethod
    def put(self, source: Path, uri: str) -> None:
        """Copy a file to the storage, over one that is there."""

    @abstractmethod
    def rename(self, old: str, new: str) -> None:
        """Give a file its name; one of that name is replaced."""

    @abstractmethod
    def get(self, uri: str, target: Path) -> Digest:
        """Copy a file from the storage to a new file; returns what arrived."""

    @_patient
    def place(self, source: Path, expected: Digest, uri: str) -> None:
        """Bring a file to its address: copied under another name, verified there, renamed.

        The other name is made of the content: a killed process leaves a part that the next run
        writes over, and two that ingest the same file write the same bytes.

        Parameters
        ----------
        source : pathlib.Path
            File to copy.
        expected : Digest
            Its size and checksum.
        uri : str
            Address.
        """
        there = self.stat(uri)
        if there == expected:
            return
        if there is not None:
            logger.warning("%s holds other bytes that no entry points to: replaced", uri)
        part = f"{uri}.{expected.adler32}.part"
        self.put(source, part)
        found = self.stat(part)
        if found != expected:
            raise StorageError(f"{part} arrived as {found}, sent was {expected}")
        self.rename(part, uri)


class FolderStore(Store):
    """A storage element that is a folder of this machine (protocol ``file``)."""

    def __init__(self, prefix: str):
        self.prefix = prefix.rstrip("/")

    def address(self, dids):
        """See `Store.address`."""
        return {did: f"file://localhost{self.prefix}{did_dict(did)['name']}" for did in dids}

    def stat(self, uri):
        """See `Store.stat`."""
        try:
            return digest(_path(uri))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, source, uri):
        """See `Store.put`."""
        if not Path(self.prefix).is_dir():
            raise LakeError(
                f"the storage folder {self.prefix} is not on this machine",
                "mount it, or use a storage element with a network protocol",
            )
        target = _path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            copy(source, target)
        except OSError:
            target.unlink(missing_ok=True)
            raise

    def rename(self, old, new):
        """See `Store.rename`."""
        _path(old).replace(_path(new))
        descriptor = os.open(_path(new).parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def get(self, uri, target):
        """See `Store.get`."""
        return copy(_path(uri), target)


class NetworkStore(Store):
    """A storage element behind one of Rucio's protocols, such as XRootD or WebDAV.

    Parameters
    ----------
    session : ctabatch.lake.rucio_session.RucioSession
        Gives the token.
    rse : dict
        The storage element as the server describes it.
    scheme : str
        Protocol.
    """

    def __init__(self, session: RucioSession, rse: dict, scheme: str):
        self._session = session
        self._rse = rse
        self._scheme = scheme
        self._local = threading.local()

    def _protocol(self, operation: str):
        from rucio.rse import rsemanager
        from rucio.rse.translation import RSEDeterministicTranslation

        # The library asks whether it knows the policy's algorithm before it has loaded the policy.
        RSEDeterministicTranslation()
        token = self._session.token
        held = getattr(self._local, operation, None)
        if held is None or held[0] != token:
            protocol = rsemanager.create_protocol(
                {**self._rse, "protocols": [dict(item) for item in self._rse["protocols"]]},
                operation,
                scheme=self._scheme,
                auth_token=token,
                logger=_quiet,
            )
            protocol.connect()
            held = (token, protocol)
            setattr(self._local, operation, held)
        return held[1]

    def _do(self, operation: str, method: str, *args, **options):
        from rucio.common.exception import RucioException

        try:
            return getattr(self._protocol(operation), method)(*args, **options)
        except RucioException as error:
            raise _fault(self._rse["rse"], error) from error

    def address(self, dids):
        """See `Store.address`."""
        return self._do("write", "lfns2pfns", [did_dict(did) for did in dids])

    def stat(self, uri):
        """See `Store.stat`."""
        if not self._do("write", "exists", uri):
            return None
        found = self._do("write", "stat", uri)
        return Digest(int(found["filesize"]), found["adler32"].zfill(8))

    def put(self, source, uri):
        """See `Store.put`."""
        source = Path(source).absolute()
        self._do("write", "put", source.name, uri, str(source.parent))

    def rename(self, old, new):
        """See `Store.rename`."""
        # Most storage systems refuse to rename to a name that is taken.
        if self._do("write", "exists", new):
            self._do("delete", "delete", new)
        self._do("write", "rename", old, new)

    @_patient
    def get(self, uri, target):
        """See `Store.get`."""
        target.unlink(missing_ok=True)
        self._do("read", "get", uri, str(target))
        return digest(target)


class RucioStorage:
    """The storage elements of a lake.

    Parameters
    ----------
    session : ctabatch.lake.rucio_session.RucioSession
        Connection.
    """

    def __init__(self, session: RucioSession):
        self._session = session
        self._described: dict[str, dict] = {}
        self._stores: dict[tuple[str, str], Store] = {}

    def describe(self, rse: str) -> dict:
        """Return a storage element as the server describes it.

        Raises
        ------
        ctabatch.errors.InputError
            There is none of this name; names those there are.
        """
        if rse not in self._described:
            from rucio.common.exception import RSENotFound

            try:
                found = self._session.call("get_rse", rse, expected=("RSENotFound",))
            except RSENotFound:
                names = sorted(row["rse"] for row in self._session.call("list_rses"))
                raise InputError(f"no storage element {rse!r}", allowed=", ".join(names)) from None
            self._described[rse] = found
        return self._described[rse]

    def tier(self, rse: str) -> str:
        """Return ``DISK`` or ``TAPE``."""
        return self.describe(rse)["rse_type"]

    def store(self, rse: str, scheme: str | None = None) -> Store:
        """Return the access to a storage element.

        Parameters
        ----------
        rse : str
            Its name.
        scheme : str, optional
            Protocol; the preferred one for writing by default.
        """
        described = self.describe(rse)
        if scheme is None:
            if not described["availability_write"]:
                raise LakeError(f"{rse} is closed for writing", "choose another storage element")
            writable = [item for item in described["protocols"] if _rank(item) is not None]
            if not writable:
                raise LakeError(f"{rse} has no protocol for writing", "ask its operators")
            scheme = min(writable, key=_rank)["scheme"]
        key = (rse, scheme)
        if key not in self._stores:
            protocol = next(item for item in described["protocols"] if item["scheme"] == scheme)
            # Only CTAO's naming is known to put a file below the prefix as it is called.
            plain = described.get("lfn2pfn_algorithm") == "ctao_bdms"
            self._stores[key] = (
                FolderStore(protocol["prefix"])
                if scheme == "file" and plain and described["deterministic"]
                else NetworkStore(self._session, described, scheme)
            )
        return self._stores[key]

    def of(self, rse: str, uri: str) -> Store:
        """Return the access to the storage element of a replica, by the replica's protocol."""
        return self.store(rse, urlsplit(uri).scheme)


def _rank(protocol: dict) -> int | None:
    return protocol["domains"]["wan"].get("write")


def _path(uri: str) -> Path:
    return Path(os.path.normpath(urlsplit(uri).path))


def _quiet(level, message, *args, **options):
    logger.log(min(level, logging.DEBUG), message, *args)


def _fault(rse: str, error: Exception) -> Exception:
    """Tell what may pass from what needs a person."""
    kind, text = type(error).__name__, one_line(error)
    lower = text.lower()
    if "no space left" in lower or "quota exceeded" in lower:
        return OSError(errno.ENOSPC, f"no space left on {rse}")
    if kind == "SourceNotFound" or "no such file" in lower:
        return FileNotFoundError(errno.ENOENT, f"{rse} does not have the file")
    if kind in ("RSEAccessDenied", "RSEOperationNotSupported", "RSEProtocolNotSupported"):
        return LakeError(f"{rse} refuses access: {text}", "check your login and its permissions")
    return StorageError(f"{rse}: {text}")
