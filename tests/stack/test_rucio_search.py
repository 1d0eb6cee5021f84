"""Searches of a Rucio lake that its server can't be trusted with, or that pass what a call holds."""

import uuid

import pytest

from ctabatch.errors import InputError
from ctabatch.lake.base import NewFile
from ctabatch.lake.rucio import RucioLake
from ctabatch.lake.rucio_session import RucioSession
from rucio_tools import DISK, ROOT, dids_of, lake_settings

pytestmark = pytest.mark.xdist_group("rucio")


@pytest.fixture
def lake(rucio):
    return RucioLake(lake_settings(rucio))


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

    def test_more_than_a_call_holds(self, rucio, lake, make_files):
        rows = [
            {
                "scope": "dpps",
                "name": f"{ROOT}/{make_files.tag}/{i}",
                "bytes": i,
                "adler32": "00000001",
            }
            for i in range(1100)
        ]
        for begin in range(0, len(rows), 1000):
            lake.session.call("add_replicas", DISK, rows[begin : begin + 1000])
        dids = [f"dpps:{row['name']}" for row in rows]
        assert len(lake.search(f"tag = {make_files.tag}")) == 0
        lake.set_metadata({did: {"tag": make_files.tag} for did in dids})
        assert lake.search(f"tag = {make_files.tag}")["bytes"].sum() == sum(range(1100))
        assert lake.volume(dids).files == len(lake.replicas(dids)) == 1100

    def test_text_that_looks_like_a_time_stays_text(self, lake, make_files):
        stamp = "Mon, 23 Nov 2026 08:00:00 UTC"
        files = make_files(1)
        lake.ingest(files)
        lake.set_metadata({files[0].did: {"stamp": stamp}})
        assert lake.metadata(dids_of(files))[files[0].did]["stamp"] == stamp
        assert len(lake.search(f"tag = {make_files.tag} and stamp = '{stamp}'")) == 1

    def test_file_without_metadata_is_shown_once_it_is_complete(self, lake, make_files):
        item = NewFile(make_files(1)[0].path, make_files(1)[0].did)
        lake.ingest([item])
        assert item.did in set(lake.search("")["did"])
        assert lake.metadata([item.did]) == {item.did: {}}

    def test_other_scopes_on_request(self, rucio, lake, make_files):
        files = make_files(1)
        lake.ingest(files)
        elsewhere = RucioLake(lake_settings(rucio, scope="acada"))
        assert len(elsewhere.search(f"tag = {make_files.tag}")) == 0
        with pytest.raises(InputError, match=r"lake\.scope.*scope dpps"):
            elsewhere.ingest(files)
        wide = RucioLake(lake_settings(rucio, scope="acada", search_scopes=["dpps"]))
        assert len(wide.search(f"tag = {make_files.tag}")) == 1

    def test_session_reads_streams_to_their_end(self, rucio):
        session = RucioSession(lake_settings(rucio).rucio)
        assert isinstance(session.call("list_rses"), list)
