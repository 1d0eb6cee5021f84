"""Real services for the tests: each session starts instances of its own and deletes them."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts/stack"
sys.path.insert(0, str(SCRIPTS))

import common  # noqa: E402

import stack as stack_command  # noqa: E402
from checkout import Checkout, copy_checkout  # noqa: E402
from made_once import made_once  # noqa: E402
from require import require  # noqa: E402


def pytest_collection_modifyitems(items):
    """All tests of this folder need a server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("stack")


@pytest.fixture(scope="session")
def start_part():
    """Start a part through scripts/stack; gives its `common.State`, or skips the test."""
    instance = f"pytest-{os.getpid()}"
    started = []

    def command(*arguments):
        return subprocess.run(
            [sys.executable, SCRIPTS / "stack.py", *arguments, "--instance", instance],
            capture_output=True,
            text=True,
            check=False,
        )

    def start(part):
        state = common.State(part, instance)
        if part not in started:
            require(stack_command.load(part).installed(), f"{part} is absent: make stack-install")
            started.append(part)
            done = command("up", part)
            assert done.returncode == 0, done.stderr
        return state

    yield start
    for part in started:
        command("down", part, "--purge")


@pytest.fixture(scope="module")
def made_here(tmp_path_factory):
    """A checkout in which this machine alone produced ``config/test/irf-tiny.yaml``."""

    def make(folder):
        copy_checkout(folder)
        Checkout(folder).snakemake("irf", config="config/test/irf-tiny.yaml")

    return Checkout(made_once(tmp_path_factory, "made-here", make))


@pytest.fixture(scope="session")
def dirac9(start_part):
    """Connection details of a DIRAC 9; ``DIRAC9_STACK`` names one that is to be used and kept."""
    if folder := os.environ.get("DIRAC9_STACK"):
        return json.loads(Path(folder, "env.json").read_text())
    return start_part("dirac9").env()


@pytest.fixture(scope="session")
def rucio(start_part):
    """Connection details of a Rucio server."""
    return start_part("rucio").env()


@pytest.fixture
def rucio_state(start_part):
    """The `common.State` of the Rucio server."""
    return start_part("rucio")


@pytest.fixture
def rucio_admin(rucio):
    """Calls as Rucio's root account."""
    from ctabatch.lake.rucio_session import RucioSession
    from rucio_tools import lake_settings

    return RucioSession(lake_settings(rucio, "root").rucio)


@pytest.fixture
def make_files(tmp_path):
    """Files of one test: ``make_files(3)`` gives three, whose key ``tag`` is ``make_files.tag``."""
    from ctabatch.lake.base import NewFile
    from rucio_tools import ROOT

    tag = f"t{uuid.uuid4().hex[:12]}"

    def files(count, size=100, scope="dpps", root=ROOT, name="f"):
        result = []
        for number in range(count):
            path = tmp_path / f"{name}{number}"
            path.write_bytes(os.urandom(size))
            did = f"{scope}:{root}/{tag}/{name}{number}"
            result.append(NewFile(path, did, {"tag": tag, "n": number}))
        return result

    files.tag = tag
    return files
