"""Fixtures: a real DiracX server with stand-in pilot and XRootD storage, and runs of Snakemake."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(Path(__file__).parent), str(PROJECT / "scripts/stack"), str(PROJECT / "tests")]

from require import require  # noqa: E402


@pytest.fixture(scope="session")
def stack():
    """Start the fast stack under a name of its own and stop it at the end.

    ``DIRACX_TEST_INSTANCE`` names an instance (empty: the default one) to be used and kept.
    """
    import diracx_part
    from common import State, environment

    kept = os.environ.get("DIRACX_TEST_INSTANCE")
    state = State("diracx", f"test{os.getpid()}" if kept is None else kept)
    require(
        (environment("diracx") / "bin/python").exists(),
        "no DiracX server here: python scripts/stack/stack.py install diracx",
    )
    state.make()
    diracx_part.up(state)
    state.stop("pilot")
    diracx_part.start_pilot(
        state, "--path", str(Path(sys.executable).parent), "--heartbeat", "0.3", "--poll", "0.2"
    )
    try:
        yield state
    finally:
        if kept is None:
            diracx_part.down(state)
            state.purge()


class Grid:
    """A workflow folder and the means to run it on the grid of the stack."""

    def __init__(self, state, folder: Path):
        self.state = state
        self.folder = folder
        self.values = state.env()
        self.name = uuid.uuid4().hex[:8]
        self.faults([])
        subprocess.run(["git", "init", "-q", folder], check=True)

    def write(self, text, name="Snakefile"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        subprocess.run(["git", "-C", self.folder, "add", "-A"], check=True)

    def faults(self, rules):
        path = self.state.folder / "faults.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(rules))
        temporary.replace(path)

    @property
    def prefix(self):
        return f"{self.values['DIRACX_STORAGE']}/{self.name}"

    def stored(self, name):
        """Return a file of the storage, seen from the server's side."""
        return self.state.folder / "storage/data/scratch" / self.name / name

    def environment(self, **more):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "DIRACX"))}
        values = {k: v for k, v in self.values.items() if k != "DIRACX_STACK"}
        return keep | values | more

    def command(self, *options):
        argv = [sys.executable, "-m", "snakemake", "--executor", "dirac", "--jobs", "100"]
        argv += ["--default-storage-provider", "xrootd", "--default-storage-prefix", self.prefix]
        argv += ["--storage-xrootd-max-requests-per-second", "1000", "--rerun-incomplete"]
        return [*argv, "--latency-wait", "1", "--dirac-status-interval", "0.5", *options]

    def start(self, *options, env=None, log="log"):
        with (self.folder / log).open("wb") as out:
            return subprocess.Popen(
                self.command(*options),
                cwd=self.folder,
                env=self.environment(**(env or {})),
                stdout=out,
                stderr=subprocess.STDOUT,
                # Shells start background jobs with SIGINT ignored, which would be inherited.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    def run(self, *options, env=None, timeout=600):
        """Run to the end; returns exit code and output."""
        process = self.start(*options, env=env)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return code, self.log()

    def log(self, name="log"):
        return (self.folder / name).read_text(errors="replace")

    def wait_for(self, text, log="log", timeout=240):
        end = time.monotonic() + timeout
        while text not in self.log(log):
            assert time.monotonic() < end, f"{text!r} not in:\n{self.log(log)}"
            time.sleep(0.1)

    def jobs(self):
        """Return the jobs of this workflow as the server knows them."""
        import sqlite3

        group = next(
            line.rpartition("job group ")[2]
            for line in self.log().splitlines()
            if "job group smk-" in line
        )
        with sqlite3.connect(self.state.folder / "jobdb.db", timeout=30) as database:
            database.row_factory = sqlite3.Row
            query = "SELECT * FROM Jobs WHERE JobGroup = ? ORDER BY JobID"
            return [dict(row) for row in database.execute(query, (group.strip(),))]


@pytest.fixture
def grid(stack, tmp_path):
    folder = tmp_path / "flow"
    folder.mkdir()
    return Grid(stack, folder)


@pytest.fixture
def proxy(stack):
    """Stand between client and server, with faults on demand."""
    from proxy import FaultyProxy

    server = FaultyProxy(stack.env()["DIRACX_URL"])
    yield server
    server.close()


@pytest.fixture
def connect(stack, monkeypatch, tmp_path):
    """Make connections to the server, each with a login of its own."""
    import logging

    import diracx_part

    from snakemake_executor_plugin_dirac.client import Connection
    from snakemake_executor_plugin_dirac.settings import ExecutorSettings

    made = []

    def make(url=None, user="alice", **settings):
        name = f"test-{uuid.uuid4().hex[:8]}"
        path = diracx_part.credentials(stack, user, name)
        monkeypatch.setenv("DIRACX_CREDENTIALS_PATH", str(path))
        url = url or stack.env()["DIRACX_URL"]
        connection = Connection(ExecutorSettings(url=url, **settings), logging.getLogger("dirac"))
        connection.file = path
        made.append(connection)
        return connection

    yield make
    for connection in made:
        connection.close()
