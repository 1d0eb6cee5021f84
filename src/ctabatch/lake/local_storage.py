"""Storage of the embedded lake: one folder a storage element, files at paths made from their DIDs.

Files are written into ``.incoming/<token>`` beside their final place, and renamed. The lock of a
token is held while its process lives, so what a killed process left is known and swept away.
"""

import errno
import fcntl
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from ctabatch.errors import BatchError, ConflictError, LakeError
from ctabatch.lake.checksum import Digest, copy, digest
from ctabatch.lake.names import parse_did

_INCOMING = ".incoming"

#: Copies in flight; more than processors, as each waits for the disk to confirm.
_WORKERS = 8


def explain(error: OSError, doing: str) -> BatchError:
    """Turn a failure of the file system into an error that says what to do."""
    reason = error.strerror or str(error)
    where = f": {error.filename}" if error.filename else ""
    hint = None
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space and run it again; nothing of this call became visible"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "check owner and permissions of the folder"
    return LakeError(f"{doing} failed: {reason}{where}", hint)


def in_parallel(
    action: Callable,
    items: Sequence,
    report: Callable | None = None,
    stopped: threading.Event | None = None,
) -> list:
    """Apply `action` to all items in threads; the first failure stops the rest and is raised.

    Parameters
    ----------
    action : callable
        Takes an item.
    items : sequence
        What to work on.
    report : callable, optional
        Called with (number done, item) in the calling thread.
    stopped : threading.Event, optional
        Set on a failure or an interrupt, so that actions under way can end early.

    Returns
    -------
    list
        Results in the order of `items`.
    """
    results = []
    with ThreadPoolExecutor(_WORKERS) as pool:
        futures = [pool.submit(action, item) for item in items]
        try:
            for item, future in zip(items, futures, strict=True):
                results.append(future.result())
                if report:
                    report(len(results), item)
        except BaseException:
            if stopped is not None:
                stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


@contextmanager
def incoming(folder: Path) -> Iterator[Path]:
    """Provide a folder for half-written files below `folder`, removed at the end.

    Parameters
    ----------
    folder : pathlib.Path
        Folder on the file system of the final files.

    Yields
    ------
    pathlib.Path
        A new folder, not swept by others while this process lives.
    """
    base = _base(folder)
    base.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    lock, descriptor = _acquire(base)
    work = lock.with_suffix("")
    try:
        work.mkdir()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(descriptor)
        _remove_if_empty(base)


def _base(folder: Path) -> Path:
    base = folder / _INCOMING
    if base.is_symlink():  # files would be written and swept in somebody else's folder
        raise LakeError(f"{base} is a symbolic link; it must not be", "remove it")
    return base


def _acquire(base: Path) -> tuple[Path, int]:
    while True:
        base.mkdir(parents=True, exist_ok=True)
        lock = base / f"{uuid.uuid4().hex}.lock"
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # another process just removed the empty base
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Between the two calls a sweep may have taken the file for one of a dead process.
        if lock.exists():
            return lock, descriptor
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in ``.incoming`` of a folder."""
    for lock in _base(folder).glob("*.lock"):
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


class Storage:
    """The folders of the storage elements.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the lake; each storage element is a folder of its name below.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def rse_folder(self, rse: str) -> Path:
        """Return the folder of a storage element."""
        return self.folder / rse

    def path(self, rse: str, did: str) -> Path:
        """Return where a storage element keeps a file."""
        scope, name = parse_did(did)
        return self.folder / rse / scope / name[1:]

    def is_complete(self, rse: str, did: str, size: int) -> bool:
        """Tell whether a file is there with its size; cheap, without reading it."""
        try:
            return self.path(rse, did).stat().st_size == size
        except (FileNotFoundError, NotADirectoryError):
            return False

    def copy_in(self, source: Path, target: Path) -> Digest:
        """Copy a file into an incoming folder, and read it back to verify size and checksum."""
        expected = copy(source, target)
        found = digest(target)
        if found != expected:
            raise OSError(errno.EIO, "the copy differs from its source", str(target))
        return found

    def place(self, rse: str, moves: Iterable[tuple[Path, str]]) -> None:
        """Rename complete files to their final places, and make the renaming durable.

        The caller holds the catalogue's write lock, so no other process places the same DID.

        Parameters
        ----------
        rse : str
            Storage element.
        moves : iterable of (path, DID)
            Files of an incoming folder, and what they are.

        Raises
        ------
        ctabatch.errors.ConflictError
            A file is in the place of a folder, or the other way round.
        """
        folders: set[Path] = set()
        for source, did in moves:
            target = self.path(rse, did)
            try:
                if target.parent not in folders:
                    folders |= self._make_folder(rse, target.parent)
                source.replace(target)
            except (NotADirectoryError, FileExistsError, IsADirectoryError):
                raise ConflictError(
                    f"{did} can't be stored on {rse}: a file and a folder would share a name"
                ) from None
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _make_folder(self, rse: str, folder: Path) -> set[Path]:
        """Make a folder; returns it and those above it, up to the storage element."""
        above = self._above(rse, folder)
        folder.mkdir(parents=True, exist_ok=True)
        return {*above, self.rse_folder(rse)}

    def _above(self, rse: str, folder: Path) -> list[Path]:
        """Return a folder and those above it, below the storage element; none may be a link."""
        root = self.rse_folder(rse)
        above = [folder, *folder.parents]
        above = above[: above.index(root)]
        for path in above:
            if path.is_symlink():
                raise LakeError(f"storage folder {path} is a symbolic link; it must not be")
        return above

    def remove(self, rse: str, did: str) -> None:
        """Remove a file and the folders that became empty."""
        self.remove_path(rse, self.path(rse, did))

    def remove_path(self, rse: str, path: Path) -> None:
        """Remove a file given by its path, and the folders that became empty."""
        above = self._above(rse, path.parent)
        path.unlink(missing_ok=True)
        for parent in above:
            if not _remove_if_empty(parent):
                break

    def stored(self, rse: str) -> Iterator[tuple[str, Path]]:
        """Yield DID and path of all files on a storage element, incoming ones excepted."""
        root = self.rse_folder(rse)
        for path in root.rglob("*"):
            relative = path.relative_to(root)
            if relative.parts[0] == _INCOMING or (path.is_dir() and not path.is_symlink()):
                continue
            yield f"{relative.parts[0]}:/{'/'.join(relative.parts[1:])}", path
