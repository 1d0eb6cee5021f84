"""The embedded lake fulfils the contract, and keeps its own promises."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from ctabatch.config.lake import LakeSettings, LocalLakeSettings
from ctabatch.errors import ConflictError, IntegrityError, LakeError
from ctabatch.lake.base import NewFile
from ctabatch.lake.local import LocalLake
from ctabatch.lake.open import open_lake
from lake_contract import LakeContract, Place


def path_of(replica):
    """File of a replica."""
    return Path(url2pathname(urlparse(replica.uri).path))


@pytest.fixture
def lake(tmp_path):
    return LocalLake(LocalLakeSettings(folder=tmp_path / "lake"))


@pytest.fixture
def place():
    return Place("test", "/ctao.dpps.test/test", "DISK", "TAPE", path_of)


class TestLocalLake(LakeContract):
    """The contract, and what only files in folders show."""

    def test_release_removes_the_copies(self, lake, place, tmp_path):
        files = [place.file(tmp_path, f"f{i}", f"tape {i}") for i in range(3)]
        dids = [item.did for item in files]
        lake.ingest(files, rse="TAPE")
        first = lake.stage(dids[:2], rse="DISK", lifetime=600)
        second = lake.stage(dids[1:], rse="DISK", lifetime=600)
        lake.wait(first)
        lake.wait(second)
        copies = {r.did: path_of(r) for r in lake.replicas(dids) if r.rse == "DISK"}
        lake.release(first)
        assert [r.did for r in lake.replicas(dids) if r.rse == "DISK"] == dids[1:]
        assert [copies[did].exists() for did in dids] == [False, True, True]
        lake.release(second)
        assert {r.rse for r in lake.replicas(dids)} == {"TAPE"}
        assert lake.verify(dids) == {}

    def test_lifetime_ends(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "tape")
        lake.ingest([item], rse="TAPE")
        request = lake.stage([item.did], rse="DISK", lifetime=0.2)
        lake.wait(request)
        time.sleep(0.25)
        assert [r.rse for r in lake.replicas([item.did])] == ["TAPE"]
        assert lake.requests() == []
        with pytest.raises(LakeError, match="not held any more"):
            lake.wait(request)
        with pytest.raises(LakeError, match="tape only"):
            lake.fetch([item.did], tmp_path / "out")

    def test_staged_file_that_is_ingested_to_disk_stays(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "tape")
        lake.ingest([item], rse="TAPE")
        request = lake.stage([item.did], rse="DISK", lifetime=600)
        lake.wait(request)
        assert lake.ingest([item], rse="DISK").present == (item.did,)
        lake.release(request)
        assert {r.rse for r in lake.replicas([item.did])} == {"DISK", "TAPE"}
        assert lake.volume([item.did]).files == 1

    def test_staging_what_is_on_disk_copies_nothing(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "disk")
        lake.ingest([item])
        request = lake.stage([item.did], rse="DISK", lifetime=600)
        lake.wait(request, timeout=0)
        lake.release(request)
        assert [r.rse for r in lake.replicas([item.did])] == ["DISK"]
        assert lake.fetch([item.did], tmp_path / "out")

    def test_corrupt_tape_is_named_after_several_attempts(self, lake, place, tmp_path, caplog):
        good, bad = place.file(tmp_path, "g", "good"), place.file(tmp_path, "b", "bad!")
        lake.ingest([good, bad], rse="TAPE")
        path_of(lake.replicas([bad.did])[0]).write_text("BAD!")
        request = lake.stage([good.did, bad.did], rse="DISK", lifetime=600)
        with pytest.raises(IntegrityError, match=r"/b can't be staged: TAPE: adler32"):
            lake.wait(request)
        assert "Retrying" in caplog.text
        assert {r.rse for r in lake.replicas([good.did, bad.did])} == {"TAPE"}
        assert lake.orphans() == []

    def test_missing_or_truncated_copy_is_repaired_by_ingest(self, lake, place, tmp_path):
        files = [place.file(tmp_path, "f", "content"), place.file(tmp_path, "g", "other")]
        dids = [item.did for item in files]
        lake.ingest(files)
        first, second = (path_of(r) for r in lake.replicas(dids))
        first.unlink()
        second.write_text("o")
        assert lake.verify(dids) == {
            dids[0]: "DISK: No such file or directory",
            dids[1]: "DISK: 1 bytes, registered are 5",
        }
        assert lake.ingest(files).present == tuple(dids)
        assert lake.verify(dids) == {}

    def test_file_and_folder_of_one_name(self, lake, place, tmp_path):
        lake.ingest([place.file(tmp_path, "f", "x")])
        below = place.file(tmp_path / "d", "f/g", "y")
        with pytest.raises(ConflictError, match="share a name"):
            lake.ingest([place.file(tmp_path, "a", "a"), below])
        assert len(lake.search("")) == 1
        assert lake.orphans() == []
        lake.ingest([place.file(tmp_path, "h/i", "z")])
        (tmp_path / "h2").write_text("h")
        with pytest.raises(ConflictError, match="share a name"):
            lake.ingest([NewFile(tmp_path / "h2", place.did("h"))])

    def test_symbolic_link_in_the_storage_is_refused(self, lake, place, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (tmp_path / "lake" / "DISK").mkdir(parents=True)
        (tmp_path / "lake" / "DISK" / "test").symlink_to(elsewhere)
        with pytest.raises(LakeError, match="symbolic link"):
            lake.ingest([place.file(tmp_path, "f", "x")])
        assert [path for path in elsewhere.rglob("*") if path.is_file()] == []
        assert len(lake.search("")) == 0

    def test_fetch_does_not_write_through_a_symbolic_link(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "content")
        lake.ingest([item])
        other = tmp_path / "other"
        other.write_text("precious")
        out = tmp_path / "out"
        out.mkdir()
        (out / "f").symlink_to(other)
        lake.fetch([item.did], out)
        assert (out / "f").read_text() == "content"
        assert other.read_text() == "precious"

    def test_orphans(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "content")
        lake.ingest([item])
        stray = tmp_path / "lake" / "DISK" / "test" / "x" / "stray"
        stray.parent.mkdir()
        stray.write_text("?")
        assert lake.orphans() == [stray]
        assert lake.orphans(remove=True) == [stray]
        assert lake.orphans() == []
        assert not stray.parent.exists()
        assert lake.verify([item.did]) == {}

    def test_one_lake_in_several_threads(self, lake, place, tmp_path):
        files = [place.file(tmp_path, f"f{i}", f"{i}") for i in range(40)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda item: lake.ingest([item]), files))
            found = list(pool.map(lambda _: len(lake.search(place.query())), range(8)))
        assert found == [40] * 8

    def test_many_files_in_one_call(self, lake, place, tmp_path):
        path = place.file(tmp_path, "f", "same").path
        files = [NewFile(path, place.did(f"{i:04d}"), {"tag": place.tag}) for i in range(1200)]
        lake.ingest(files, dataset=place.did("set"))
        assert lake.volume([place.did("set")]).bytes == 4800
        assert len(lake.metadata([item.did for item in files])) == 1200
        lake.set_metadata({item.did: {"n": i} for i, item in enumerate(files)})
        assert len(lake.search(place.query("n >= 600"))) == 600


def limited(tmp_path, **rses):
    """A lake with the given storage elements."""
    settings = {"folder": tmp_path / "lake", "rses": rses}
    return LocalLake(LocalLakeSettings.model_validate(settings))


def test_quota(tmp_path, place):
    lake = limited(tmp_path, DISK={"quota": 100}, TAPE={"tier": "TAPE"})
    files = [place.file(tmp_path, f"f{i}", b"x" * 40) for i in range(4)]
    lake.ingest(files[:2])
    with pytest.raises(LakeError, match="20 bytes left of its quota of 100, 80 are needed"):
        lake.ingest(files)
    assert len(lake.search("")) == 2
    assert lake.ingest(files[:2]).present
    usage = lake.usage("DISK")
    assert (usage.used, usage.quota_left) == (80, 20)
    assert lake.usage("TAPE").quota_left is None

    lake.ingest(files, rse="TAPE")
    with pytest.raises(LakeError, match="20 bytes left"):
        lake.stage([files[2].did], rse="DISK", lifetime=60)
    assert lake.requests() == []
    request = lake.stage([item.did for item in files[:2]], rse="DISK", lifetime=60)
    lake.wait(request)
    assert lake.usage("DISK").used == 80


def test_staging_reserves_its_quota(tmp_path, place):
    lake = limited(tmp_path, DISK={"quota": 100}, TAPE={"tier": "TAPE"})
    files = [place.file(tmp_path, f"f{i}", b"x" * 60) for i in range(2)]
    dids = [item.did for item in files]
    lake.ingest(files, rse="TAPE")
    request = lake.stage(dids[:1], rse="DISK", lifetime=60)
    assert lake.usage("DISK").used == 0
    assert lake.usage("DISK").quota_left == 40
    assert lake.stage(dids[:1], rse="DISK", lifetime=90).ids == request.ids
    with pytest.raises(LakeError, match="40 bytes left of its quota of 100, 60 are needed"):
        lake.stage(dids, rse="DISK", lifetime=60)
    lake.release(request)
    lake.wait(lake.stage(dids[1:], rse="DISK", lifetime=60))
    assert lake.usage("DISK").used == 60


def test_slow_tape_and_timeout(tmp_path, place):
    lake = limited(tmp_path, DISK={}, TAPE={"tier": "TAPE", "latency": 0.3})
    item = place.file(tmp_path, "f", "x")
    lake.ingest([item], rse="TAPE")
    request = lake.stage([item.did], rse="DISK", lifetime=60)
    with pytest.raises(LakeError, match=r"1 of 1 files are not on DISK yet after 0\.05 s"):
        lake.wait(request, timeout=0.05)
    assert lake.requests() == [request]
    seen = []
    lake.wait(request, progress=lambda done, total, what: seen.append((done, total)))
    assert seen[-1] == (1, 1)


def test_reading_makes_no_lake(tmp_path, place):
    lake = limited(tmp_path, DISK={}, TAPE={"tier": "TAPE"})
    assert len(lake.search("a = 1")) == 0
    assert lake.requests() == []
    assert lake.usage("DISK").used == 0
    assert lake.orphans() == []
    with pytest.raises(LakeError, match="the lake has no"):
        lake.metadata([place.did("x")])
    assert not (tmp_path / "lake").exists()
    other = limited(tmp_path, DISK={})
    other.ingest([place.file(tmp_path, "f", "x")])
    assert len(lake.search("")) == 1


def test_catalogue_of_another_version(tmp_path):
    folder = tmp_path / "lake"
    folder.mkdir()
    connection = sqlite3.connect(folder / "catalogue.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LakeError, match="version 99"):
        limited(tmp_path, DISK={}).search("")
    (folder / "catalogue.sqlite").write_text("not a database " * 100)
    with pytest.raises(LakeError, match="can't be opened"):
        limited(tmp_path, DISK={}).search("")


def test_settings_choose_the_lake(tmp_path):
    settings = LakeSettings(local={"folder": tmp_path / "lake"})
    assert isinstance(open_lake(settings), LocalLake)
    for wrong, message in (
        ({"default_rse": "NOWHERE"}, "is not one of DISK, TAPE"),
        ({"staging_rse": "TAPE"}, "is not of tier DISK"),
        ({"backend": "rucio"}, "needs the section"),
        ({"backend": "other"}, "local"),
        ({"unknown": 1}, "Extra"),
        ({"scope": "a b"}, "pattern"),
    ):
        with pytest.raises(ValueError, match=message):
            LakeSettings.model_validate(wrong)
