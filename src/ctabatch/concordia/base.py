"""Base images: Debian with the packages of one kind of image, made once and kept in the store."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

from ctabatch.concordia import apptainer
from ctabatch.concordia.cards import environment, template
from ctabatch.concordia.recipe import BASE
from ctabatch.errors import BatchError, InputError, IntegrityError
from ctabatch.identity import digest

#: Environment variable with the address of a Debian archive; apt's own settings otherwise.
MIRROR = "CTABATCH_DEBIAN_MIRROR"


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


def base_image(base: str, packages: tuple[str, ...], store: Path, build_folder: Path) -> Path:
    """Return a base image with the given packages; makes it where the store has none.

    Parameters
    ----------
    base : str
        As `ctabatch.concordia.recipe.Recipe.base`.
    packages : tuple of str
        Debian packages that it must hold.
    store : pathlib.Path
        Folder of the local images.
    build_folder : pathlib.Path
        Folder for temporary files.
    """
    parts = BASE.fullmatch(base)
    if parts["file"]:
        return _given(Path(parts["path"]), parts["file"])
    key = digest({"base": base, "packages": packages, "definition": template("base.def.j2")})
    path = store / "base" / f"{key}.sif"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return path
        with apptainer.build_folder(build_folder) as folder:
            image = f"{parts['image']}@sha256:{parts['docker']}" if parts["image"] else None
            text = (
                environment()
                .get_template("base.def.j2")
                .render(
                    image=image,
                    suite=parts["suite"],
                    mirror=None if image else mirror(),
                    packages=packages,
                )
            )
            recipe = folder / "base.def"
            recipe.write_text(text)
            log = path.with_suffix(".log")
            log.unlink(missing_ok=True)
            # Bases are unpacked again soon: small would cost more than it saves.
            apptainer.build(recipe, folder / "base.sif", log, level=1)
            temporary = path.with_suffix(".part")
            shutil.copyfile(folder / "base.sif", temporary)
            temporary.replace(path)
    return path


def _given(path: Path, sha256: str) -> Path:
    if not path.is_file():
        raise InputError(f"no such file: {path}", "concordia.recipe.base")
    found = sha256_of(path)
    if found != sha256:
        raise IntegrityError(f"base image {path} has SHA-256 {found}, the recipe says {sha256}")
    return path
