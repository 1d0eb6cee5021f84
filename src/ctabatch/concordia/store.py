"""The local image store: one folder an image, complete or absent.

``<store>/<digest>/image.sif`` with ``image.json`` (what it is, its SHA-256, who signed it) and
``build.log``. A folder appears under its name by one rename.
"""

import os
import shutil
from pathlib import Path

from filelock import FileLock

from ctabatch.concordia.base import sha256_of
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.files import read_json, write_json


class Store:
    """Images on this machine.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the store; made when an image is put.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def image(self, digest: str) -> Path:
        """Return where the image of a digest lies or would lie."""
        return self.folder / digest / "image.sif"

    def find(self, digest: str) -> dict | None:
        """Return the record of an image, None if there is none or its file is gone."""
        path = self.folder / digest / "image.json"
        if not path.exists() or not self.image(digest).exists():
            return None
        return read_json(path)

    def match(self, prefix: str) -> str:
        """Return the only digest that starts with `prefix`; anything else is an `InputError`."""
        if not prefix or set(prefix) - set("0123456789abcdef"):
            raise InputError(f"{prefix!r} is not a digest", allowed="hexadecimal digits")
        known = [path.parent.name for path in self.folder.glob("*/image.json")]
        found = [name for name in known if name.startswith(prefix)]
        if len(found) != 1:
            many = "several images" if found else "no image"
            raise InputError(f"{many} in {self.folder} with digest {prefix}...")
        return found[0]

    def lock(self, digest: str) -> FileLock:
        """Return the lock under which an image is made: two builds at once give one image."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / f".{digest}.lock")

    def clean(self, digest: str) -> Path:
        """Return an empty folder for a new image; what a killed build left is deleted."""
        folder = self.folder / f".{digest}.part"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def put(self, digest: str, folder: Path, record: dict) -> dict:
        """Give a folder of `clean`, which holds ``image.sif``, its name; returns the record."""
        image = folder / "image.sif"
        record = {**record, "sha256": sha256_of(image), "bytes": image.stat().st_size}
        write_json(folder / "image.json", record)
        with image.open("rb") as stream:
            os.fsync(stream.fileno())
        target = self.folder / digest
        # Without its image the old folder is a ruin.
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
        return record

    def note(self, digest: str, record: dict) -> dict:
        """Replace the record of an image; returns it."""
        write_json(self.folder / digest / "image.json", record)
        return record

    def verified(self, digest: str, sha256: str) -> Path:
        """Return the image after reading all of it again.

        Raises
        ------
        ctabatch.errors.BatchError
            It is gone.
        ctabatch.errors.IntegrityError
            Its bytes changed.
        """
        path = self.image(digest)
        if not path.exists():
            raise BatchError(
                f"image {digest[:12]} is not in {self.folder} any more",
                "run 'cta-batch concordia build' again",
            )
        found = sha256_of(path)
        if found != sha256:
            raise IntegrityError(f"{path} has SHA-256 {found}, expected {sha256}")
        return path
