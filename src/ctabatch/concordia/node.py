"""The image on a worker node: fetched once, checked, and shared by the jobs of one user.

The folder ``/var/tmp/ctabatch-images-<uid>`` (or ``CTABATCH_NODE_CACHE``) outlives the jobs; files
in it are named by their SHA-256, appear by a rename, and go when nothing used them for a while.
"""

import contextlib
import errno
import logging
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from filelock import FileLock
from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_attempt
from tenacity import wait_exponential_jitter as backoff

from ctabatch.concordia import apptainer
from ctabatch.concordia.base import sha256_of
from ctabatch.concordia.job import Job
from ctabatch.concordia.plan import PLAN_AGAIN
from ctabatch.concordia.store import Store
from ctabatch.errors import BatchError, IntegrityError

#: Environment variable with the cache folder of a node.
CACHE = "CTABATCH_NODE_CACHE"
#: Images that no job used for so many seconds are deleted.
UNUSED = 14 * 86400
log = logging.getLogger(__name__)


class _FetchError(BatchError):
    """Worth another attempt."""


def cache_folder() -> Path:
    """Return the folder of the node's images; made where it is absent.

    Raises
    ------
    ctabatch.errors.BatchError
        It belongs to somebody else, who could exchange images.
    """
    path = Path(os.environ.get(CACHE) or f"/var/tmp/ctabatch-images-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = path.lstat()
    except OSError as error:
        raise BatchError(
            f"can't keep images in {path}: {error.strerror}", f"set {CACHE} to another folder"
        ) from None
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise BatchError(
            f"{path} is not a folder that only you can write to", f"set {CACHE} to another folder"
        )
    return path


def image_of(job: Job) -> Path:
    """Return the image of a job on this node; fetches and verifies it where it is absent.

    Looked for in the store (on the machine that planned, or where its files are shared), in the
    node's cache, then on CVMFS and in the registry. Where the store holds no such image, an image
    is used only if a trusted key signed it and its bytes are those of the record.

    Parameters
    ----------
    job : ctabatch.concordia.job.Job
        What to run.

    Raises
    ------
    ctabatch.errors.BatchError
        It can't be had from anywhere; says what to do.
    ctabatch.errors.IntegrityError
        What was found is another image, or no trusted key signed it.
    """
    plan, store = job.plan, Store(job.plan.store)
    if (record := store.find(plan.digest)) is not None:
        if record["sha256"] != job.sha256:
            raise IntegrityError("the image is another than the one that was planned", PLAN_AGAIN)
        return store.verified(plan.digest, job.sha256)
    if not job.registry and not job.cvmfs:
        raise BatchError(
            f"image {plan.digest[:12]} is not in {plan.store}, and there is no other place to "
            "get it from",
            "run 'cta-batch concordia build' (again); workers need images.registry or images.cvmfs",
        )
    folder = cache_folder()
    path = folder / f"{job.sha256}.sif"
    with FileLock(folder / f".{job.sha256}.lock"):
        if path.exists():
            if sha256_of(path) == job.sha256:
                path.touch()
                return path
            log.warning("%s was damaged; fetching it again", path)
            path.unlink()
        _clean(folder)
        temporary = folder / f".{job.sha256}.{os.getpid()}.part"
        try:
            _fetch(job, temporary)
            _verify(job, temporary)
            temporary.chmod(0o500)
            temporary.replace(path)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise BatchError(
                f"the disk of {folder} is full", f"free space, or set {CACHE}"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)
    return path


@retry(
    retry=retry_if_exception_type(_FetchError),
    stop=stop_after_attempt(4),
    wait=backoff(initial=1, max=20),
    before_sleep=before_sleep_log(log, logging.WARNING),
    reraise=True,
)
def _fetch(job: Job, target: Path) -> None:
    if job.cvmfs:
        source = job.cvmfs / f"{job.plan.digest}.sif"
        if source.is_file():
            shutil.copyfile(source, target)
            return
    if not job.registry:
        raise BatchError(f"{job.cvmfs} has no image {job.plan.digest[:12]}: is CVMFS mounted here?")
    address = f"{job.registry.address}:{job.plan.digest}"
    try:
        apptainer.pull(target, address, job.registry.insecure)
    except BatchError as error:
        if os.strerror(errno.ENOSPC).lower() in str(error).lower():
            raise OSError(errno.ENOSPC, str(error)) from None
        raise _FetchError(f"can't fetch oras://{address}: {error}") from None


def _verify(job: Job, image: Path) -> None:
    found = sha256_of(image)
    if found != job.sha256:
        raise IntegrityError(
            f"image {job.plan.digest[:12]} arrived with SHA-256 {found}, the plan says {job.sha256}",
            "somebody exchanged or changed it; plan again and look who signed it",
        )
    with tempfile.TemporaryDirectory() as name:
        keys = []
        for number, text in enumerate(job.keys):
            keys.append(Path(name) / f"{number}.pub")
            keys[-1].write_text(text)
        if apptainer.verified_by(image, keys) is None:
            raise IntegrityError(
                f"image {job.plan.digest[:12]} is refused: no trusted key signed it",
                "see concordia.images.keys",
            )


def _clean(folder: Path) -> None:
    """Delete what was not used for long, and what killed jobs left."""
    for path in folder.glob("*.sif"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > UNUSED:
                path.unlink()
    for path in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()
