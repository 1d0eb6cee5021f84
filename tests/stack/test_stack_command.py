"""`scripts/stack/stack.py` itself, with its smallest part: instances, ports, processes, leftovers."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import pytest
import xrootd_part

from require import require

STACK = [sys.executable, str(common.HERE / "stack.py")]


@pytest.fixture
def tmp_path():
    """A folder with a short name, as XRootD's sockets need, which other users can reach."""
    with tempfile.TemporaryDirectory(prefix="stack-") as name:
        folder = Path(name)
        for part in (folder, *folder.parents):
            mode = part.stat().st_mode
            if mode & 0o011 != 0o011:
                part.chmod(mode | 0o011)
        yield folder


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """Run the command with a state folder of the test's own; stops what is left at the end."""
    require(xrootd_part.installed(), "XRootD is absent: make stack-install")
    monkeypatch.setenv("STACK_DIR", str(tmp_path))

    def run(action, *options, code=0):
        done = subprocess.run(
            [*STACK, action, "xrootd", *options], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    yield run
    for path in tmp_path.glob("xrootd*"):
        run("down", "--instance", path.name.removeprefix("xrootd-"), "--purge")


def state_of(name):
    return common.State("xrootd", name)


def test_instances_live_side_by_side(stack):
    stack("up", "--instance", "a")
    stack("up", "--instance", "b")
    first, second = state_of("a"), state_of("b")
    assert first.env()["XROOTD_STORAGE"] != second.env()["XROOTD_STORAGE"]
    stack("down", "--instance", "a", "--purge")
    assert not first.folder.exists()
    assert second.alive("storage")


def test_up_again_does_nothing_and_after_down_keeps_data_and_port(stack):
    stack("up", "--instance", "a")
    state = state_of("a")
    before, number = state.env(), state.pid("storage")
    stack("up", "--instance", "a")
    assert (state.env(), state.pid("storage")) == (before, number)
    assert str(number) in stack("status", "--instance", "a")
    kept = state.folder / "storage/data/scratch/kept"
    kept.write_text("kept")
    stack("down", "--instance", "a")
    assert not state.env()
    assert "down" in stack("status", "--instance", "a")
    stack("up", "--instance", "a")
    assert state.env() == before
    assert kept.read_text() == "kept"


def test_port_taken_by_another_is_not_fought_for(stack):
    stack("up", "--instance", "a")
    state = state_of("a")
    before = state.env()["XROOTD_STORAGE"]
    stack("down", "--instance", "a")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", json.loads((state.run / "ports.json").read_text())["storage"]))
        other.listen()
        stack("up", "--instance", "a")
        assert state.env()["XROOTD_STORAGE"] != before


def test_process_that_was_killed_is_told_and_started_again(stack):
    stack("up", "--instance", "a")
    state = state_of("a")
    os.kill(state.pid("storage"), signal.SIGKILL)
    common.wait_for(lambda: not state.alive("storage"), "its end")
    assert "DEAD" in stack("status", "--instance", "a")
    stack("up", "--instance", "a")
    assert state.alive("storage")


def test_another_process_with_a_recorded_number_is_left_alone(stack):
    """A stale record, after a reboot for instance, must not cost somebody else's process."""
    stack("up", "--instance", "a")
    state = state_of("a")
    stack("down", "--instance", "a")
    with subprocess.Popen(["sleep", "60"]) as other:
        (state.run / "storage.pid.json").write_text(json.dumps({"pid": other.pid, "started": "1"}))
        stack("down", "--instance", "a")
        assert other.poll() is None
        other.kill()


def test_unknown_part_is_refused(stack):
    done = subprocess.run([*STACK, "up", "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no part 'nothing'; there are: " in done.stderr
