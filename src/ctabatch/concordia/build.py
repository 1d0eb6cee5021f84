"""Get the image of a request into the local store: use, pull, copy or build, sign and push it."""

import errno
import json
import logging
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from ctabatch.concordia import apptainer, registry
from ctabatch.concordia.base import base_image, python_image
from ctabatch.concordia.cards import self_test_card
from ctabatch.concordia.definition import (
    definition,
    lock_name,
    packages,
    python_files,
    write_context,
)
from ctabatch.concordia.lookup import (
    Location,
    accept,
    check_archive,
    check_source,
    locate,
    read_manifest,
    request_digest,
)
from ctabatch.concordia.runs import execute
from ctabatch.concordia.store import Store
from ctabatch.config.concordia import ConcordiaRequest
from ctabatch.errors import BatchError, InputError

log = logging.getLogger(__name__)


def obtain(request: ConcordiaRequest) -> dict:
    """Make sure that the image of a request is in the local store; returns its record.

    Two calls at once, here or on machines that share a registry, end with one image. A call that
    was killed leaves nothing that a later one could take for an image.
    """
    digest = request_digest(request)
    store = Store(request.images.store)
    record = store.find(digest)
    if record is None:
        with store.lock(digest):
            location = locate(request)
            if location.action == "use":
                record = store.find(digest)
            else:
                try:
                    record = _make(request, location, store)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    raise BatchError(
                        "the disk became full; no image was made", "free some space and try again"
                    ) from None
    return _publish(request, record, store)


def _make(request: ConcordiaRequest, location: Location, store: Store) -> dict:
    folder = store.clean(location.digest)
    try:
        image = folder / "image.sif"
        if location.action == "build":
            record = _build(request, image, folder / "build.log")
        else:
            _fetch(request, location, image)
            record = accept(image, location, request.images)
        record |= {"options_digest": location.digest, "origin": location.action}
        record["software"] = _components(image)
        return store.put(location.digest, folder, record)
    except BaseException:
        # The log of a failed build is worth keeping, its image is not.
        (folder / "image.sif").unlink(missing_ok=True)
        raise


def _fetch(request: ConcordiaRequest, location: Location, image: Path) -> None:
    log.info("%s %s", location.action, location.where)
    if location.action == "pull":
        apptainer.pull(image, location.where, request.images.registry.insecure)
    else:
        shutil.copyfile(location.where, image)


def _build(request: ConcordiaRequest, image: Path, log_file: Path) -> dict:
    recipe, images = request.recipe, request.images
    check_source(request)
    sha256 = request.source.sha256 if request.source else None
    bases = [base_image(recipe.base, wanted, images.build_folder) for wanted in packages(recipe)]
    if recipe.code != "corsika7":
        files = python_files(lock_name(recipe.code))
        bases = [python_image(bases[0], files, images.build_folder)]
    with apptainer.build_folder(images.build_folder) as folder:
        source = None
        if request.source:
            source = folder / "source.archive"
            shutil.copyfile(request.source.archive, source)
            # Once more, now that nobody can change it.
            check_archive(source, sha256, request.source.archive)
        write_context(recipe, source, sha256, folder)
        for number, base in enumerate(bases):
            shutil.copyfile(base, folder / f"base{number}.sif")
        text = definition(
            recipe.code, recipe.resolved_version(), len(bases), request_digest(request)
        )
        recipe_file = folder / "image.def"
        recipe_file.write_text(text)
        apptainer.build(recipe_file, folder / "image.sif", log_file)
        shutil.copyfile(folder / "image.sif", image)
    image.chmod(0o755)
    self_test(request, image)
    key = images.keys.sign
    if key:
        apptainer.sign(image, key)
    return {
        "manifest": read_manifest(image),
        "signed_by": key.name if key else None,
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "self_test": "passed",
    }


def self_test(request: ConcordiaRequest, image: Path) -> None:
    """Run a few small showers through an image, as a run does.

    Raises
    ------
    ctabatch.concordia.apptainer.BuildError
        It fails, or writes nothing.
    """
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        work = Path(name)
        try:
            execute(image, request.recipe, self_test_card(request.recipe), 0, 1, work)
        except BatchError as error:
            raise apptainer.BuildError(f"the new image fails its self test: {error}") from None


def _components(image: Path) -> dict[str, int]:
    listed = json.loads(apptainer.read_inside(image, "/opt/concordia/sbom.json"))
    kinds = [item["purl"].partition("/")[0] for item in listed["components"]]
    return {kind.removeprefix("pkg:"): kinds.count(kind) for kind in sorted(set(kinds))}


def _publish(request: ConcordiaRequest, record: dict, store: Store) -> dict:
    target = request.images.registry
    digest = record["options_digest"]
    if not target or not target.push or record.get("pushed") == target.address:
        return record
    if request.recipe.licensed and not target.private:
        raise InputError(
            "the licence forbids to push this image to a registry that is not private",
            "concordia.images.registry",
        )
    with store.lock(digest):
        record = store.find(digest)
        if record is None:
            raise BatchError(f"image {digest[:12]} was removed meanwhile", "build it again")
        found = registry.find(target, digest)
        if found is None:
            if record["signed_by"] is None:
                record = _sign_late(request, record, store)
            log.info("push to %s", target.address)
            upload = f"upload-{record['sha256'][:16]}"
            apptainer.push(store.image(digest), f"{target.address}:{upload}", target.insecure)
            found = registry.publish(target, upload, digest)
        if found.sha256 != record["sha256"]:
            record = _adopt(request, store, found)
        return store.note(digest, record | {"pushed": target.address})


def _sign_late(request: ConcordiaRequest, record: dict, store: Store) -> dict:
    """Sign an image that was built when no key was configured; unsigned ones are not pushed."""
    digest, key = record["options_digest"], request.images.keys.sign
    folder = store.clean(digest)
    try:
        shutil.copytree(store.image(digest).parent, folder, dirs_exist_ok=True)
        apptainer.sign(folder / "image.sif", key)
        return store.put(digest, folder, record | {"signed_by": key.name})
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _adopt(request: ConcordiaRequest, store: Store, found: registry.Found) -> dict:
    """Take the image that somebody else pushed at the same time instead of our own."""
    digest = request_digest(request)
    log.warning("%s was pushed by somebody else meanwhile, using that one", found.address)
    location = Location(digest, "pull", found.address, found.sha256, found.size)
    return _make(request, location, store)
