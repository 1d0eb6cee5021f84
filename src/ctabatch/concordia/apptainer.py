"""The Apptainer command line: build, run, sign, verify, push, pull.

Root builds through an ordinary user: where root lacks capabilities (many containers and virtual
machines) ``apptainer build`` can't work, and a build never needs root.
"""

import contextlib
import errno
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ctabatch.errors import BatchError, InputError

BUILD_USER = "ctabuild"
#: Names of temporary folders start so.
PREFIX = "ctabatch-build-"
#: Seconds in which a new folder gets its lock for sure.
STALE_AFTER = 60
#: What a build may see of the caller's environment: where packages come from, nothing else.
PASSED = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
)
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: zstd makes images smaller than gzip and starts programs faster.
COMPRESSION = "-comp zstd -Xcompression-level {level} -b 256K"


class BuildError(BatchError):
    """An image could not be built, or failed its self test."""


def program() -> str:
    """Return the path of apptainer; an error says how to get it."""
    found = shutil.which("apptainer", path=f"{os.environ.get('PATH', '')}:{PATH}")
    if not found:
        raise BatchError("apptainer is not installed", "install the package apptainer 1.3 or newer")
    return found


def call(arguments: Sequence[str | Path], **options) -> subprocess.CompletedProcess:
    """Run ``apptainer ARGUMENTS``; a failure becomes a `BatchError` with its last message."""
    command = [program(), *(str(item) for item in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise BatchError(f"apptainer {command[1]} failed: {_last_line(done.stderr)}")
    return done


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("FATAL", "ERROR"))]
    return (fatal or lines or ["no message"])[-1][:400]


def _builder() -> dict:
    """Return the arguments of `subprocess.run` that make a build an ordinary user's."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(BUILD_USER)
    except KeyError:
        raise BatchError(
            f"root builds images as user {BUILD_USER}, which does not exist here",
            "run scripts/apptainer_install.py, or build as an ordinary user",
        ) from None
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def build_folder(parent: Path) -> Iterator[Path]:
    """Make a temporary folder that the building user owns; deleted with all that is in it.

    What killed builds of the same user left in `parent` goes too.
    """
    try:
        for path in parent.glob(f"{PREFIX}*"):
            _remove_stale(path)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise BatchError(f"can't write to the build folder {parent}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _remove(folder)


def _remove_stale(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / ".lock").open("r") as lock:
        if time.time() - (folder / ".lock").stat().st_mtime < STALE_AFTER:
            return
        # Fails while its build lives.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder)


def _remove(folder: Path) -> None:
    # Some of Debian's folders can't be written to even by their owner.
    subprocess.run(["chmod", "-R", "u+rwX", folder], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def build(definition: Path, image: Path, log: Path, level: int = 6) -> None:
    """Build `image` from `definition`; both, and all files named there, lie in one build folder.

    Parameters
    ----------
    definition, image : pathlib.Path
        Inside the folder of `build_folder`.
    log : pathlib.Path
        Gets all output.
    level : int
        How hard to compress, 1 to 22.

    Raises
    ------
    BuildError
        Names the reason and the log; no image is left.
    """
    folder = definition.parent
    user = _builder()
    if user:
        for parent in folder.resolve().parents:
            if not parent.stat().st_mode & 0o001:
                raise BatchError(
                    f"user {BUILD_USER}, who builds for root, can't enter {parent}",
                    "choose another images.build_folder, such as /var/tmp",
                )
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user["user"], user["group"], follow_symlinks=False)
    home = folder / ".home"
    home.mkdir(mode=0o700, exist_ok=True)
    if user:
        os.chown(home, user["user"], user["group"])
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment |= {"PATH": PATH, "HOME": str(home), "LC_ALL": "C.UTF-8"}
    environment |= {"TMPDIR": str(folder), "APPTAINER_TMPDIR": str(folder)}
    command = [program(), "build", "--force", "--disable-cache"]
    command += ["--mksquashfs-args", COMPRESSION.format(level=level)]
    if CERTIFICATES.exists():
        command += ["--bind", f"{CERTIFICATES.parent}:/mnt"]
    with log.open("ab") as stream:
        done = subprocess.run(
            [*command, str(image), str(definition)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            check=False,
            **user,
        )
    if done.returncode or not image.exists():
        image.unlink(missing_ok=True)
        text = log.read_text(errors="replace")
        if os.strerror(errno.ENOSPC).lower() in text.lower():
            raise BuildError(
                f"the disk of {folder.parent} became full during the build",
                "free some space, or choose another images.build_folder",
            )
        raise BuildError(f"the build failed: {_reason(text)}", f"log: {log}")


def _reason(text: str) -> str:
    """Return the line of a build log that tells most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    noise = ("INFO", "WARNING", "FATAL", "+ ")
    told = [line for line in lines if not line.startswith(noise)]
    fatal = [line for line in lines if line.startswith("FATAL")]
    return " / ".join(line[:300] for line in (*told[-1:], *fatal[-1:])) or "no message"


def run(image: Path, work: Path, arguments: Sequence[str], log: Path) -> int:
    """Run an image, cut off from host, home and environment; returns the exit code.

    Parameters
    ----------
    image : pathlib.Path
        Image to run.
    work : pathlib.Path
        Folder that the program sees as ``/work``, and the only one that it can write to.
    arguments : sequence of str
        Handed to the run script.
    log : pathlib.Path
        Gets all output.
    """
    command = [program(), "run", "--containall", "--cleanenv", "--no-eval", "--no-home"]
    command += ["--bind", f"{work}:/work", "--cwd", "/work", str(image), *arguments]
    environment = {"PATH": PATH, "HOME": str(work), "LC_ALL": "C.UTF-8"}
    with log.open("ab") as stream:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        ).returncode


def read_inside(image: Path, *paths: str) -> str:
    """Return the text of files of an image, one after the other."""
    return call(["exec", "--containall", "--cleanenv", "--no-home", image, "cat", *paths]).stdout


def sign(image: Path, key: Path) -> None:
    """Sign with an ed25519 private key; a key that others can read is refused."""
    _key(key, "images.keys.sign")
    if key.stat().st_mode & 0o077:
        raise InputError(
            f"{key} can be read by others", "images.keys.sign", "mode 0600 (chmod 600)"
        )
    call(["sign", "--key", key, image])


def verified_by(image: Path, keys: Sequence[Path]) -> Path | None:
    """Return the first public key whose signature over the whole image is good, else None."""
    for key in keys:
        _key(key, "images.keys.trusted")
        done = subprocess.run(
            [program(), "verify", "--all", "--key", str(key), str(image)],
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return key
    return None


def _key(key: Path, where: str) -> None:
    if not key.is_file():
        raise InputError(f"no such file: {key}", where, "a PEM file with an ed25519 key")


def push(image: Path, address: str, insecure: bool) -> None:
    """Push an image to ``oras://ADDRESS``."""
    call(["push", *(["--no-https"] if insecure else []), image, f"oras://{address}"])


def pull(image: Path, address: str, insecure: bool) -> None:
    """Pull ``oras://ADDRESS`` to a file."""
    options = ["--force", "--disable-cache", *(["--no-https"] if insecure else [])]
    call(["pull", *options, image, f"oras://{address}"])
