"""Pack the running ctabatch as a wheel, byte for byte the same each time."""

import base64
import hashlib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import ctabatch

EPOCH = (1980, 1, 1, 0, 0, 0)


def _files() -> dict[str, bytes]:
    package = Path(ctabatch.__file__).parent
    found = {}
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found[f"ctabatch/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    return found


def pack(folder: Path) -> Path:
    """Write the wheel of this package to `folder`; returns its path.

    The image then holds exactly the code that asks for it, installed from a checkout or not.
    """
    installed = distribution("ctabatch")
    info = f"ctabatch-{installed.version}.dist-info"
    content = _files()
    content[f"{info}/METADATA"] = installed.read_text("METADATA").encode()
    content[f"{info}/entry_points.txt"] = installed.read_text("entry_points.txt").encode()
    content[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: ctabatch\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = []
    for name, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append(f"{name},sha256={digest},{len(data)}")
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = folder / f"ctabatch-{installed.version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            member = zipfile.ZipInfo(name, EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return path


def code_digest() -> str:
    """Return the SHA-256 over names and contents of the package's files."""
    total = hashlib.sha256()
    for name, data in _files().items():
        total.update(f"{name}\0{len(data)}\0".encode())
        total.update(data)
    return total.hexdigest()
