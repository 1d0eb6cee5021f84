"""A MariaDB server of a part: its own data, loopback interface only, no waiting for the disk."""

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from common import State, run, wait_for

PACKAGES = ("mariadb-server", "eatmydata")


def _socket(state: State) -> Path:
    return state.folder / "mariadb.sock"


def password(state: State) -> str:
    """Return the password of this instance's accounts; others on the machine can't log in."""
    path = state.folder / "mariadb.password"
    if not path.exists():
        state.private(path.name, secrets.token_hex(16))
    return path.read_text()


def start(state: State, *options: str) -> None:
    """Start the server, unless it runs.

    Parameters
    ----------
    state : State
        The part's instance; its port is named ``mariadb``.
    *options : str
        Further options of ``mariadbd``.
    """
    user = pwd.getpwuid(os.geteuid()).pw_name
    data = state.folder / "mariadb"
    if not (data / "complete").exists():
        shutil.rmtree(data, ignore_errors=True)
        # eatmydata: several hundred fsync make 0.5 s of work 4-6 s; the data may be lost.
        argv = ["eatmydata", "mariadb-install-db", "--no-defaults", f"--datadir={data}"]
        argv += [f"--user={user}", "--skip-test-db", "--auth-root-authentication-method=socket"]
        run([*argv, f"--auth-root-socket-user={user}"])
        (data / "complete").touch()
    argv = ["eatmydata", "mariadbd", "--no-defaults", f"--user={user}", f"--datadir={data}"]
    argv += [f"--socket={_socket(state)}", f"--pid-file={state.run}/mariadb.own.pid"]
    argv += ["--bind-address=127.0.0.1", f"--port={state.port('mariadb')}", "--skip-name-resolve"]
    argv += ["--innodb-buffer-pool-size=64M", "--performance-schema=OFF", "--skip-log-bin"]
    state.spawn("mariadb", [*argv, *options])
    ping = ["mariadb-admin", "--no-defaults", f"--socket={_socket(state)}", "ping"]
    wait_for(
        lambda: subprocess.run(ping, capture_output=True, check=False).returncode == 0,
        f"mariadb ({state.logs}/mariadb.log)",
        alive=lambda: state.alive("mariadb"),
    )


def execute(state: State, sql: str) -> str:
    """Run SQL statements as the administrator; returns what they print."""
    argv = ["mariadb", "--no-defaults", "--batch", f"--socket={_socket(state)}"]
    return run(argv, input=sql).stdout


def grant(state: State, account: str, databases: str) -> None:
    """Make an account that reaches `databases` (a pattern such as ``slurm_acct.*``) by TCP."""
    execute(
        state,
        f"CREATE USER IF NOT EXISTS {account}@'127.0.0.1' IDENTIFIED BY '{password(state)}';"
        f"GRANT ALL ON {databases} TO {account}@'127.0.0.1';",
    )
