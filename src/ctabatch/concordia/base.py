"""Base images: Debian with the packages of one kind of image, then with locked Python packages.

Each is made once, named by the SHA-256 of all that decides its content, and kept for every store of
this user in ``<cache>/ctabatch/bases`` (or ``CTABATCH_BASES``).
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ctabatch.concordia import apptainer
from ctabatch.concordia.cards import environment, template
from ctabatch.concordia.recipe import BASE
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.identity import digest

#: Environment variable with the address of a Debian archive; apt's own settings otherwise.
MIRROR = "CTABATCH_DEBIAN_MIRROR"
#: Environment variable with the folder of the base images.
BASES = "CTABATCH_BASES"
#: Base images that were not used for so many seconds are deleted.
UNUSED = 90 * 86400


def mirror() -> str:
    """Return the address of a Debian archive: the variable, else the one that apt uses here."""
    if address := os.environ.get(MIRROR):
        return _checked(address)
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        done = None
    for address in done.stdout.split() if done else ():
        if address.rstrip("/").endswith("/debian"):
            return _checked(address)
    raise BatchError(
        "apt of this machine names no Debian archive to bootstrap from",
        f"set {MIRROR} to one, or recipe.base to an image by digest",
    )


def _checked(address: str) -> str:
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:/@%+"
    if not address.startswith(("http://", "https://")) or set(address) - set(allowed):
        raise InputError(f"{address!r} is not an address", MIRROR, "http:// or https://")
    return address


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def bases_folder() -> Path:
    """Return the folder of the base images."""
    import platformdirs

    return Path(os.environ.get(BASES) or platformdirs.user_cache_path("ctabatch") / "bases")


def base_image(base: str, packages: tuple[str, ...], build_folder: Path) -> Path:
    """Return a base image with the given Debian packages; makes it where there is none yet.

    Parameters
    ----------
    base : str
        As `ctabatch.concordia.recipe.Recipe.base`.
    packages : tuple of str
        Debian packages that it must hold.
    build_folder : pathlib.Path
        Folder for temporary files.
    """
    parts = BASE.fullmatch(base)
    if parts["file"]:
        return _given(Path(parts["path"]), parts["file"])
    text = template("base.def.j2")
    key = digest({"base": base, "packages": packages, "definition": text})

    def prepare(folder: Path) -> str:
        image = f"{parts['image']}@sha256:{parts['docker']}" if parts["image"] else None
        return (
            environment()
            .get_template("base.def.j2")
            .render(
                image=image,
                suite=parts["suite"],
                mirror=None if image else mirror(),
                packages=packages,
            )
        )

    return _kept(key, prepare, build_folder)


def python_image(base: Path, files: dict[str, str], build_folder: Path) -> Path:
    """Return a base image with locked Python packages in ``/opt/venv``; makes it where there is none.

    Parameters
    ----------
    base : pathlib.Path
        Image with Debian's Python, of `base_image`.
    files : dict
        ``requirements.txt``, ``uv.txt`` and ``install-python.sh``.
    build_folder : pathlib.Path
        Folder for temporary files.
    """
    text = template("environment.def")
    key = digest({"base": sha256_of(base), "files": files, "definition": text})

    def prepare(folder: Path) -> str:
        (folder / "context").mkdir()
        for name, content in files.items():
            (folder / "context" / name).write_text(content, encoding="utf-8")
        shutil.copyfile(base, folder / "base0.sif")
        return text

    return _kept(key, prepare, build_folder)


def _kept(key: str, prepare: Callable[[Path], str], build_folder: Path) -> Path:
    """Return a base image by its key; `prepare` fills a folder and gives the definition."""
    path = bases_folder() / f"{key}.sif"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            path.touch()
            return path
        _clean(path.parent)
        with apptainer.build_folder(build_folder) as folder:
            recipe = folder / "base.def"
            recipe.write_text(prepare(folder))
            log = path.with_suffix(".log")
            log.unlink(missing_ok=True)
            # Bases are unpacked again soon: small would cost more than it saves.
            apptainer.build(recipe, folder / "base.sif", log, level=1)
            temporary = path.with_suffix(".part")
            shutil.copyfile(folder / "base.sif", temporary)
            temporary.replace(path)
    return path


def _clean(folder: Path) -> None:
    for path in folder.glob("*.sif"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED:
                path.unlink()


def _given(path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise InputError(f"no such file: {path}", "concordia.recipe.base")
    found = sha256_of(path)
    if found != sha256:
        raise IntegrityError(f"base image {path} has SHA-256 {found}, the recipe says {sha256}")
    return path
