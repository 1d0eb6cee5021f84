"""What every data lake does: the tests that both back ends pass.

A module that runs them derives a class from `LakeContract` and defines two fixtures: ``lake`` (a
`ctabatch.lake.base.DataLake`) and ``place`` (a `Place`, another one for each test, because a server
remembers the files of former tests).
"""

import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ctabatch.errors import ConflictError, InputError, IntegrityError, LakeError
from ctabatch.lake.base import NewFile
from require import require


@dataclass(frozen=True)
class Place:
    """Where a test puts its files.

    Parameters
    ----------
    scope : str
        Scope of its DIDs.
    root : str
        Logical folder of the scope, such as ``/ctao.dpps.test/test``.
    disk, tape : str
        Names of two storage elements.
    path_of : callable
        Takes a `ctabatch.lake.base.Replica`, returns the file on this machine, or None.
    """

    scope: str
    root: str
    disk: str
    tape: str
    path_of: Callable
    tag: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:12]}")

    def did(self, name):
        """DID below the folder of this test."""
        return f"{self.scope}:{self.root}/{self.tag}/{name}"

    def file(self, folder, name, content, **metadata):
        """Write a file and describe it for ingest; the key ``tag`` finds the files of the test."""
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return NewFile(path, self.did(name), {"tag": self.tag, **metadata})

    def query(self, rest=""):
        """Query for the files of this test."""
        return f"tag = {self.tag}" + (f" and ({rest})" if rest else "")


def names(frame):
    """Base names of the files that were found."""
    return [did.rsplit("/", 1)[1] for did in frame["did"]]


class LakeContract:
    """The contract; see the module."""

    @pytest.fixture
    def events(self, lake, place, tmp_path):
        """Six files with metadata of several types, ingested."""
        rows = {
            "a": {"obs": 1, "zd": 20.0, "level": "DL3", "ok": True, "t": "2026-03-01T00:00:00"},
            "b": {"obs": 2, "zd": 20.5, "level": "DL3", "ok": False, "t": "2026-03-01T12:30:00.5"},
            "c": {"obs": 3, "zd": 40.0, "level": "DL2", "ok": True, "t": "2026-03-02T00:00:00"},
            "d": {"obs": 10, "zd": -5.0, "level": "DL10", "night": "2026-03-01"},
            "e": {"obs": 11, "level": "dl3", "many": ["DL0", "DL1"], "site": "CTAO-North"},
            "f": {"level": "a_b", "site": "CTAO South (old)", "quoted": "it's"},
        }
        files = [place.file(tmp_path, name, name * 9, **row) for name, row in rows.items()]
        lake.ingest(files)
        return files

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", "abcdef"),
            ("obs = 2", "b"),
            ("obs != 2", "acde"),
            ("obs >= 3", "cde"),
            ("obs > 3 and obs < 11", "d"),
            ("obs = '2'", "b"),
            ("zd <= 20", "ad"),
            ("zd < 20.50001 and zd > -4", "ab"),
            ("level = DL3", "ab"),
            ("level != DL3", "cdef"),
            ("level = DL*", "abcd"),
            ("level = *3", "abe"),
            ("level = d*3", "e"),
            ("level != DL*", "ef"),
            ("level = a_b", "f"),
            ("level = a_*", "f"),
            ("level = D_*", ""),
            ("site = *", "ef"),
            ("site = 'CTAO South (old)'", "f"),
            ('quoted = "it\'s"', "f"),
            ("ok = true", "ac"),
            ("ok != TRUE", "b"),
            ("t >= 2026-03-01T12:00:00 and t < 2026-03-02T00:00:00", "b"),
            ("t = '2026-03-02 00:00:00'", "c"),
            ("t >= 2026-03-02", "c"),
            ("night = 2026-03-01", "d"),
            ("many = DL0", ""),
            ("nothing = 1", ""),
            ("nothing != 1", ""),
            ("obs = 1 or obs = 3", "ac"),
            ("(obs = 1 or obs = 2) and (zd > 20.2 or level = DL10)", "b"),
            ("obs = 1 or obs = 1 or level = DL3", "ab"),
        ],
    )
    def test_search(self, lake, place, events, query, found):
        assert "".join(names(lake.search(place.query(query)))) == found

    def test_search_returns_types_and_columns(self, lake, place, events):
        frame = lake.search(place.query("obs <= 10"))
        assert list(frame.columns[:3]) == ["did", "bytes", "adler32"]
        assert list(frame["did"]) == sorted(frame["did"])
        assert frame["obs"].tolist() == [1, 2, 3, 10]
        assert frame["bytes"].tolist() == [9] * 4
        assert frame["adler32"][0] == f"{zlib.adler32(b'a' * 9):08x}"
        assert frame["night"].isna().tolist() == [True, True, True, False]
        frame = lake.search(place.query(), columns=["obs", "absent"])
        assert list(frame.columns) == ["did", "bytes", "adler32", "obs", "absent"]
        assert [int(value) for value in frame["obs"].dropna()] == [1, 2, 3, 10, 11]
        assert frame["absent"].isna().all()

    def test_search_that_finds_nothing_has_the_columns(self, lake, place):
        frame = lake.search(place.query(), columns=["obs"])
        assert list(frame.columns) == ["did", "bytes", "adler32", "obs"]
        assert len(frame) == 0

    @pytest.mark.parametrize("query", ["bytes > 1", "a.b = 1", "a ==", "(a = 1", "a < x*"])
    def test_bad_query_is_refused(self, lake, query):
        with pytest.raises(InputError, match="position"):
            lake.search(query)

    def test_text_in_a_number_key_does_not_spoil_the_query(self, lake, place, tmp_path):
        lake.ingest(
            [
                place.file(tmp_path, "n", "1", mixed=7),
                place.file(tmp_path, "s", "2", mixed="seven"),
                place.file(tmp_path, "z", "3", mixed="007"),
            ]
        )
        assert names(lake.search(place.query("mixed >= 7"))) == ["n", "z"]
        assert names(lake.search(place.query("mixed = seven"))) == ["s"]

    def test_ingest_twice_is_once(self, lake, place, tmp_path):
        files = [place.file(tmp_path, f"f{i}", f"content {i}", i=i) for i in range(3)]
        dids = tuple(item.did for item in files)
        seen = []
        first = lake.ingest(
            files, dataset=place.did("set"), progress=lambda done, total, what: seen.append(done)
        )
        second = lake.ingest(files, dataset=place.did("set"))
        assert (first.registered, first.present) == (dids, ())
        assert (second.registered, second.present) == ((), dids)
        assert max(seen) == 3
        assert names(lake.search(place.query())) == ["f0", "f1", "f2"]
        assert len(lake.replicas(dids)) == 3
        assert lake.volume([place.did("set")]).files == 3

    def test_ingest_sets_metadata_of_files_that_are_there(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "same", status="produced", obs=1)
        lake.ingest([item])
        lake.ingest([NewFile(item.path, item.did, {"status": "validated"})])
        assert lake.metadata([item.did])[item.did] == {
            "tag": place.tag,
            "status": "validated",
            "obs": 1,
        }

    def test_other_bytes_are_a_conflict_and_nothing_becomes_visible(self, lake, place, tmp_path):
        lake.ingest([place.file(tmp_path, "one", "right", v=1)])
        clash = place.file(tmp_path / "other", "one", "wrong", v=2)
        new = place.file(tmp_path, "two", "new")
        with pytest.raises(ConflictError, match="one"):
            lake.ingest([new, clash], dataset=place.did("set"))
        assert names(lake.search(place.query())) == ["one"]
        assert lake.metadata([clash.did])[clash.did]["v"] == 1
        assert lake.fetch([clash.did], tmp_path / "out")[clash.did].read_text() == "right"

    @pytest.mark.parametrize(
        "did",
        [
            "no-colon",
            "s:relative",
            "s:/a/../b",
            "s:/a//b",
            "s:/a/",
            "s:/a b",
            "s:/a/$x",
            "s:/" + "x" * 300,
        ],
    )
    def test_odd_names_are_refused(self, lake, place, tmp_path, did):
        path = place.file(tmp_path, "f", "x").path
        with pytest.raises(InputError, match="DID"):
            lake.ingest([NewFile(path, did)])

    @pytest.mark.parametrize("key", ["bytes", "a.b", "1a", "a b", ""])
    def test_odd_keys_are_refused(self, lake, place, tmp_path, key):
        item = place.file(tmp_path, "f", "x", **{key: 1})
        with pytest.raises(InputError, match=r"key|column"):
            lake.ingest([item])
        assert len(lake.search(place.query())) == 0

    def test_ingest_refuses_bad_calls(self, lake, place, tmp_path):
        item = place.file(tmp_path, "f", "x")
        with pytest.raises(InputError, match="twice"):
            lake.ingest([item, item])
        with pytest.raises(InputError, match="missing"):
            lake.ingest([NewFile(tmp_path / "missing", place.did("missing"))])
        with pytest.raises(InputError, match="NOWHERE"):
            lake.ingest([item], rse="NOWHERE")
        assert len(lake.search(place.query())) == 0

    def test_dataset_counts_each_file_once(self, lake, place, tmp_path):
        files = [place.file(tmp_path, f"f{i}", "x" * (i + 1)) for i in range(4)]
        lake.ingest(files[:3], dataset=place.did("one"))
        lake.ingest(files[2:], dataset=place.did("two"))
        both = lake.volume([place.did("one"), place.did("two"), files[0].did])
        assert (both.files, both.bytes) == (4, 10)
        assert {r.did for r in lake.replicas([place.did("two")])} == {f.did for f in files[2:]}
        assert names(lake.search(place.query())) == ["f0", "f1", "f2", "f3"]

    def test_complete_dataset_takes_no_more_files(self, lake, place, tmp_path):
        lake.ingest([place.file(tmp_path, "f", "x")], dataset=place.did("set"))
        with pytest.raises(ConflictError, match="set"):
            lake.ingest([place.file(tmp_path, "g", "y")], dataset=place.did("set"))
        assert lake.volume([place.did("set")]).files == 1
        assert names(lake.search(place.query())) == ["f"]

    def test_file_and_dataset_names_do_not_mix(self, lake, place, tmp_path):
        lake.ingest([place.file(tmp_path, "f", "x")], dataset=place.did("set"))
        with pytest.raises(ConflictError, match="set"):
            lake.ingest([place.file(tmp_path, "set", "x")])
        with pytest.raises(ConflictError, match="/f"):
            lake.ingest([place.file(tmp_path, "g", "x")], dataset=place.did("f"))

    def test_set_metadata_keeps_other_keys(self, lake, place, events):
        first, second = events[0].did, events[1].did
        lake.set_metadata({first: {"obs": 77, "extra": "new"}, second: {"extra": 1.5}})
        found = lake.metadata([first, second])
        assert found[first]["obs"] == 77
        assert found[first]["level"] == "DL3"
        assert found[second]["extra"] == 1.5
        assert names(lake.search(place.query("obs = 77"))) == ["a"]
        assert names(lake.search(place.query("obs = 1"))) == []

    def test_metadata_of_a_dataset(self, lake, place, tmp_path):
        lake.ingest([place.file(tmp_path, "f", "x")], dataset=place.did("set"))
        lake.set_metadata({place.did("set"): {"purpose": "test"}})
        assert lake.metadata([place.did("set")])[place.did("set")]["purpose"] == "test"
        assert names(lake.search("purpose = test and tag = " + place.tag)) == []

    def test_unknown_did_is_named(self, lake, place, events, tmp_path):
        unknown = place.did("unknown")
        for call in (
            lambda: lake.metadata([events[0].did, unknown]),
            lambda: lake.set_metadata({events[0].did: {"obs": 5}, unknown: {"obs": 5}}),
            lambda: lake.volume([unknown]),
            lambda: lake.replicas([unknown]),
            lambda: lake.fetch([unknown], tmp_path / "out"),
            lambda: lake.stage([unknown], rse=place.disk, lifetime=60),
            lambda: lake.verify([unknown]),
        ):
            with pytest.raises(LakeError, match="unknown"):
                call()
        assert lake.metadata([events[0].did])[events[0].did]["obs"] == 1

    def test_fetch(self, lake, place, events, tmp_path):
        out = tmp_path / "out"
        dids = [item.did for item in events]
        seen = []
        paths = lake.fetch(dids, out, progress=lambda done, total, what: seen.append(done))
        assert {did: path.read_bytes() for did, path in paths.items()} == {
            item.did: item.path.read_bytes() for item in events
        }
        assert max(seen) == 6
        assert sorted(path.name for path in out.iterdir()) == list("abcdef")
        kept = paths[dids[0]].stat().st_mtime_ns
        paths[dids[1]].write_text("damaged!!")
        lake.fetch(dids, out)
        assert paths[dids[0]].stat().st_mtime_ns == kept
        assert paths[dids[1]].read_bytes() == events[1].path.read_bytes()

    def test_fetch_refuses_equal_base_names(self, lake, place, tmp_path):
        files = [place.file(tmp_path, "x/f", "1"), place.file(tmp_path, "y/f", "2")]
        lake.ingest(files)
        with pytest.raises(InputError, match="f"):
            lake.fetch([item.did for item in files], tmp_path / "out")

    def test_corrupt_replica_is_found(self, lake, place, events, tmp_path):
        replica = lake.replicas([events[0].did])[0]
        path = place.path_of(replica)
        require(path is not None, "the storage of this lake can't be reached as files")
        assert lake.verify([item.did for item in events]) == {}
        path.write_bytes(b"X" * replica.bytes)
        with pytest.raises(IntegrityError, match="/a"):
            lake.fetch([events[0].did], tmp_path / "out")
        assert not (tmp_path / "out" / "a").exists()
        assert set(lake.verify([item.did for item in events])) == {events[0].did}

    def test_tape_is_staged_fetched_and_released(self, lake, place, tmp_path):
        files = [place.file(tmp_path, f"f{i}", f"tape {i}") for i in range(3)]
        dids = [item.did for item in files]
        lake.ingest(files, dataset=place.did("set"), rse=place.tape)
        assert {r.tier for r in lake.replicas(dids)} == {"TAPE"}
        with pytest.raises(LakeError, match=r"tape|TAPE"):
            lake.fetch(dids, tmp_path / "out")
        request = lake.stage([place.did("set")], rse=place.disk, lifetime=600)
        assert request.rse == place.disk
        assert lake.stage([place.did("set")], rse=place.disk, lifetime=600).ids == request.ids
        assert lake.held([place.did("set")], rse=place.disk) == request
        assert lake.held(dids[:1], rse=place.disk) is None
        lake.wait(request, timeout=120)
        assert request.ids in [held.ids for held in lake.requests()]
        paths = lake.fetch(dids, tmp_path / "out")
        assert [paths[did].read_text() for did in dids] == ["tape 0", "tape 1", "tape 2"]
        lake.release(request)
        lake.release(request)
        assert lake.held([place.did("set")], rse=place.disk) is None
        assert request.ids not in [held.ids for held in lake.requests()]

    def test_release_keeps_what_another_request_holds(self, lake, place, tmp_path):
        files = [place.file(tmp_path, f"f{i}", f"tape {i}") for i in range(3)]
        dids = [item.did for item in files]
        lake.ingest(files, rse=place.tape)
        first = lake.stage(dids[:2], rse=place.disk, lifetime=600)
        second = lake.stage(dids[1:], rse=place.disk, lifetime=600)
        assert set(first.ids) != set(second.ids)
        lake.wait(first, timeout=120)
        lake.wait(second, timeout=120)
        lake.release(first)
        assert second.ids in [held.ids for held in lake.requests()]
        assert set(lake.fetch(dids[1:], tmp_path / "out")) == set(dids[1:])
        lake.release(second)

    def test_stage_refuses_what_cannot_be(self, lake, place, events):
        with pytest.raises(InputError, match="NOWHERE"):
            lake.stage([events[0].did], rse="NOWHERE", lifetime=60)
        with pytest.raises(InputError, match="lifetime"):
            lake.stage([events[0].did], rse=place.disk, lifetime=0)

    def test_usage_grows(self, lake, place, tmp_path):
        before = lake.usage(place.disk)
        assert before.rse == place.disk
        lake.ingest([place.file(tmp_path, "f", b"x" * 1000)])
        assert lake.usage(place.disk).used >= before.used
        with pytest.raises(InputError, match="NOWHERE"):
            lake.usage("NOWHERE")

    def test_nothing_asked_is_nothing_done(self, lake, place, tmp_path):
        assert lake.ingest([]).registered == ()
        assert lake.volume([]).files == 0
        assert lake.metadata([]) == {}
        assert lake.replicas([]) == []
        assert lake.fetch([], tmp_path / "out") == {}
        assert lake.verify([]) == {}
