"""Processes of pytest-xdist share what is expensive to make."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

CONFTEST = """
import sys

import pytest

sys.path.insert(0, {tests!r})

from made_once import made_once


@pytest.fixture(scope="session")
def expensive(tmp_path_factory):
    def make(folder):
        with open({calls!r}, "a") as file:
            file.write("made\\n")
        {more}
        (folder / "product").write_text("good")

    return made_once(tmp_path_factory, "expensive", make)
"""
TEST = """
def test_use(expensive, worker_id):
    assert (expensive / "product").read_text() == "good"
    (expensive / "product").write_text("changed by one")
    with open({workers!r}, "a") as file:
        file.write(worker_id + "\\n")
"""


def run(folder, more=""):
    """Two test files in two processes; returns output, how often it was made, and the processes."""
    calls, workers = folder / "calls", folder / "workers"
    tests = folder / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text(
        CONFTEST.format(tests=str(TESTS), calls=str(calls), more=more)
    )
    for name in "ab":
        (tests / f"test_{name}.py").write_text(TEST.format(workers=str(workers)))
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-q", str(tests)]
    options = ["-c", "/dev/null", "--rootdir", str(tests), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *options, "--basetemp", str(folder / "base")],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        # nothing of the run that this test is part of
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST")},
    )
    made = calls.read_text().split()
    used = workers.read_text().split() if workers.exists() else []
    return done.stdout + done.stderr, len(made), sorted(used)


def test_made_once_and_copied(tmp_path):
    output, made, used = run(tmp_path)
    assert "2 passed" in output
    assert made == 1
    assert used == ["gw0", "gw1"]


def test_failure_is_told_and_not_repeated(tmp_path):
    output, made, used = run(tmp_path, "raise RuntimeError('no luck')")
    assert "2 errors" in output
    assert "expensive failed in another process" in output
    assert output.count("no luck") > 1
    assert (made, used) == (1, [])
