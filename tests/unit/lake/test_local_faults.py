"""The embedded lake under faults: killed at every step, full disk, no permission, at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

import ctabatch.lake
from ctabatch.config.lake import LocalLakeSettings
from ctabatch.errors import ConflictError, LakeError
from ctabatch.lake.base import NewFile
from ctabatch.lake.local import LocalLake
from require import require

SET = "test:/ctao.dpps.test/test/set"
OLD = "test:/ctao.dpps.test/test/old"
KILLED = 9

# The forked children neither use nor wait for the threads of numerical libraries.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def open_lake(folder):
    return LocalLake(LocalLakeSettings(folder=folder))


def new_files(folder, names, content="content of {}"):
    """Write files and describe them."""
    folder.mkdir(exist_ok=True)
    files = []
    for name in names:
        path = folder / name
        path.write_text(content.format(name))
        did = f"test:/ctao.dpps.test/test/{name[0]}/{name}"
        files.append(NewFile(path, did, {"kind": "new", "name_": name}))
    return files


def in_child(action):
    """Run `action` in a forked process; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action()
        status = 0
    except LakeError:
        status = 3
    finally:
        os._exit(status)


def exit_of(pid):
    """Wait for a child; its exit status, negative signal number if killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at(step):
    """Leave the process, at once, when the given line of the lake's code is about to be run.

    Lines are counted when they are reached for the first or second time, in any thread.
    """
    seen, package = {}, str(Path(ctabatch.lake.__file__).parent)
    lock = threading.Lock()

    def trace(frame, event, _):
        if not frame.f_code.co_filename.startswith(package):
            return None
        if event == "line":
            with lock:
                line = (frame.f_code.co_filename, frame.f_lineno)
                seen[line] = seen.get(line, 0) + 1
                die_at.count += seen[line] <= 2
                if die_at.count == step:
                    os._exit(KILLED)
        return trace

    die_at.count = 0
    threading.settrace(trace)
    sys.settrace(trace)


def stored(folder):
    """All files of the lake but the catalogue's."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("catalogue.sqlite")
    )


def check_none_or_all(lake, files, complete=None):
    """The old file is there; of the new ones all or none, and then with dataset and metadata."""
    dids = [item.did for item in files]
    assert list(lake.search("kind = old")["did"]) == [OLD]
    found = list(lake.search("kind = new")["did"])
    assert found in ([], sorted(dids))
    assert list(lake.search("")["did"]) == sorted([OLD, *found])
    assert complete is None or bool(found) == complete
    if found:
        assert lake.volume([SET]).files == len(files)
        assert lake.verify([*dids, OLD]) == {}
    else:
        with pytest.raises(LakeError, match="no test:"):
            lake.volume([SET])
    return bool(found)


@pytest.fixture
def template(tmp_path):
    """A lake that holds one file."""
    folder = tmp_path / "template"
    path = tmp_path / "old"
    path.write_text("old content")
    in_lake = in_child(lambda: open_lake(folder).ingest([NewFile(path, OLD, {"kind": "old"})]))
    assert exit_of(in_lake) == 0
    return folder


@pytest.mark.slow
def test_killed_at_every_step_of_an_ingest(template, tmp_path):
    files = new_files(tmp_path / "new", ["a1", "a2", "b1"])
    step = became_visible = 0
    while True:
        step += 1
        folder = tmp_path / "lake"
        shutil.copytree(template, folder)

        def ingest(step=step, folder=folder):
            die_at(step)
            open_lake(folder).ingest(files, dataset=SET)

        status = exit_of(in_child(ingest))
        assert status in (0, KILLED)
        lake = open_lake(folder)
        became_visible += check_none_or_all(lake, files)
        result = lake.ingest(files, dataset=SET)
        assert len(result.registered + result.present) == 3
        check_none_or_all(lake, files, complete=True)
        assert lake.orphans() == []
        assert stored(folder) == [
            f"DISK/test/ctao.dpps.test/test/{name}" for name in ("a/a1", "a/a2", "b/b1", "old")
        ]
        shutil.rmtree(folder)
        if status == 0:
            break
    assert step > 150
    assert 1 <= became_visible < step


def test_killed_while_the_lake_is_made(tmp_path):
    files = new_files(tmp_path / "new", ["a1"])
    for step in range(20, 130, 2):
        folder = tmp_path / f"lake{step}"

        def ingest(step=step, folder=folder):
            die_at(step)
            open_lake(folder).ingest(files)

        assert exit_of(in_child(ingest)) in (0, KILLED)
        lake = open_lake(folder)
        assert len(lake.search("")) <= 1
        lake.ingest(files)
        assert lake.verify(dids := [item.did for item in files]) == {}
        assert list(lake.search("")["did"]) == dids


def test_killed_by_signal_while_ingesting(template, tmp_path):
    files = new_files(tmp_path / "new", [f"{'abc'[i % 3]}{i}" for i in range(60)])
    interrupted = 0
    for delay in range(2, 40, 4):
        folder = tmp_path / "lake"
        shutil.copytree(template, folder)
        pid = in_child(lambda folder=folder: open_lake(folder).ingest(files, dataset=SET))
        time.sleep(delay / 1000)
        os.kill(pid, signal.SIGKILL)
        interrupted += exit_of(pid) == -signal.SIGKILL
        lake = open_lake(folder)
        check_none_or_all(lake, files)
        lake.ingest(files, dataset=SET)
        check_none_or_all(lake, files, complete=True)
        assert len(stored(folder)) == 61
        shutil.rmtree(folder)
    assert interrupted


def test_killed_at_every_step_of_staging(tmp_path):
    folder = tmp_path / "lake"
    files = new_files(tmp_path / "new", ["a1", "a2"])
    dids = [item.did for item in files]
    assert exit_of(in_child(lambda: open_lake(folder).ingest(files, rse="TAPE"))) == 0
    disk = folder / "DISK"
    step, status = 0, None
    while status != 0:
        step += 3

        def cycle(step=step):
            die_at(step)
            lake = open_lake(folder)
            request = lake.stage(dids, rse="DISK", lifetime=1000)
            lake.wait(request)
            lake.release(request)

        status = exit_of(in_child(cycle))
        lake = open_lake(folder)
        request = lake.stage(dids, rse="DISK", lifetime=1000)
        lake.wait(request)
        assert set(lake.fetch(dids, tmp_path / "out")) == set(dids)
        assert lake.verify(dids) == {}
        lake.release(request)
        assert lake.requests() == []
        assert lake.orphans() == []
        assert [path for path in disk.rglob("*") if path.is_file()] == []
        assert lake.usage("DISK").used == 0
    assert step > 100


def processes(actions):
    """Run actions at the same moment, each in a process; returns their exit codes."""
    start = time.time() + 0.1

    def run(action):
        time.sleep(max(0, start - time.time()))
        action()

    return [exit_of(pid) for pid in [in_child(lambda a=action: run(a)) for action in actions]]


def test_processes_that_ingest_at_once(tmp_path):
    shared = new_files(tmp_path / "shared", [f"s{i}" for i in range(15)])
    own = [new_files(tmp_path / f"own{n}", [f"o{n}.{i}" for i in range(15)]) for n in range(4)]

    def ingest(number):
        # The lake is new: its catalogue is made by all of them at once.
        result = open_lake(tmp_path / "lake").ingest([*shared, *own[number]])
        (tmp_path / f"result{number}").write_text(json.dumps(result.registered))

    assert processes([lambda n=n: ingest(n) for n in range(4)]) == [0] * 4
    lake = open_lake(tmp_path / "lake")
    dids = [item.did for group in [shared, *own] for item in group]
    assert list(lake.search("kind = new")["did"]) == sorted(dids)
    assert lake.verify(dids) == {}
    registered = [d for n in range(4) for d in json.loads((tmp_path / f"result{n}").read_text())]
    assert sorted(registered) == sorted(dids)
    assert len(stored(tmp_path / "lake")) == 75


def test_one_of_several_contents_wins(tmp_path):
    def ingest(number):
        files = new_files(tmp_path / f"in{number}", ["a", "b", "c"], "{} of " + str(number))
        open_lake(tmp_path / "lake").ingest(files)

    statuses = processes([lambda n=n: ingest(n) for n in range(4)])
    assert sorted(statuses) == [0, 3, 3, 3]
    winner = statuses.index(0)
    lake = open_lake(tmp_path / "lake")
    paths = lake.fetch(list(lake.search("")["did"]), tmp_path / "out")
    assert sorted(p.read_text() for p in paths.values()) == [f"{n} of {winner}" for n in "abc"]


def test_same_request_of_several_processes(tmp_path):
    files = new_files(tmp_path / "new", [f"a{i}" for i in range(20)])
    dids = [item.did for item in files]
    open_lake(tmp_path / "lake").ingest(files, rse="TAPE")

    def cycle():
        lake = open_lake(tmp_path / "lake")
        lake.wait(lake.stage(dids, rse="DISK", lifetime=1000))

    assert processes([cycle] * 3) == [0] * 3
    lake = open_lake(tmp_path / "lake")
    assert len(lake.requests()) == 1
    assert len(lake.replicas(dids)) == 40
    assert lake.verify(dids) == {}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    require(done.returncode == 0, f"a small file system can't be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("catalogue_too", [False, True])
def test_full_disk(template, tmp_path, small_disk, catalogue_too):
    if catalogue_too:
        folder = shutil.copytree(template, small_disk / "lake")
    else:
        folder = template
        shutil.move(folder / "DISK", small_disk / "DISK")
        (folder / "DISK").symlink_to(small_disk / "DISK")
    files = new_files(tmp_path / "new", ["a1", "a2", "b1"], "{0}" * 200_000)
    lake = open_lake(folder)
    with pytest.raises(LakeError, match="No space left"):
        lake.ingest(files, dataset=SET)
    check_none_or_all(lake, files, complete=False)
    assert stored(small_disk / "DISK" if not catalogue_too else folder / "DISK") == [
        "test/ctao.dpps.test/test/old"
    ]
    lake.ingest(files[:1], dataset=SET)
    assert lake.volume([SET]).files == 1
    assert lake.verify([SET, OLD]) == {}
    # Now the folder of a fetch is on the full disk.
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(LakeError, match="No space left"):
        lake.fetch([OLD, SET], small_disk / "out")
    assert {path.name for path in (small_disk / "out").iterdir()} <= {"old"}


def test_folder_without_permission(tmp_path):
    files = new_files(tmp_path / "new", ["a1"])
    # Below the system's temporary folder: other users may not enter pytest's.
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        source = shutil.copy(files[0].path, base)
        folder = Path(base) / "lake"
        disk = folder / "DISK"
        disk.mkdir(parents=True)
        messages = Path(base) / "messages"
        messages.touch()
        messages.chmod(0o666)

        def ingest():
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            try:
                open_lake(folder).ingest([NewFile(Path(source), files[0].did)])
            except LakeError as error:
                messages.write_text(f"{messages.read_text()}{error}\n")
                raise

        disk.chmod(0o777)
        folder.chmod(0o555)
        assert exit_of(in_child(ingest)) == 3
        folder.chmod(0o777)
        disk.chmod(0o555)
        assert exit_of(in_child(ingest)) == 3
        first, second = messages.read_text().splitlines()
        assert "catalogue.sqlite can't be opened" in first
        assert "Permission denied" in second
        assert "permissions of the folder" in second
        disk.chmod(0o777)
        assert exit_of(in_child(ingest)) == 0


def test_conflict_found_late_leaves_nothing(template, tmp_path, monkeypatch):
    """Another process registers the name while this one copies."""
    files = new_files(tmp_path / "new", ["a1", "b1"])
    other = new_files(tmp_path / "other", ["b1"], "different {}")
    lake, rival = open_lake(template), open_lake(template)

    def interfere(done, total, did):
        if did.endswith("b1"):
            rival.ingest(other)

    with pytest.raises(ConflictError, match="b1"):
        lake.ingest(files, progress=interfere)
    assert list(lake.search("kind = new")["did"]) == [other[0].did]
    assert lake.verify([other[0].did]) == {}
    assert lake.orphans() == []
