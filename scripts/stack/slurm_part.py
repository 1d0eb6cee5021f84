"""A Slurm cluster of one node, with accounting: munge, MariaDB, slurmdbd, slurmctld and slurmd.

All daemons run as whoever starts them and listen on the loopback interface only. Nothing is
written outside of the state folder, /etc/slurm included: clients find this cluster through
``SLURM_CONF``, jobs through the commands of its ``bin`` folder (see `_write_commands`).
"""

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import mariadb
from common import HERE, StackError, State, apt_install, run, wait_for

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurmdbd", "munge", *mariadb.PACKAGES)
COMMANDS = ("srun", "sbatch", "scancel", "squeue", "sacct", "sinfo", "scontrol")
ACCOUNT = "cta"
PORTS = ("slurmctld", "slurmd", "slurmdbd", "mariadb")


def install() -> None:
    """Install the Debian packages."""
    apt_install(PACKAGES)


def installed() -> bool:
    """Tell whether the part can start."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    return all(shutil.which(name, path=path) for name in ("slurmctld", "slurmdbd", "munged"))


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _conf(state: State) -> Path:
    return state.folder / "etc" / "slurm.conf"


def _client(state: State, *argv: str, check: bool = True) -> str:
    """Run a Slurm command against this cluster; returns its output."""
    environment = {**os.environ, "SLURM_CONF": str(_conf(state))}
    if check:
        return run(argv, env=environment, timeout=30).stdout
    done = subprocess.run(
        argv, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


def _limits() -> tuple[int, int]:
    """Return processors and memory (MiB) that the node offers.

    ``SLURM_STACK_CPUS`` may claim more processors than there are: jobs then share them.
    """
    cpus = int(os.environ.get("SLURM_STACK_CPUS", len(os.sched_getaffinity(0))))
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return cpus, int(total[1]) // 1024 - 512


def _write_configuration(state: State) -> None:
    host = socket.gethostname().partition(".")[0]
    cpus, memory = _limits()
    ports = {name: state.port(name) for name in PORTS}
    template = (HERE / "slurm.conf.in").read_text()
    text = template.format(
        host=host,
        user=_user(),
        folder=state.folder,
        logs=state.logs,
        cpus=cpus,
        memory=memory,
        **{f"{name}_port": number for name, number in ports.items()},
    )
    for name in ("etc", "munge", "slurmctld", "slurmd", "bin"):
        (state.folder / name).mkdir(exist_ok=True)
    _conf(state).write_text(text)
    # slurmdbd refuses a file that others can read.
    state.private(
        "etc/slurmdbd.conf",
        f"""AuthType=auth/munge
AuthInfo=socket={state.folder}/munge/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports["slurmdbd"]}
SlurmUser={_user()}
CommunicationParameters=NoInAddrAny
LogFile={state.logs}/slurmdbd.log
PidFile={state.run}/slurmdbd.own.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports["mariadb"]}
StorageUser=slurm
StoragePass={mariadb.password(state)}
StorageLoc=slurm_acct
""",
    )


def _write_commands(state: State) -> None:
    """Write Slurm's commands bound to this cluster; the task prolog puts them on a job's PATH.

    Inside a job, snakemake-executor-plugin-slurm-jobstep calls ``srun`` without ``SLURM_CONF``,
    which it drops with most other ``SLURM_*`` variables. srun then reads /etc/slurm/slurm.conf,
    which is absent, or another cluster's.
    """
    folder = state.folder / "bin"
    for command in COMMANDS:
        text = f'export SLURM_CONF="{_conf(state)}"\nexec /usr/bin/{command} "$@"\n'
        _write_script(folder / command, text)
    # Slurm takes "export NAME=VALUE" from the prolog's output into the environment of the task.
    _write_script(state.folder / "etc" / "task_prolog", f'echo "export PATH={folder}:$PATH"\n')


def _write_script(path: Path, text: str) -> None:
    # Renamed into place: a job may be reading the present one.
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(f"#!/bin/sh\n{text}")
    temporary.chmod(0o755)
    temporary.replace(path)


def _start_munge(state: State) -> None:
    folder = state.folder / "munge"
    key = folder / "munge.key"
    if not key.exists():
        key.touch(mode=0o400)
        with key.open("wb") as stream:
            stream.write(os.urandom(1024))
    if not state.alive("munged"):
        for stale in folder.glob("munge.socket*"):
            stale.unlink()
    argv = ["munged", "--foreground", "--num-threads=4", f"--key-file={key}"]
    argv += [f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"]
    argv += [f"--log-file={state.logs}/munged.log", f"--seed-file={folder}/munged.seed"]
    state.spawn("munged", argv)
    _wait(state, "munged", lambda: (folder / "munge.socket").exists())


def _start_accounting(state: State) -> None:
    fresh = not state.alive("slurmdbd")
    state.spawn("slurmdbd", ["slurmdbd", "-D"], env={"SLURM_CONF": str(_conf(state))})
    if not fresh:
        return
    log = state.logs / "slurmdbd.log"

    def answers():
        with contextlib.suppress(StackError):
            _client(state, "sacctmgr", "-n", "show", "cluster")
            return True
        return False

    _wait(state, "slurmdbd", answers, log)
    # Each says "Nothing new added" and exits with 1 where it is there already.
    for argv in (
        ("cluster", "ctabatch"),
        ("account", ACCOUNT, "Cluster=ctabatch", "Description=cta", "Organization=cta"),
        ("user", _user(), f"Account={ACCOUNT}", f"DefaultAccount={ACCOUNT}", "AdminLevel=Admin"),
    ):
        _client(state, "sacctmgr", "-i", "add", *argv, check=False)
    if not _client(state, "sacctmgr", "-n", "-P", "show", "assoc", f"user={_user()}"):
        raise StackError(f"slurmdbd did not take the account of {_user()}: see {log}")


def _start_cluster(state: State) -> None:
    environment = {"SLURM_CONF": str(_conf(state))}
    # -i: start although the recorded state is unreadable or absent.
    state.spawn("slurmctld", ["slurmctld", "-D", "-i"], env=environment)
    _wait(state, "slurmctld", lambda: "is UP" in _client(state, "scontrol", "ping", check=False))
    host = socket.gethostname().partition(".")[0]
    state.spawn("slurmd", ["slurmd", "-D", "-N", host], env=environment)

    def usable():
        node = _client(state, "sinfo", "-h", "-o", "%t", check=False)
        return bool(re.match(r"(idle|mix|alloc)$", node, re.MULTILINE))

    _wait(state, "slurmd", usable)


def _wait(state: State, name: str, ready, log: Path | None = None) -> None:
    log = log or state.logs / f"{name}.log"
    wait_for(ready, f"{name} ({log})", timeout=30, alive=lambda: state.alive(name))


def up(state: State) -> None:
    """Start the cluster."""
    if not shutil.which("slurmctld", path=os.environ.get("PATH", "") + ":/usr/sbin"):
        raise StackError("not installed: run stack.py install slurm")
    # Debian puts the daemons where an ordinary user's PATH does not lead.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin"
    _write_configuration(state)
    _write_commands(state)
    _start_munge(state)
    # slurmdbd complains about MariaDB's usual patience with locks.
    mariadb.start(state, "--innodb-lock-wait-timeout=900")
    mariadb.execute(state, "CREATE DATABASE IF NOT EXISTS slurm_acct")
    mariadb.grant(state, "slurm", "slurm_acct.*")
    _start_accounting(state)
    _start_cluster(state)
    state.write_env({"SLURM_CONF": str(_conf(state)), "SLURM_STACK_ACCOUNT": ACCOUNT})


def down(state: State) -> None:
    """Cancel all jobs and stop the daemons."""
    if state.alive("slurmctld"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            _client(state, "scancel", "-f", f"--user={_user()}", check=False)
            _drain(state)
    for name in ("slurmd", "slurmctld", "slurmdbd", "mariadb", "munged"):
        state.stop(name)


def _drain(state: State) -> None:
    """Wait until no job's processes are left: a daemon that stops leaves them behind."""
    end = time.monotonic() + 10
    while _client(state, "squeue", "-h", "-t", "R,CG", check=False) and time.monotonic() < end:
        time.sleep(0.1)


def running(state: State) -> bool:
    """Tell whether all daemons are alive."""
    return all(
        state.alive(name) for name in ("munged", "mariadb", "slurmdbd", "slurmctld", "slurmd")
    )
