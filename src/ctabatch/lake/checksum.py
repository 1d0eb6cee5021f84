"""Adler-32 checksums: of files, and of what a copy writes."""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

_BLOCK = 1 << 20


class Digest(NamedTuple):
    """Size in bytes and adler32 (8 hexadecimal digits) of a file."""

    bytes: int
    adler32: str


def digest(path: Path) -> Digest:
    """Read a file and return its size and checksum."""
    with Path(path).open("rb", buffering=0) as stream:
        return _pump(stream, None)


def copy(source: Path, target: Path, *, durable: bool = True) -> Digest:
    """Copy a file to a new one, reading it once.

    Parameters
    ----------
    source : pathlib.Path
        File to read.
    target : pathlib.Path
        File to write; it must not exist.
    durable : bool
        Return only when the disk has it.

    Returns
    -------
    Digest
        Of the bytes that were read.

    Raises
    ------
    OSError
        Reading or writing failed, or `source` changed meanwhile; a part may be left at `target`.
    """
    with (
        Path(source).open("rb", buffering=0) as stream,
        Path(target).open("xb", buffering=0) as output,
    ):
        before = os.fstat(stream.fileno())
        result = _pump(stream, output.write)
        after = os.fstat(stream.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise OSError(None, "the file changed while it was copied", str(source))
        if durable:
            os.fsync(output.fileno())
    return result


def _pump(stream, write) -> Digest:
    # One byte more than the file holds, so that its end is seen; small files are many.
    buffer = memoryview(bytearray(min(_BLOCK, os.fstat(stream.fileno()).st_size + 1)))
    size, checksum = 0, 1
    while count := stream.readinto(buffer):
        block = buffer[:count]
        size += count
        checksum = zlib.adler32(block, checksum)
        while write and len(block):
            block = block[write(block) :]
    return Digest(size, f"{checksum:08x}")
