"""Names never lead out of their folder: in storage, in fetched folders, in carts of ESAP."""

import json

import pytest

from ctabatch.basket import store
from ctabatch.basket.esap import from_cart
from ctabatch.config.lake import LocalLakeSettings
from ctabatch.errors import BatchError, InputError, LakeError
from ctabatch.lake.base import NewFile
from ctabatch.lake.local import LocalLake
from ctabatch.lake.local_storage import Storage
from ctabatch.lake.names import parse_did

FOLDER = "/ctao.dpps.test/test"
DID = f"test:{FOLDER}/a/f.fits"
BAD = {
    "parent": f"test:{FOLDER}/../../../escaped",
    "parent at the end": f"test:{FOLDER}/..",
    "itself": f"test:{FOLDER}/./f",
    "parent at once": "test:/../escaped",
    "relative": "test:escaped",
    "two slashes": f"test:{FOLDER}//f",
    "absolute": "test://etc/passwd",
    "slash at the end": f"test:{FOLDER}/f/",
    "NUL": f"test:{FOLDER}/f\0.fits",
    "backslash": f"test:{FOLDER}/..\\escaped",
    "new line": f"test:{FOLDER}/f\n",
    "escape": f"test:{FOLDER}/\x1b[2J",
    "delete": f"test:{FOLDER}/\x7f",
    "other digits": f"test:{FOLDER}/\u0663",
    "looks like a dot": f"test:{FOLDER}/\u2024\u2024/f",
    "surrogate": f"test:{FOLDER}/\ud800",
    "scope with a parent": f"../..:{FOLDER}/f",
    "scope of dots": f"..:{FOLDER}/f",
    "scope with a slash": f"test/..:{FOLDER}/f",
    "no scope": f":{FOLDER}/f",
}


def content(folder):
    """Names of all that is below a folder, but for the catalogue."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in names if "catalogue.sqlite" not in name}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_text("content")
    return path


@pytest.fixture
def lake(tmp_path):
    return LocalLake(LocalLakeSettings(folder=tmp_path / "lake"))


@pytest.fixture
def outside(tmp_path):
    """A folder of somebody else, with a file."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "f.fits").write_text("theirs")
    return folder


@pytest.fixture
def untouched(outside):
    """Check that the folder of somebody else is as it was."""

    def check():
        assert content(outside) == {"f.fits"}
        assert (outside / "f.fits").read_text() == "theirs"

    return check


@pytest.mark.parametrize("name", BAD)
def test_bad_name_is_refused(lake, source, tmp_path, name):
    did = BAD[name]
    for action in (
        lambda: parse_did(did),
        lambda: Storage(tmp_path).path("DISK", did),
        lambda: lake.ingest([NewFile(source, did, {})]),
        lambda: lake.ingest([NewFile(source, DID, {})], dataset=did),
        lambda: lake.fetch([did], tmp_path / "out"),
        lambda: lake.stage([did], rse="DISK", lifetime=60),
    ):
        with pytest.raises(InputError) as caught:
            action()
        assert str(caught.value).isprintable()
    assert content(tmp_path) <= {"source", "lake"}


@pytest.mark.parametrize("name", BAD)
def test_cart_with_a_bad_name(tmp_path, monkeypatch, cta_batch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    scope, _, lfn = BAD[name].partition(":")
    record = {"scope": scope, "name": lfn, "bytes": 7}
    good = {"scope": "test", "name": f"{FOLDER}/f", "bytes": 7}
    cart = [
        {"item_data": json.dumps({"archive": "rucio", "record": one})} for one in (good, record)
    ]
    (tmp_path / "cart.json").write_text(json.dumps({"shopping_cart": cart}))
    (tmp_path / "config.yaml").write_text("lake: {local: {folder: lake}}\n")
    code, out, errors = cta_batch("basket", "import", "cart.json", "--config", "config.yaml")
    assert (code, out) == (2, "")
    assert "cart.json: item 2: is no row of Rucio" in errors
    assert not store.folder().exists()


@pytest.mark.parametrize("size", [float("inf"), float("nan"), "9" * 5000, [1], -1])
def test_cart_with_a_bad_size(size):
    record = {"scope": "test", "name": f"{FOLDER}/f", "bytes": size}
    entry = {"item_data": json.dumps({"archive": "rucio", "record": record})}
    with pytest.raises(InputError, match="cart: item 1"):
        from_cart([entry], "local:/lake", "cart")


def test_cart_that_is_too_deep():
    with pytest.raises(InputError, match="has no readable item_data"):
        from_cart([{"item_data": "[" * 100_000}], "local:/lake", "cart")


@pytest.mark.parametrize("name", ["../escaped", "a/b", "/escaped", ".hidden", "a\0", "a\n", ""])
def test_name_of_a_basket(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for action in (store.load, store.delete, lambda name: store.changing(name).__enter__()):
        with pytest.raises(InputError, match="is no name of a basket"):
            action(name)
    assert content(tmp_path) == set()


def test_basket_file_with_a_bad_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with store.changing() as held:
        held[0], _ = held[0].with_items([store.Item(DID, 7)])
    path = store.folder() / "default.json"
    path.write_text(path.read_text().replace("/a/", "/../"))
    with pytest.raises(BatchError, match="is damaged"):
        store.load()


@pytest.mark.parametrize("link", ["test", f"test{FOLDER}", f"test{FOLDER}/a"])
def test_ingest_does_not_follow_links(lake, source, tmp_path, outside, untouched, link):
    place = tmp_path / "lake/DISK" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    for did in (DID, f"test:{FOLDER}/a/b/c/f.fits"):
        with pytest.raises(LakeError, match="is a symbolic link"):
            lake.ingest([NewFile(source, did, {})])
        untouched()
        assert lake.search("data__level = DL3").empty
    assert lake.orphans(remove=True) == [place]
    assert not place.is_symlink()
    untouched()


def test_ingest_replaces_a_link_in_the_place_of_a_file(lake, source, tmp_path, outside, untouched):
    place = tmp_path / "lake/DISK/test" / DID.partition(":/")[2]
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / "f.fits")
    lake.ingest([NewFile(source, DID, {})])
    assert not place.is_symlink()
    assert place.read_text() == "content"
    untouched()


def test_end_of_staging_removes_nothing_elsewhere(lake, source, tmp_path, outside, untouched):
    lake.ingest([NewFile(source, DID, {})], rse="TAPE")
    request = lake.stage([DID], rse="DISK", lifetime=600)
    lake.wait(request)
    place = tmp_path / f"lake/DISK/test{FOLDER}/a"
    place.rename(tmp_path / "moved")
    place.symlink_to(outside)
    with pytest.raises(LakeError, match="is a symbolic link"):
        lake.release(request)
    untouched()


@pytest.mark.parametrize("target", ["f.fits", "new", ".", "f.fits/below"])
def test_fetch_replaces_a_link(lake, source, tmp_path, outside, untouched, target):
    lake.ingest([NewFile(source, DID, {})])
    out = tmp_path / "out"
    out.mkdir()
    (out / "f.fits").symlink_to(outside / target)
    found = lake.fetch([DID], out)[DID]
    assert found == out / "f.fits"
    assert not found.is_symlink()
    assert found.read_text() == "content"
    untouched()


def test_half_written_files_do_not_go_elsewhere(lake, source, tmp_path, outside):
    """Nor is anything swept there that looks as if a killed process had left it."""
    (outside / "mine").mkdir()
    (outside / "mine.lock").touch()
    before = content(outside)
    lake.ingest([NewFile(source, DID, {})])
    out = tmp_path / "out"
    for folder in (out, tmp_path / "lake/DISK"):
        folder.mkdir(exist_ok=True)
        (folder / ".incoming").symlink_to(outside)
    other = NewFile(source, f"test:{FOLDER}/g.fits", {})
    for action in (
        lambda: lake.fetch([DID], out),
        lambda: lake.ingest([other]),
        lake.orphans,
    ):
        with pytest.raises(LakeError, match=r"\.incoming is a symbolic link"):
            action()
        assert content(outside) == before
    assert not (out / "f.fits").exists()


def test_metadata_of_a_basket_do_not_replace_a_file_or_follow_a_link(
    tmp_path, monkeypatch, cta_batch, outside, untouched
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "config.yaml").write_text("lake: {local: {folder: lake}}\n")
    source = tmp_path / "source"
    source.write_text("content")
    lake = LocalLake(LocalLakeSettings(folder=tmp_path / "lake"))
    side = f"{DID}.lake.json"
    lake.ingest([NewFile(source, did, {"data__level": "DL3"}) for did in (DID, side)])
    config = ("--config", "config.yaml")
    assert cta_batch("basket", "add", DID, "--with-metadata", *config)[0] == 0
    (tmp_path / "out").mkdir()
    (tmp_path / "out/f.fits.lake.json").symlink_to(outside / "f.fits")
    assert cta_batch("basket", "fetch", "-o", "out", *config)[0] == 0
    assert json.loads((tmp_path / "out/f.fits.lake.json").read_text())["did"] == DID
    untouched()
    assert cta_batch("basket", "add", side, *config)[0] == 0
    code, _, errors = cta_batch("basket", "fetch", "-o", "both", *config)
    assert code == 1
    assert "f.fits.lake.json is a file of the basket" in errors
    assert (tmp_path / "both/f.fits.lake.json").read_text() == "content"


def test_control_characters_of_metadata_do_not_reach_a_terminal(
    tmp_path, monkeypatch, cta_batch, source
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "config.yaml").write_text("lake: {local: {folder: lake}}\n")
    lake = LocalLake(LocalLakeSettings(folder=tmp_path / "lake"))
    lake.ingest([NewFile(source, DID, {"obs__object": "Crab\x1b[2J\n\tok"})])
    config = ("--config", "config.yaml")
    assert cta_batch("basket", "add", DID, *config)[0] == 0
    code, out, _ = cta_batch("basket", "list", *config)
    assert code == 0
    assert out.splitlines()[1].startswith("Crab\ufffd[2J\ufffd\ufffdok\t")
    assert len(out.splitlines()) == 2
