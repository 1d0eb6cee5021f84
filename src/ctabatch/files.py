"""Write files so that a reader never sees half of one."""

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What `tempfile` makes of the prefixes and suffixes that it is given here, a dot in front.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+){0,2}")


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; renamed to `path` on success, removed on failure.

    The temporary name keeps the suffixes of `path`, because writers choose the format by them. A
    `private` file is readable by its owner only, at any time.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffixes = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=suffixes, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o600 if private else 0o666 & ~_umask())
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Tell whether a file or folder has a name as `replacing` gives it until it is complete."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_half_written(folder: Path) -> int:
    """Remove what killed processes left below a folder that nobody writes to; returns how many."""
    count = 0
    for place, folders, names in os.walk(folder):
        for name in filter(is_temporary, names):
            Path(place, name).unlink(missing_ok=True)
            count += 1
        for name in filter(is_temporary, list(folders)):
            shutil.rmtree(Path(place, name), ignore_errors=True)
            folders.remove(name)
            count += 1
    return count


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON as a whole or not at all."""
    write_text(path, json.dumps(content, indent=2, sort_keys=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a file that is not JSON is an `InputError` that names it."""
    from ctabatch.errors import InputError

    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (ValueError, RecursionError) as error:  # also bytes that are no text, endless numbers
        raise InputError(f"is not JSON: {error}", str(path)) from None


def read_secret(path: Path, what: str) -> str:
    """Read a secret from a file that only its owner may read.

    Parameters
    ----------
    path : pathlib.Path
        File with the secret and nothing else.
    what : str
        Names the key of the configuration in errors.

    Returns
    -------
    str
    """
    from ctabatch.errors import InputError

    try:
        mode = path.stat().st_mode
        text = path.read_text().strip()
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", where=what, allowed="a file to read"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(
            f"others may read {path}", where=what, allowed="mode 600: chmod 600 it first"
        )
    if not text:
        raise InputError(f"{path} is empty", where=what, allowed="a file with the secret")
    return text


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
