"""An ingest that is killed at any point shows nothing half, and the same call completes it."""

import itertools
import os
import signal
import threading
import uuid
from pathlib import Path

import pytest

from ctabatch.lake.base import NewFile
from ctabatch.lake.rucio import RucioLake
from ctabatch.lake.rucio_session import RucioSession
from ctabatch.lake.rucio_storage import FolderStore
from rucio_tools import DISK, ROOT, lake_settings

FILES = 3
#: More than an ingest has; the test fails if none of its children lives to the end.
MOST_OPERATIONS = 60

pytestmark = pytest.mark.xdist_group("rucio")


def _count(before):
    """Call `before` with the number of each operation on server or storage, before it is done."""
    numbers, lock = itertools.count(1), threading.Lock()

    def counted(function):
        def wrapper(*args, **options):
            with lock:
                before(next(numbers))
            return function(*args, **options)

        return wrapper

    RucioSession.call = counted(RucioSession.call)
    FolderStore.rename = counted(FolderStore.rename)
    whole = counted(FolderStore.put)

    def put(self, source, uri):
        # Half of the bytes are there when the next operation is forbidden.
        path = Path(uri.removeprefix("file://localhost"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
        whole(self, source, uri)

    FolderStore.put = put


def _ingest_and_die(settings, files, dataset, number):
    """Ingest in a child process that kills itself before an operation; returns whether it did."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _count(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == number else None)
            RucioLake(settings).ingest(files, dataset=dataset)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("named", [True, False], ids=["dataset", "no dataset"])
def test_killed_before_each_operation(rucio, tmp_path, named):
    settings = lake_settings(rucio)
    lake = RucioLake(settings)
    step = 1 if named else 4  # without a dataset the steps are the same
    for number in range(1, MOST_OPERATIONS, step):
        tag = f"t{uuid.uuid4().hex[:12]}"
        files = []
        for i in range(FILES):
            path = tmp_path / f"f{i}"
            path.write_bytes(os.urandom(50_000))
            files.append(NewFile(path, f"dpps:{ROOT}/{tag}/f{i}", {"tag": tag, "i": i}))
        dids = [item.did for item in files]
        dataset = f"dpps:{ROOT}/{tag}/set" if named else None
        killed = _ingest_and_die(settings, files, dataset, number)

        seen = list(lake.search(f"tag = {tag}")["did"])
        assert seen in ([], dids), f"killed before operation {number}"
        if seen:
            assert lake.verify(dids) == {}
            assert all("i" in found for found in lake.metadata(dids).values())
        if killed:
            lake.ingest(files, dataset=dataset)
        _check_whole(rucio, lake, files, dataset, tag, number)
        if not killed:
            break
    else:
        pytest.fail("no ingest came to its end")
    assert number > 10


def _check_whole(env, lake, files, dataset, tag, number):
    dids = [item.did for item in files]
    where = f"killed before operation {number}"
    assert list(lake.search(f"tag = {tag}")["did"]) == dids, where
    replicas = lake.replicas(dids)
    assert [(r.did, r.rse) for r in replicas] == [(did, DISK) for did in dids], where
    assert lake.verify(dids) == {}, where
    folder = Path(env["RUCIO_STORAGE"]) / f"disk{ROOT}/{tag}"
    assert sorted(path.name for path in folder.iterdir()) == ["f0", "f1", "f2"], where
    for did in dids:
        rules = lake.session.call("list_associated_rules_for_file", "dpps", did[5:])
        assert len(rules) == 1, where
        assert rules[0]["expires_at"] is None
        if dataset:
            assert rules[0]["name"] == dataset[5:]
    if dataset:
        assert lake.volume([dataset]).files == FILES, where
        assert lake.session.call("get_did", "dpps", dataset[5:])["open"] is False, where
