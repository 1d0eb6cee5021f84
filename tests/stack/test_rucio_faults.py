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
from ctabatch.lake.base import NewFile
from ctabatch.lake.rucio import RucioLake
from ctabatch.lake.rucio_session import RucioSession
from require import require
from rucio_tools import (
    DISK,
    ROOT,
    TAPE,
    XROOTD,
    CuttingProxy,
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
def make(tmp_path):
    """Files of one test: ``make(3)`` gives three with the key ``tag``, which is ``make.tag``."""
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


def dids_of(files):
    """DIDs of files."""
    return [item.did for item in files]


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

    def test_during_a_search(self, lake, make, away):
        files = make(3)
        lake.ingest(files)
        away(1)
        assert list(lake.search(f"tag = {make.tag}")["did"]) == dids_of(files)

    def test_during_an_ingest(self, lake, make, away):
        files = make(5)
        calls = []

        def progress(done, total, what):
            calls.append(done)
            if len(calls) == 2:
                away(1)

        lake.ingest(files, dataset=f"dpps:{ROOT}/{make.tag}/set", progress=progress)
        assert list(lake.search(f"tag = {make.tag}")["did"]) == dids_of(files)
        assert len(lake.replicas([f"dpps:{ROOT}/{make.tag}/set"])) == 5

    def test_during_staging(self, lake, make, away):
        files = make(3)
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

    def test_answer_that_breaks_off_is_not_taken_for_a_short_one(self, rucio, lake, make):
        files = make(40)
        lake.ingest(files)
        proxy = CuttingProxy(int(rucio["RUCIO_HOST"].rpartition(":")[2]), b"/dids/search", 1500)
        through = RucioLake(lake_settings(rucio, host=proxy.url))
        assert len(through.search(f"tag = {make.tag}")) == 40
        assert proxy.cuts == 1
        proxy.close()

    def test_for_ever_is_said_clearly(self, rucio):
        lake = RucioLake(lake_settings(rucio, host="http://127.0.0.1:9", patience=1))
        with pytest.raises(LakeError, match=r"127\.0\.0\.1:9 does not answer.*again later"):
            lake.search("a = 1")

    def test_that_hangs(self, rucio, rucio_state, lake, make):
        files = make(1)
        lake.ingest(files)
        hasty = RucioLake(lake_settings(rucio, timeout=3.0))
        assert len(hasty.search(f"tag = {make.tag}")) == 1
        group = rucio_state.pid("server")
        os.killpg(group, signal.SIGSTOP)
        timer = threading.Timer(4, os.killpg, [group, signal.SIGCONT])
        timer.start()
        try:
            assert len(hasty.search(f"tag = {make.tag}")) == 1
        finally:
            timer.join()


class TestLogin:
    """Tokens and passwords."""

    def test_expired_token_is_renewed(self, rucio, lake, make):
        files = make(1)
        lake.ingest(files)
        forget_tokens(rucio)
        assert len(lake.search(f"tag = {make.tag}")) == 1

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

    def test_oidc_token_file_that_has_expired_and_is_renewed(self, rucio, tmp_path, make, lake):
        lake.ingest(make(1))
        path = write_private(tmp_path / "token", oidc_token(rucio, life=-60))
        oidc = RucioLake(lake_settings(rucio, auth_type="oidc", token_file=path))
        with pytest.raises(LakeError, match="refuses the token of account operator"):
            oidc.search(f"tag = {make.tag}")
        path.write_text(oidc_token(rucio))
        assert len(oidc.search(f"tag = {make.tag}")) == 1

    @pytest.mark.parametrize("claims", [{"audience": "other"}, {"sub": "nobody"}])
    def test_token_of_somebody_else(self, rucio, tmp_path, claims):
        path = write_private(tmp_path / "token", oidc_token(rucio, **claims))
        oidc = RucioLake(lake_settings(rucio, auth_type="oidc", token_file=path))
        with pytest.raises(LakeError, match="refuses the token"):
            oidc.search("a = 1")

    def test_ordinary_account_is_told_what_it_may_not(self, rucio, make):
        alice = RucioLake(lake_settings(rucio, "alice", "user.alice"))
        with pytest.raises(LakeError, match="alice may not"):
            alice.ingest(make(1, scope="user.alice", root="/ctao.dpps.test/user/a/alice"))
        assert len(alice.search("")) == 0


class TestStaging:
    """Transfers that fail."""

    @pytest.fixture(autouse=True)
    def _no_faults(self, rucio):
        set_faults(rucio)
        yield
        set_faults(rucio)

    def test_two_failures_are_nothing(self, rucio, lake, make):
        files = make(3)
        lake.ingest(files, rse=TAPE)
        set_faults(rucio, fail={f"{make.tag}/f1": 2})
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        lake.wait(request, timeout=PATIENCE)
        assert len(lake.replicas(dids_of(files))) == 6

    def test_failure_for_good_is_boosted_then_named(self, rucio, lake, make, caplog):
        files = make(3)
        lake.ingest(files, rse=TAPE)
        set_faults(rucio, fail={f"{make.tag}/f1": -1})
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        with pytest.raises(LakeError, match=r"1 files .*/f1 \(TRANSFER injected failure\)"):
            lake.wait(request, timeout=PATIENCE)
        assert "asked for again, 1 of 1 times" in caplog.text
        assert len(lake.replicas(dids_of(files))) == 5
        set_faults(rucio)
        lake.wait(request, timeout=PATIENCE)
        assert len(lake.replicas(dids_of(files))) == 6

    def test_corrupt_tape_copy(self, lake, make):
        files = make(1)
        lake.ingest(files, rse=TAPE)
        path_of(lake.replicas(dids_of(files))[0]).write_bytes(b"x" * 100)
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        with pytest.raises(LakeError, match=r"f0 \(CHECKSUM"):
            lake.wait(request, timeout=PATIENCE)

    def test_time_out_tells_the_count(self, rucio, lake, make):
        files = make(2)
        lake.ingest(files, rse=TAPE)
        set_faults(rucio, fail={make.tag: -1})
        request = lake.stage(dids_of(files), rse=DISK, lifetime=600)
        with pytest.raises(LakeError, match="2 of 2 files are not on CTAO-DISK yet"):
            lake.wait(request, timeout=0.2)

    def test_quota_too_small(self, lake, make, rucio_admin):
        files = make(2)
        lake.ingest(files, rse=TAPE)
        rucio_admin.call("set_local_account_limit", "operator", DISK, 150)
        try:
            with pytest.raises(LakeError, match=r"200 bytes are needed on CTAO-DISK.*leaves \d+"):
                lake.stage(dids_of(files), rse=DISK, lifetime=600)
            with pytest.raises(LakeError, match="quota of Rucio account operator"):
                lake.ingest(make(3, name="g"))
        finally:
            rucio_admin.call("set_local_account_limit", "operator", DISK, -1)
        assert not any(make.tag in did for request in lake.requests() for did in request.dids)
        assert len(lake.search(f"tag = {make.tag}")) == 2

    def test_released_copies_vanish_and_the_last_one_never(self, lake, make):
        taped, only = make(2)
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

    def test_xrootd(self, rucio, lake, make, tmp_path):
        files = make(4)
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
        stored = sorted((Path(rucio["RUCIO_STORAGE"]) / "xrootd").rglob(f"{make.tag}/*"))
        assert [path.name for path in stored] == ["f0", "f1", "f2", "f3"]
        stored[0].write_bytes(b"x" * 100)
        stored[1].unlink()
        assert set(lake.verify(dids_of(files))) == set(dids_of(files)[:2])
        with pytest.raises(IntegrityError, match="f0"):
            lake.fetch(dids_of(files)[:1], tmp_path / "again")

    def test_good_copy_is_taken_where_another_is_corrupt(self, lake, make, tmp_path):
        files = make(1)
        lake.ingest(files, rse=DISK)
        lake.ingest(files, rse=XROOTD)
        copies = lake.replicas(dids_of(files))
        assert len(copies) == 2
        path = next(path_of(r) for r in copies if r.rse == DISK)
        path.write_bytes(b"x" * 100)
        out = lake.fetch(dids_of(files), tmp_path / "out")
        assert out[files[0].did].read_bytes() == files[0].path.read_bytes()
        assert lake.verify(dids_of(files))[files[0].did].startswith("CTAO-DISK: 100 bytes")

    def test_disk_that_says_it_is_full(self, lake, make, rucio_admin):
        before = lake.usage(DISK)
        rucio_admin.call("set_rse_usage", DISK, "storage", before.used, 150)
        try:
            with pytest.raises(LakeError, match="300 bytes are needed on CTAO-DISK, 150 are free"):
                lake.ingest(make(3))
        finally:
            rucio_admin.call("set_rse_usage", DISK, "storage", before.used, before.free)
        assert len(lake.search(f"tag = {make.tag}")) == 0

    def test_disk_that_is_full(self, lake, make, rucio_admin, tmp_path):
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
                lake.ingest(make(5, size=20_000), rse=name)
            assert len(lake.search(f"tag = {make.tag}")) == 0
            assert not list(folder.rglob("*.part"))
            subprocess.run(["mount", "-o", "remount,size=1m", folder], check=True)
            assert len(lake.ingest(make(5, size=20_000), rse=name).registered) == 5
            assert len(lake.search(f"tag = {make.tag}")) == 5
        finally:
            subprocess.run(["umount", folder], check=True)

    def test_storage_folder_that_is_not_mounted(self, lake, make, tmp_path, monkeypatch):
        store = lake._storage.store(DISK)
        monkeypatch.setattr(store, "prefix", str(tmp_path / "absent"))
        with pytest.raises(LakeError, match="is not on this machine"):
            lake.ingest(make(1))

    def test_name_taken_while_copying_is_a_conflict(self, lake, make):
        """Rucio would accept the other bytes without a word."""
        files = make(2)
        row = {"scope": "dpps", "name": files[1].did[5:], "bytes": 7, "adler32": "0badc0de"}

        def progress(done, total, what):
            lake.session.call("add_replicas", TAPE, [row])

        with pytest.raises(ConflictError, match="f1"):
            lake.ingest(files, progress=progress)
        assert len(lake.search(f"tag = {make.tag}")) == 0

    def test_file_left_by_somebody_is_replaced_with_a_warning(self, lake, make, caplog):
        files = make(1)
        address = lake._storage.store(DISK).address(dids_of(files))[files[0].did]
        path = Path(address.removeprefix("file://localhost"))
        path.parent.mkdir(parents=True)
        path.write_text("left over")
        lake.ingest(files)
        assert path.read_bytes() == files[0].path.read_bytes()
        assert "holds other bytes" in caplog.text


@pytest.fixture(scope="module")
def words(rucio, tmp_path_factory):
    lake = RucioLake(lake_settings(rucio))
    tag, folder = f"t{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("words")
    files = []
    for number, word in enumerate(["construed", "0x10", "None", "a, b", "true north"]):
        (folder / f"f{number}").write_text(word)
        did = f"dpps:{ROOT}/{tag}/f{number}"
        files.append(NewFile(folder / f"f{number}", did, {"tag": tag, "n": number, "word": word}))
    lake.ingest(files)
    return lake, tag


class TestSearch:
    """What Rucio's filters can't be trusted with."""

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("word = construed", "0"),
            ("word = 0x10", "1"),
            ("word = None", "2"),
            ("word = 'a, b'", "3"),
            ("word != construed and word != None", "134"),
            ("word > a", "034"),
            ("word = TRUE", ""),
            ("n != 1 and n != 2 and n != 3", "04"),
            ("n >= 1 and n >= 2 and n <= 2", "2"),
            ("word = **", "01234"),
            (" or ".join(f"word = {'x' * 40}{i}" for i in range(200)) + " or n = 4", "4"),
        ],
    )
    def test_words(self, words, query, found):
        lake, tag = words
        frame = lake.search(f"tag = {tag} and ({query})", columns=["n"])
        assert "".join(str(n) for n in frame["n"]) == found

    def test_more_than_a_call_holds(self, rucio, lake, make):
        rows = [
            {"scope": "dpps", "name": f"{ROOT}/{make.tag}/{i}", "bytes": i, "adler32": "00000001"}
            for i in range(1100)
        ]
        for begin in range(0, len(rows), 1000):
            lake.session.call("add_replicas", DISK, rows[begin : begin + 1000])
        dids = [f"dpps:{row['name']}" for row in rows]
        assert len(lake.search(f"tag = {make.tag}")) == 0
        lake.set_metadata({did: {"tag": make.tag} for did in dids})
        assert lake.search(f"tag = {make.tag}")["bytes"].sum() == sum(range(1100))
        assert lake.volume(dids).files == len(lake.replicas(dids)) == 1100

    def test_text_that_looks_like_a_time_stays_text(self, lake, make):
        stamp = "Mon, 23 Nov 2026 08:00:00 UTC"
        files = make(1)
        lake.ingest(files)
        lake.set_metadata({files[0].did: {"stamp": stamp}})
        assert lake.metadata(dids_of(files))[files[0].did]["stamp"] == stamp
        assert len(lake.search(f"tag = {make.tag} and stamp = '{stamp}'")) == 1

    def test_file_without_metadata_is_shown_once_it_is_complete(self, lake, make):
        item = NewFile(make(1)[0].path, make(1)[0].did)
        lake.ingest([item])
        assert item.did in set(lake.search("")["did"])
        assert lake.metadata([item.did]) == {item.did: {}}

    def test_other_scopes_on_request(self, rucio, lake, make):
        files = make(1)
        lake.ingest(files)
        elsewhere = RucioLake(lake_settings(rucio, scope="acada"))
        assert len(elsewhere.search(f"tag = {make.tag}")) == 0
        with pytest.raises(InputError, match=r"lake\.scope.*scope dpps"):
            elsewhere.ingest(files)
        wide = RucioLake(lake_settings(rucio, scope="acada", search_scopes=["dpps"]))
        assert len(wide.search(f"tag = {make.tag}")) == 1

    def test_session_reads_streams_to_their_end(self, rucio):
        session = RucioSession(lake_settings(rucio).rucio)
        assert isinstance(session.call("list_rses"), list)
