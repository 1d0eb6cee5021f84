"""Where the image of a request is: in the local store, a registry, CVMFS, or yet to be built."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from ctabatch.concordia import apptainer, registry
from ctabatch.concordia.base import sha256_of
from ctabatch.concordia.definition import options_digest
from ctabatch.concordia.store import Store
from ctabatch.config.concordia import ConcordiaRequest, Images
from ctabatch.errors import InputError, IntegrityError


@dataclass(frozen=True)
class Location:
    """Where an image is.

    Parameters
    ----------
    digest : str
        Options digest, the image's name.
    action : str
        ``use`` (in the store), ``pull`` (registry), ``copy`` (CVMFS) or ``build``.
    where : str
        Path or address.
    sha256 : str or None
        Of the image file, as far as it is known.
    size : int or None
        Bytes of the image file.
    """

    digest: str
    action: Literal["use", "pull", "copy", "build"]
    where: str
    sha256: str | None = None
    size: int | None = None


def request_digest(request: ConcordiaRequest) -> str:
    """Return the options digest of a request."""
    return options_digest(request.recipe, request.source.sha256 if request.source else None)


def locate(request: ConcordiaRequest) -> Location:
    """Look for the image of a request: local store, registry, CVMFS; the first one is it.

    Raises
    ------
    ctabatch.concordia.registry.RegistryError
        The registry does not answer: better to know than to build what exists.
    """
    digest = request_digest(request)
    images = request.images
    store = Store(images.store)
    if record := store.find(digest):
        path = str(store.image(digest))
        return Location(digest, "use", path, record["sha256"], record["bytes"])
    if images.registry and (found := registry.find(images.registry, digest)):
        return Location(digest, "pull", found.address, found.sha256, found.size)
    if images.cvmfs:
        path = images.cvmfs / f"{digest}.sif"
        if path.is_file():
            return Location(digest, "copy", str(path), None, path.stat().st_size)
    return Location(digest, "build", str(store.image(digest)))


def check_source(request: ConcordiaRequest) -> None:
    """Check that the source archive is there and is the right one."""
    source = request.source
    if source is None:
        return
    if not source.archive.is_file():
        raise InputError(
            f"no such file: {source.archive}",
            "concordia.source.archive",
            "your own copy of the source archive, which its licence forbids to pass on",
        )
    check_archive(source.archive, source.sha256, source.archive)


def check_archive(path: Path, sha256: str, name: Path) -> None:
    """Raise an `IntegrityError` that names `name` if `path` has another SHA-256."""
    found = sha256_of(path)
    if found != sha256:
        raise IntegrityError(
            f"concordia.source: {name} has SHA-256 {found}, the configuration says {sha256}",
            "get the archive again, or correct the checksum",
        )


def accept(image: Path, location: Location, images: Images) -> dict:
    """Check an image from elsewhere before it is used; returns its manifest and who signed it.

    Raises
    ------
    ctabatch.errors.IntegrityError
        Other bytes than announced, no signature of a trusted key, or the image of other options.
    """
    if location.sha256 and sha256_of(image) != location.sha256:
        raise IntegrityError(f"{location.where} arrived with other bytes than announced")
    key = apptainer.verified_by(image, images.keys.trusted)
    if key is None:
        raise IntegrityError(
            f"{location.where} is refused: it was changed, or no trusted key signed it",
            "ask its maker for the public key, or leave registry and cvmfs out to build here",
        )
    manifest = read_manifest(image)
    if manifest.get("options_digest") != location.digest:
        raise IntegrityError(
            f"{location.where} is refused: it is the image of other options "
            f"({str(manifest.get('options_digest'))[:12]})"
        )
    return {"manifest": manifest, "signed_by": key.name}


def read_manifest(image: Path) -> dict:
    """Return ``build_opts.yml`` of an image."""
    return yaml.safe_load(apptainer.read_inside(image, "/opt/concordia/build_opts.yml"))
