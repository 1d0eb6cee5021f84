"""What every part of the stack needs: state folders, packages, ports and processes.

Only the standard library, so that it runs before anything is installed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]

#: Longest wait for a server to start, seconds: on a busy machine many times the usual.
PATIENCE = 300


class StackError(Exception):
    """A part could not be installed, started or stopped; one line that says what to do."""


def _open_to_all(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return all(path.stat().st_mode & 0o001 for path in (existing, *existing.parents))


def stack_dir() -> Path:
    """Return the folder that holds the state and the environments of all parts.

    ``STACK_DIR``, else ``.stack`` in the project. Started as root, some servers run as users of
    their own (PostgreSQL and XRootD refuse root); where those could not reach the project's
    folder, a folder below ``/var/tmp`` is taken.
    """
    if folder := os.environ.get("STACK_DIR"):
        return Path(folder).resolve()
    folder = PROJECT / ".stack"
    if os.geteuid() == 0 and not _open_to_all(folder):
        digest = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:8]
        return Path("/var/tmp") / f"ctabatch-stack-{digest}"
    return folder


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_answers(port: int) -> bool:
    """Tell whether something listens on a port of the loopback interface."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


def wait_for(ready: Callable[[], bool], what: str, timeout: float = PATIENCE, alive=None) -> None:
    """Wait until `ready` returns true.

    Parameters
    ----------
    ready : callable
        Asked again and again.
    what : str
        Named in the error.
    timeout : float
        Seconds to wait at most.
    alive : callable, optional
        Whether there is still something to wait for; its end ends the waiting.
    """
    end = time.monotonic() + timeout
    while not ready():
        if alive is not None and not alive():
            raise StackError(f"{what} ended while starting")
        if time.monotonic() > end:
            raise StackError(f"{what} did not start within {timeout:.0f} s")
        time.sleep(0.05)


def run(argv: Sequence[str | Path], **options) -> subprocess.CompletedProcess:
    """Run a command to its end; a failure becomes a `StackError` with the end of its output."""
    done = subprocess.run(
        [str(item) for item in argv], capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        output = (done.stderr or done.stdout).strip()[-2000:]
        raise StackError(f"{shlex.join(str(a) for a in argv)} failed: {output}")
    return done


def missing_packages(packages: Iterable[str]) -> list[str]:
    """Return the Debian packages that are not installed."""
    missing = []
    for package in packages:
        asked = subprocess.run(
            ["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.strip() != "installed":
            missing.append(package)
    return missing


def apt_install(packages: Iterable[str]) -> None:
    """Install the Debian packages that are missing, without starting their system services."""
    missing = missing_packages(packages)
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise StackError(f"no apt-get here: install {' '.join(missing)} by other means")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
    apt = [*sudo, *environment, "apt-get", "-q", "-y"]
    # Packages of servers start a system-wide one by default; policy-rc.d is Debian's way to say no.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        run([*sudo, "sh", "-c", f"printf '#!/bin/sh\\nexit 101\\n' >{policy}; chmod 755 {policy}"])
    try:
        install = [*apt, "install", "--no-install-recommends", *missing]
        try:
            run(install)
        except StackError:
            run([*apt, "update"])
            run(install)
    finally:
        if ours:
            run([*sudo, "rm", "-f", policy])


def uv() -> str:
    """Return the path of uv: ``UV``, else the one on PATH."""
    found = os.environ.get("UV") or shutil.which("uv")
    if not found:
        raise StackError("uv is needed: put it on PATH, or its path into the variable UV")
    return found


def environment(name: str) -> Path:
    """Return the folder of a server's own Python environment."""
    return stack_dir() / "env" / name


def make_environment(name: str, requirements: Path) -> None:
    """Make a Python environment from pinned requirements; done again only when they changed."""
    folder = environment(name)
    stamp = folder / "requirements.sha256"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    run([uv(), "venv", "--quiet", "--clear", "--python", sys.executable, folder])
    run([uv(), "pip", "sync", "--quiet", "--python", folder / "bin/python", requirements])
    stamp.write_text(digest)


def service_user(name: str) -> str | None:
    """Return the user to start a server as that refuses root: `name` for root, else nobody new."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise StackError(f"no user {name} here: run the install step of this part") from None
    return name


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks: tells it from a later one with the same number."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class State:
    """State folder of an instance of a part: processes, ports, logs and connection details.

    Parameters
    ----------
    part : str
        Name of the part.
    instance : str, optional
        Instances of a part live side by side; none is the default one.
    """

    def __init__(self, part: str, instance: str | None = None):
        self.part = part
        self.name = f"{part}-{instance}" if instance else part
        self.folder = stack_dir() / self.name
        self.run = self.folder / "run"
        self.logs = self.folder / "log"

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.folder, self.run, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self):
        """Let one process at a time start or stop this instance."""
        # Outside of the state folder, which may be deleted while another process waits.
        folder = stack_dir() / "lock"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / self.name).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def port(self, name: str) -> int:
        """Return the port of a server: the one it had while nobody else took it, or a new one."""
        path = self.run / "ports.json"
        ports = json.loads(path.read_text()) if path.exists() else {}
        known = ports.get(name)
        if known is None or (not self.alive(name) and port_answers(known)):
            ports[name] = free_port()
            path.write_text(json.dumps(ports))
        return ports[name]

    def private(self, name: str, text: str) -> Path:
        """Write a file that only its owner reads; returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.touch(mode=0o600)
        temporary.write_text(text)
        temporary.replace(path)
        return path

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Start a server in the background, unless it runs; its output goes to a log.

        Parameters
        ----------
        name : str
            Of the process: log file and pid file bear it.
        argv : sequence
            Command.
        env : dict, optional
            Variables added to the environment.
        user : str, optional
            User to run as.
        """
        if self.alive(name):
            return
        options = {}
        if user:
            group = pwd.getpwnam(user).pw_gid
            options = {"user": user, "group": group, "extra_groups": [group]}
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(item) for item in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd="/" if user else self.folder,
                start_new_session=True,
                **options,
            )
        record = {"pid": process.pid, "started": _started(process.pid)}
        (self.run / f"{name}.pid.json").write_text(json.dumps(record))

    def pid(self, name: str) -> int | None:
        """Return the process number of a server that runs, else None."""
        path = self.run / f"{name}.pid.json"
        if not path.exists():
            return None
        record = json.loads(path.read_text())
        alive = record["started"] and _started(record["pid"]) == record["started"]
        return record["pid"] if alive else None

    def alive(self, name: str) -> bool:
        """Tell whether a server runs."""
        return self.pid(name) is not None

    def stop(self, name: str, number: int = signal.SIGTERM, timeout: float = 10) -> None:
        """Stop a server by its process number; after `timeout` seconds its whole group is killed."""
        pid = self.pid(name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            end = time.monotonic() + timeout
            while self.alive(name) and time.monotonic() < end:
                # A child of this very process stays a zombie until it is asked for.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                time.sleep(0.02)
            if self.alive(name):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        (self.run / f"{name}.pid.json").unlink(missing_ok=True)

    def processes(self) -> dict[str, int | None]:
        """Return the servers that were started, with their process numbers while they run."""
        names = sorted(path.name.removesuffix(".pid.json") for path in self.run.glob("*.pid.json"))
        return {name: self.pid(name) for name in names}

    def write_env(self, values: Mapping[str, str]) -> None:
        """Write the connection details: ``env.json``, and ``env.sh`` to be sourced by a shell."""
        self.private("env.json", json.dumps(dict(values), indent=1) + "\n")
        lines = [f"export {key}={shlex.quote(str(value))}\n" for key, value in values.items()]
        self.private("env.sh", "".join(lines))

    def env(self) -> dict[str, str]:
        """Return the connection details; empty while the part is down."""
        path = self.folder / "env.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def purge(self) -> None:
        """Delete the state folder of a part that is down."""
        shutil.rmtree(self.folder, ignore_errors=True)
