"""Small uncompressed tar archives: one file between two jobs, on any storage.

Jobs on machines without a common file system exchange files, not folders.
"""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ctabatch.errors import BatchError
from ctabatch.files import replacing


def pack(folder: Path, archive: Path) -> None:
    """Pack the files of a folder, sorted; the archive appears as a whole or not at all."""
    with replacing(archive) as temporary, tarfile.open(temporary, "w") as tar:
        for path in sorted(Path(folder).iterdir()):
            tar.add(path, path.name)


@contextmanager
def unpacked(archive: Path, near: Path | None = None) -> Iterator[Path]:
    """Give a temporary folder with the files of an archive; it is removed afterwards.

    Parameters
    ----------
    archive : pathlib.Path
        The archive.
    near : pathlib.Path, optional
        Folder in which the temporary one is made; that of the archive by default.

    Raises
    ------
    ctabatch.errors.BatchError
        It is missing or damaged.
    """
    archive = Path(archive)
    near = Path(near or archive.parent)
    near.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{archive.stem[:40]}.", dir=near) as name:
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    if not (member.isfile() or member.isdir()):
                        raise tarfile.TarError(f"{member.name!r} is no file")
                tar.extractall(name, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise BatchError(f"{archive} can't be unpacked: {error}", "make it again") from None
        yield Path(name)
