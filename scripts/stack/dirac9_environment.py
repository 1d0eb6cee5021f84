"""Python environments and process environments of DIRAC and of DiracX beside it."""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mariadb
from common import HERE, StackError, State, apt_install, environment, make_environment, run, uv

SERVER = HERE / "dirac9_server"
PYTHON = "3.11"
# Two of DIRAC's dependencies have no wheels: mysqlclient and M2Crypto.
PACKAGES = ("gcc", "git", "libmariadb-dev", "libssl-dev", "openssl", "pkg-config", "swig")
PACKAGES += mariadb.PACKAGES
# A person's own grid environment leads neither servers nor jobs astray.
FOREIGN = ("X509_", "DIRAC", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "BEARER_TOKEN")
BUCKET_KEY = "stack"
# A service under load drops a TLS handshake now and then ("peer did not return certificate").
ATTEMPTS = 3


def dirac() -> Path:
    """Return the folder of DIRAC's commands."""
    return environment("dirac9") / "bin"


def diracx_python() -> Path:
    """Return the interpreter of the DiracX server."""
    return environment("dirac9-diracx") / "bin" / "python"


def install() -> None:
    """Install Debian packages and make both environments."""
    apt_install(PACKAGES)
    make_environment("dirac9-diracx", HERE / "requirements-dirac9-diracx.txt")
    _make_dirac()


def _make_dirac() -> None:
    folder = environment("dirac9")
    requirements = HERE / "requirements-dirac9.txt"
    loopback = SERVER / "loopback.py"
    stamp = folder / "requirements.sha256"
    digest = hashlib.sha256(requirements.read_bytes() + loopback.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    run([uv(), "venv", "--quiet", "--clear", "--python", PYTHON, folder])
    python = folder / "bin" / "python"
    include = run([python, "-c", "import sysconfig; print(sysconfig.get_path('include'))"]).stdout
    if not (Path(include.strip()) / "Python.h").exists():
        apt_install([f"python{PYTHON}-dev"])
    run([uv(), "pip", "sync", "--quiet", "--python", python, requirements])
    _copy_interpreter(folder)
    # Not as sitecustomize: Debian's Python has one of its own, which comes first.
    packages = folder / f"lib/python{PYTHON}/site-packages"
    shutil.copy(loopback, packages / "stack_loopback.py")
    (packages / "stack_loopback.pth").write_text("import stack_loopback\n")
    run(
        [
            python,
            "-c",
            "import DIRAC, M2Crypto, MySQLdb, sys; assert 'stack_loopback' in sys.modules",
        ]
    )
    stamp.write_text(digest)


def _copy_interpreter(folder: Path) -> None:
    """Put the interpreter itself in place of the link to it.

    JobAgent runs its job wrapper with ``os.path.realpath(sys.executable)``: a link would lead out
    of the environment, and so away from DIRAC.
    """
    binary = folder / "bin" / f"python{PYTHON}"
    real = (folder / "bin" / "python").resolve()
    for name in ("python", "python3", binary.name):
        (folder / "bin" / name).unlink(missing_ok=True)
    shutil.copy2(real, binary)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(binary.name)
    library = real.parents[1] / "lib"
    for shared in library.glob(f"libpython{PYTHON}.so*"):
        # An interpreter that is not linked statically looks for its library beside itself.
        target = folder / "lib" / shared.name
        if not target.exists():
            target.symlink_to(shared)


def _foreign() -> list[str]:
    return [name for name in os.environ if name.startswith(FOREIGN)]


def spawn(state: State, name: str, argv: Sequence[str | Path], variables: Mapping[str, str]):
    """Start a server without a person's own grid settings."""
    unset = [f"--unset={key}" for key in _foreign() if key not in variables]
    state.spawn(name, ["env", *unset, *argv], env=variables)


def execute(argv: Sequence[str | Path], variables: Mapping[str, str], **options) -> str:
    """Run a command to its end without a person's own grid settings; returns its output."""
    foreign = _foreign()
    own = {key: value for key, value in os.environ.items() if key not in foreign}
    return run(argv, env={**own, **variables}, **options).stdout


def dirac_variables(state: State, root: str, proxy: Path | None = None) -> dict[str, str]:
    """Return the variables of a DIRAC process.

    Parameters
    ----------
    state : State
        Instance of the part.
    root : str
        Installation whose ``etc/dirac.cfg`` counts: ``server``, ``client`` or a worker's.
    proxy : pathlib.Path, optional
        The user's proxy; a server has its certificate instead.
    """
    folder = state.folder / root
    values = {
        "DIRAC_ROOT_PATH": str(folder),
        "DIRACSYSCONFIG": str(folder / "etc/dirac.cfg"),
        "X509_CERT_DIR": str(state.folder / "grid/certificates"),
        "PATH": f"{dirac()}:{os.environ['PATH']}",
        # A system-wide policy may forbid proxies' key sizes or digests.
        "OPENSSL_CONF": os.devnull,
        "DIRAC_USE_JSON_ENCODE": "Yes",
        # Many threads, little memory each.
        "MALLOC_ARENA_MAX": "2",
    }
    if proxy:
        values["X509_USER_PROXY"] = str(proxy)
    return values


def dirac_command(
    state: State, name: str, *arguments: str | Path, root: str = "server", proxy: Path | None = None
) -> str:
    """Run one of DIRAC's commands to its end; returns its output."""
    variables = dirac_variables(state, root, proxy)
    argv = [dirac() / name, *arguments]
    for _ in range(ATTEMPTS - 1):
        try:
            return execute(argv, variables, cwd=state.folder, timeout=180)
        except StackError as error:
            if "Can't connect" not in str(error):
                raise
            print(f"{name}: {str(error).splitlines()[-1]}; trying again", file=sys.stderr)
            time.sleep(2)
    return execute(argv, variables, cwd=state.folder, timeout=180)


def installed() -> bool:
    """Tell whether both environments are there."""
    return (dirac() / "dirac-service").exists() and diracx_python().exists()


def check_installed() -> None:
    """Refuse to start what is not installed."""
    if not installed():
        raise StackError("not installed: run stack.py install dirac9")
