"""A Rucio lake in trouble: servers that go away, tokens that expire, storage that is full."""

import os
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

import pytest
import rucio_part

from ctabatch.errors import ConflictError, InputError, IntegrityError, LakeError
from ctabatch.lake.rucio import RucioLake
from require import require
from rucio_tools import (
    DISK,
    ROOT,
    TAPE,
    XROOTD,
    CuttingProxy,
    dids_of,
    forget_tokens,
    lake_settings,
    oidc_token,
    path_of,
    set_faults,
    write_private,
)

pytestmark = pytest.mark.xdist_group("rucio")

#: Longest wait for Rucio's daemons, seconds; a busy machine takes many times what an idle one does.
PATIENCE = 600


@pytest.fixture
def lake(rucio):
    return RucioLake(lake_settings(rucio))


@pytest.fixture
def away(rucio_state):
    """Make the server vanish, as in a crash, and come back later: ``away(seconds)``."""
    timers = []

    def vanish(seconds):
        os.killpg(rucio_state.pid("server"), signal.SIGKILL)
        rucio_state.stop("server")
        timer = threading.Timer(seconds, rucio_part.start_server, [rucio_state])
        timer.start()
        timers.append(timer)

    yield vanish
    for timer in timers:
        timer.join()
    assert rucio_state.alive("server")


class TestServerAway:
    """The server is stopped and started again while something runs."""

    def test_during_a_search(self, lake, make_files, away):
        files = make_files(3)
        lake.ingest(files)
        away(1)
        assert list(lake.search(f"tag = {make_files.tag}")["did"]) == dids_of(files)

    def test_during_an_ingest(self, lake, make_files, away):
        files = make_files(5)
        calls = []

        def progress(done, total, what):
            calls.append(done)
            if len(calls) == 2:
                away(1)

        lake.ingest(files, dataset=f"dpps:{ROOT}/{make_files.tag}/set", progress=progress)
        assert list(lake.search(f"tag = {make_files.tag}")["did"]) == dids_of(files)
        assert len(lake.replicas([f"dpps:{ROOT}/{make_files.tag}/set"])) == 5

    def test_during_staging(self, lake, make_files, away):
        files = make_files(3)
        lake.ingest(files, rse=TAPE)
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        calls = []

        def progress(done, total, what):
            calls.append(what)
            if len(calls) == 1:
                away(1)

        lake.wait(request, timeout=PATIENCE, progress=progress)
        assert {r.tier for r in lake.replicas(dids_of(files))} == {"DISK", "TAPE"}
        assert calls[-1] == "on disk"

    def test_answer_that_breaks_off_is_not_taken_for_a_short_one(self, rucio, lake, make_files):
        files = make_files(40)
        lake.ingest(files)
        proxy = CuttingProxy(int(rucio["RUCIO_HOST"].rpartition(":")[2]), b"/dids/search", 1500)
        through = RucioLake(lake_settings(rucio, host=proxy.url))
        assert len(through.search(f"tag = {make_files.tag}")) == 40
        assert proxy.cuts == 1
        proxy.close()

    def test_for_ever_is_said_clearly(self, rucio):
        lake = RucioLake(lake_settings(rucio, host="http://127.0.0.1:9", patience=1))
        with pytest.raises(LakeError, match=r"127\.0\.0\.1:9 does not answer.*again later"):
            lake.search("a = 1")

    def test_that_hangs(self, rucio, rucio_state, lake, make_files):
        files = make_files(1)
        lake.ingest(files)
        hasty = RucioLake(lake_settings(rucio, timeout=3.0))
        assert len(hasty.search(f"tag = {make_files.tag}")) == 1
        group = rucio_state.pid("server")
        os.killpg(group, signal.SIGSTOP)
        timer = threading.Timer(4, os.killpg, [group, signal.SIGCONT])
        timer.start()
        try:
            assert len(hasty.search(f"tag = {make_files.tag}")) == 1
        finally:
            timer.join()


class TestLogin:
    """Tokens and passwords."""

    def test_expired_token_is_renewed(self, rucio, lake, make_files):
        files = make_files(1)
        lake.ingest(files)
        forget_tokens(rucio)
        assert len(lake.search(f"tag = {make_files.tag}")) == 1

    def test_wrong_password_does_not_live_on_an_old_token(self, rucio, lake, tmp_path):
        lake.search("a = 1")
        wrong = write_private(tmp_path / "password", "wrong")
        other = RucioLake(lake_settings(rucio, password_file=wrong))
        with pytest.raises(LakeError, match="refuses the login of operator"):
            other.search("a = 1")

    def test_secret_that_others_may_read_is_refused(self, rucio, tmp_path):
        path = write_private(tmp_path / "password", "secret")
        path.chmod(0o640)
        with pytest.raises(InputError, match=r"password_file: others may read.*600"):
            RucioLake(lake_settings(rucio, password_file=path)).search("a = 1")

    def test_password_from_the_environment(self, rucio, monkeypatch):
        password = (Path(rucio["RUCIO_PASSWORDS"]) / "operator").read_text()
        monkeypatch.setenv("RUCIO_PASSWORD", password)
        assert len(RucioLake(lake_settings(rucio, password_file=None)).search("no_such = 1")) == 0
        monkeypatch.delenv("RUCIO_PASSWORD")
        with pytest.raises(InputError, match="RUCIO_PASSWORD"):
            RucioLake(lake_settings(rucio, password_file=None)).search("a = 1")

    def test_oidc_token_file_that_has_expired_and_is_renewed(
        self, rucio, tmp_path, make_files, lake
    ):
        lake.ingest(make_files(1))
        path = write_private(tmp_path / "token", oidc_token(rucio, life=-60))
        oidc = RucioLake(lake_settings(rucio, auth_type="oidc", token_file=path))
        with pytest.raises(LakeError, match="refuses the token of account operator"):
            oidc.search(f"tag = {make_files.tag}")
        path.write_text(oidc_token(rucio))
        assert len(oidc.search(f"tag = {make_files.tag}")) == 1

    @pytest.mark.parametrize("claims", [{"audience": "other"}, {"sub": "nobody"}])
    def test_token_of_somebody_else(self, rucio, tmp_path, claims):
        path = write_private(tmp_path / "token", oidc_token(rucio, **claims))
        oidc = RucioLake(lake_settings(rucio, auth_type="oidc", token_file=path))
        with pytest.raises(LakeError, match="refuses the token"):
            oidc.search("a = 1")

    def test_ordinary_account_is_told_what_it_may_not(self, rucio, make_files):
        alice = RucioLake(lake_settings(rucio, "alice", "user.alice"))
        with pytest.raises(LakeError, match="alice may not"):
            alice.ingest(make_files(1, scope="user.alice", root="/ctao.dpps.test/user/a/alice"))
        assert len(alice.search("")) == 0


class TestStaging:
    """Transfers that fail."""

    @pytest.fixture(autouse=True)
    def _no_faults(self, rucio):
        set_faults(rucio)
        yield
        set_faults(rucio)

    def test_two_failures_are_nothing(self, rucio, lake, make_files):
        files = make_files(3)
        lake.ingest(files, rse=TAPE)
        set_faults(rucio, fail={f"{make_files.tag}/f1": 2})
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        lake.wait(request, timeout=PATIENCE)
        assert len(lake.replicas(dids_of(files))) == 6

    def test_failure_for_good_is_boosted_then_named(self, rucio, lake, make_files, caplog):
        files = make_files(3)
        lake.ingest(files, rse=TAPE)
        set_faults(rucio, fail={f"{make_files.tag}/f1": -1})
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        with pytest.raises(LakeError, match=r"1 files .*/f1 \(TRANSFER injected failure\)"):
            lake.wait(request, timeout=PATIENCE)
        assert "asked for again, 1 of 1 times" in caplog.text
        assert len(lake.replicas(dids_of(files))) == 5
        set_faults(rucio)
        lake.wait(request, timeout=PATIENCE)
        assert len(lake.replicas(dids_of(files))) == 6

    def test_corrupt_tape_copy(self, lake, make_files):
        files = make_files(1)
        lake.ingest(files, rse=TAPE)
        path_of(lake.replicas(dids_of(files))[0]).write_bytes(b"x" * 100)
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        with pytest.raises(LakeError, match=r"f0 \(CHECKSUM"):
            lake.wait(request, timeout=PATIENCE)

    def test_time_out_tells_the_count(self, rucio, lake, make_files):
        files = make_files(2)
        lake.ingest(files, rse=TAPE)
        set_faults(rucio, fail={make_files.tag: -1})
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        with pytest.raises(LakeError, match="2 of 2 files are not on CTAO-DISK yet"):
            lake.wait(request, timeout=0.2)

    def test_waits_for_room_that_a_release_gives(self, lake, make_files, rucio_admin, caplog):
        files = make_files(2)
        lake.ingest(files, rse=TAPE)
        rucio_admin.call("set_local_account_limit", "operator", DISK, 0)
        later = threading.Timer(
            3, rucio_admin.call, ["set_local_account_limit", "operator", DISK, -1]
        )
        later.start()
        try:
            request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        finally:
            later.join()
        assert "200 bytes are needed on CTAO-DISK" in caplog.text
        assert "waiting for what was released" in caplog.text
        lake.wait(request, timeout=PATIENCE)

    def test_quota_too_small(self, rucio, make_files, rucio_admin):
        lake = RucioLake(lake_settings(rucio, room_patience=2))
        files = make_files(2)
        lake.ingest(files, rse=TAPE)
        rucio_admin.call("set_local_account_limit", "operator", DISK, 150)
        try:
            with pytest.raises(LakeError, match=r"200 bytes are needed on CTAO-DISK.*leaves \d+"):
                lake.stage(dids_of(files), rse=DISK, lifetime=600)
            with pytest.raises(LakeError, match="quota of Rucio account operator"):
                lake.ingest(make_files(3, name="g"))
        finally:
            rucio_admin.call("set_local_account_limit", "operator", DISK, -1)
        assert not any(make_files.tag in did for request in lake.requests() for did in request.dids)
        assert len(lake.search(f"tag = {make_files.tag}")) == 2

    def test_released_copies_vanish_and_the_last_one_never(self, lake, make_files):
        taped, only = make_files(2)
        lake.ingest([taped], rse=TAPE)
        lake.session.call(  # a file that nobody protects, as other tools leave them
            "add_replicas",
            DISK,
            [{"scope": "dpps", "name": only.did[5:], "bytes": 100, "adler32": "00000001"}],
        )
        both = lake.stage([taped.did, only.did], rse=DISK, lifetime=600)
        lake.wait(both, timeout=PATIENCE)
        path = next(path_of(r) for r in lake.replicas([taped.did]) if r.rse == DISK)
        assert path.exists()
        lake.release(both)
        end = time.monotonic() + PATIENCE
        expected = {(taped.did, TAPE), (only.did, DISK)}
        while {(r.did, r.rse) for r in lake.replicas([taped.did, only.did])} != expected:
            assert time.monotonic() < end
            time.sleep(0.3)
        assert not path.exists()
        assert lake.stage([only.did], rse=DISK, lifetime=600).ids == ()
        again = lake.stage([taped.did, only.did], rse=DISK, lifetime=600)
        lake.wait(again, timeout=PATIENCE)
        assert path.exists()


class TestStorage:
    """Disks that are full, far away, or wrong."""

    def test_xrootd(self, rucio, lake, make_files, tmp_path):
        files = make_files(4)
        lake.ingest(files[:3], rse=XROOTD)
        lake.ingest(files[3:], rse=TAPE)
        lake.wait(lake.stage([files[3].did], rse=XROOTD, lifetime=600), timeout=PATIENCE)
        replicas = [r for r in lake.replicas(dids_of(files)) if r.rse == XROOTD]
        assert len(replicas) == 4
        assert {r.uri.partition(":")[0] for r in replicas} == {"root"}
        paths = lake.fetch(dids_of(files), tmp_path / "out")
        for item in files:
            assert paths[item.did].read_bytes() == item.path.read_bytes()
        assert lake.verify(dids_of(files)) == {}
        stored = sorted((Path(rucio["RUCIO_STORAGE"]) / "xrootd").rglob(f"{make_files.tag}/*"))
        assert [path.name for path in stored] == ["f0", "f1", "f2", "f3"]
        stored[0].write_bytes(b"x" * 100)
        stored[1].unlink()
        assert set(lake.verify(dids_of(files))) == set(dids_of(files)[:2])
        with pytest.raises(IntegrityError, match="f0"):
            lake.fetch(dids_of(files)[:1], tmp_path / "again")

    def test_good_copy_is_taken_where_another_is_corrupt(self, lake, make_files, tmp_path):
        files = make_files(1)
        lake.ingest(files, rse=DISK)
        lake.ingest(files, rse=XROOTD)
        copies = lake.replicas(dids_of(files))
        assert len(copies) == 2
        path = next(path_of(r) for r in copies if r.rse == DISK)
        path.write_bytes(b"x" * 100)
        out = lake.fetch(dids_of(files), tmp_path / "out")
        assert out[files[0].did].read_bytes() == files[0].path.read_bytes()
        assert lake.verify(dids_of(files))[files[0].did].startswith("CTAO-DISK: 100 bytes")

    def test_disk_that_says_it_is_full(self, lake, make_files, rucio_admin):
        before = lake.usage(DISK)
        rucio_admin.call("set_rse_usage", DISK, "storage", before.used, 150)
        try:
            with pytest.raises(LakeError, match="300 bytes are needed on CTAO-DISK, 150 are free"):
                lake.ingest(make_files(3))
        finally:
            rucio_admin.call("set_rse_usage", DISK, "storage", before.used, before.free)
        assert len(lake.search(f"tag = {make_files.tag}")) == 0

    def test_disk_that_is_full(self, lake, make_files, rucio_admin, tmp_path):
        folder = tmp_path / "small"
        folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder],
            capture_output=True,
            check=False,
        )
        require(mounted.returncode == 0, "making a small disk needs root")
        name = f"SMALL-{uuid.uuid4().hex[:8].upper()}"
        rucio_admin.call("add_rse", name, rse_type="DISK")
        operations = {"read": 1, "write": 1, "delete": 1}
        rucio_admin.call(
            "add_protocol",
            name,
            {
                "scheme": "file",
                "hostname": "localhost",
                "port": 0,
                "prefix": str(folder),
                "impl": "rucio.rse.protocols.posix.Default",
                "domains": {"lan": operations, "wan": operations},
            },
        )
        rucio_admin.call("add_rse_attribute", name, "lfn2pfn_algorithm", "ctao_bdms")
        rucio_admin.call("set_local_account_limit", "operator", name, -1)
        try:
            with pytest.raises(LakeError, match="No space left"):
                lake.ingest(make_files(5, size=20_000), rse=name)
            assert len(lake.search(f"tag = {make_files.tag}")) == 0
            assert not list(folder.rglob("*.part"))
            subprocess.run(["mount", "-o", "remount,size=1m", folder], check=True)
            assert len(lake.ingest(make_files(5, size=20_000), rse=name).registered) == 5
            assert len(lake.search(f"tag = {make_files.tag}")) == 5
        finally:
            subprocess.run(["umount", folder], check=True)

    def test_storage_folder_that_is_not_mounted(self, lake, make_files, tmp_path, monkeypatch):
        store = lake._storage.store(DISK)
        monkeypatch.setattr(store, "prefix", str(tmp_path / "absent"))
        with pytest.raises(LakeError, match="is not on this machine"):
            lake.ingest(make_files(1))

    def test_name_taken_while_copying_is_a_conflict(self, lake, make_files):
        """Rucio would accept the other bytes without a word."""
        files = make_files(2)
        row = {"scope": "dpps", "name": files[1].did[5:], "bytes": 7, "adler32": "0badc0de"}

        def progress(done, total, what):
            lake.session.call("add_replicas", TAPE, [row])

        with pytest.raises(ConflictError, match="f1"):
            lake.ingest(files, progress=progress)
        assert len(lake.search(f"tag = {make_files.tag}")) == 0

    def test_file_left_by_somebody_is_replaced_with_a_warning(self, lake, make_files, caplog):
        files = make_files(1)
        address = lake._storage.store(DISK).address(dids_of(files))[files[0].did]
        path = Path(address.removeprefix("file://localhost"))
        path.parent.mkdir(parents=True)
        path.write_text("left over")
        lake.ingest(files)
        assert path.read_bytes() == files[0].path.read_bytes()
        assert "holds other bytes" in caplog.text
