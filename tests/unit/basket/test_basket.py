"""Baskets: what goes in and out, what becomes stale, and ESAP's shopping carts."""

import json
import sqlite3
import subprocess
import sys

import pytest

from ctabatch.basket import store
from ctabatch.basket.esap import from_cart, to_cart
from ctabatch.basket.store import Basket, Item
from ctabatch.cli.main import run
from ctabatch.errors import BatchError, InputError
from project_tools import ROOT, fill_lake, log_in_as, write_config


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def lake(tmp_path):
    return fill_lake(tmp_path / "lake")


@pytest.fixture
def cli(lake, tmp_path, capsys):
    """Run a basket command as the PI of P42."""
    write_config(tmp_path, log_in_as("pi", "/cta/P42"))

    def command(*arguments):
        code = 0
        try:
            run(["basket", *arguments])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return command


def dids(name="default"):
    return [item.did.rpartition("/")[2] for item in store.load(name).items]


def test_project_to_basket(cli):
    code, out, _ = cli("add", "--project", "P42", "--object", "Crab")
    assert code == 0
    assert out == "2 put in, 0 were there already\nbasket default: 2 files, 148 bytes\n"
    code, out, _ = cli("add", "--project", "P42")
    assert out.startswith("1 put in, 2 were there already")
    assert dids() == ["1.dl3.fits", "2.dl3.fits", "3.dl3.fits"]
    code, out, errors = cli("list")
    lines = [line.split("\t") for line in out.splitlines()]
    assert lines[1] == ["1 Crab", "P42", "data", "74", "no", "ok", f"{ROOT}/1.dl3.fits"]
    assert errors == "basket default: 3 files, 222 bytes\n"
    assert store.folder().joinpath("default.json").stat().st_mode & 0o777 == 0o600


def test_dids_queries_metadata_and_logs(cli, tmp_path):
    code, _, errors = cli(
        "add", f"{ROOT}/1.dl3.fits", "instance__obs_id = 1", "--with-metadata", "--with-logs"
    )
    assert code == 0, errors
    assert dids() == ["1.dl3.fits", "1.log"]
    found = json.loads(cli("list", "--json")[1])
    assert [(item["kind"], item["metadata"]) for item in found["items"]] == [
        ("data", True),
        ("log", False),
    ]
    code, _, errors = cli("fetch", "-o", "out")
    assert code == 0, errors
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["1.dl3.fits", "1.dl3.fits.lake.json", "1.log"]
    content = json.loads((tmp_path / "out/1.dl3.fits.lake.json").read_text())
    assert content["metadata"]["proposal_id"] == "P42"


def test_a_dataset_counts_as_its_files(lake, cli, tmp_path):
    from ctabatch.lake.base import NewFile

    path = tmp_path / "x"
    path.write_text("x")
    lake.ingest([NewFile(path, f"{ROOT}/x", {"a": 1})], dataset=f"{ROOT}/set")
    assert cli("add", f"{ROOT}/set")[0] == 0
    assert dids() == ["x"]


def test_what_one_may_not_see_does_not_get_in(cli):
    known = cli("add", f"{ROOT}/5.dl3.fits")
    unknown = cli("add", f"{ROOT}/nothing.fits")
    assert known[0] == unknown[0] == 1
    assert known[2].replace("5.dl3", "nothing") == unknown[2]
    assert cli("add", "instance__obs_id >= 5")[0] == 0  # of 5, 6 and 7 only 6 is public
    assert dids() == ["6.dl3.fits"]
    cli("add", "activity__id = activity-*", "--with-logs")
    assert "5.log" not in dids()
    assert cli("add", "--project", "P77")[2] == cli("add", "--project", "P77")[2]
    assert "there is no data of project P77" in cli("add", "--project", "P77")[2]


def test_several_baskets(cli):
    cli("add", f"{ROOT}/1.dl3.fits", "--basket", "crab")
    cli("add", f"{ROOT}/2.dl3.fits")
    assert dids("crab") == ["1.dl3.fits"]
    assert cli("list", "--names")[1].splitlines() == [
        "basket crab: 1 files, 74 bytes",
        "basket default: 1 files, 74 bytes",
    ]
    assert cli("clear", "--basket", "crab")[1] == "basket crab is empty\n"
    assert dids("crab") == []
    assert dids() == ["2.dl3.fits"]


def test_remove(cli):
    cli("add", "--project", "P42")
    code, out, _ = cli("remove", "*/1.dl3.fits", f"{ROOT}/3.dl3.fits")
    assert code == 0
    assert out.startswith("2 taken out\n")
    assert dids() == ["2.dl3.fits"]
    code, _, errors = cli("remove", "*/9.dl3.fits")
    assert code == 2
    assert "is not in the basket default" in errors
    assert cli("remove")[0] == 2


def test_stale_items_are_shown_and_not_fetched(cli, lake, tmp_path):
    cli("add", "--project", "P42")
    cli("add", f"{ROOT}/6.dl3.fits", "instance__obs_id = 4")
    lake.set_metadata({f"{ROOT}/1.dl3.fits": {"dl3__status": "superseded"}})
    lake.set_metadata({f"{ROOT}/6.dl3.fits": {"release_date": "2999-01-01"}})
    with sqlite3.connect(tmp_path / "lake/catalogue.sqlite") as catalogue:
        for table in ("replicas", "dids"):
            key = "did_id" if table == "replicas" else "id"
            catalogue.execute(
                f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM dids WHERE did = ?)",
                [f"{ROOT}/2.dl3.fits"],
            )
        catalogue.execute(
            "DELETE FROM replicas WHERE did_id IN (SELECT id FROM dids WHERE did = ?)",
            [f"{ROOT}/3.dl3.fits"],
        )
    found = json.loads(cli("list", "--json")[1])["items"]
    assert {item["did"].rpartition("/")[2]: item["state"] for item in found} == {
        "1.dl3.fits": "superseded",
        "2.dl3.fits": "vanished",
        "3.dl3.fits": "no copy",
        "6.dl3.fits": "vanished",  # he may not see it any more
        "4.dl3.fits": "superseded",
    }
    assert "5 stale: remove them with" in cli("list")[2]
    assert cli("list", "--dids")[1] == ""
    code, _, errors = cli("fetch", "-o", "out")
    assert code == 1
    assert "5 of 5 files of basket default are stale" in errors
    assert not (tmp_path / "out").exists()
    assert cli("remove", "--stale")[1].startswith("5 taken out")
    assert "is empty" in cli("fetch", "-o", "out")[2]


def test_files_of_another_lake_are_kept_apart(cli, tmp_path):
    cli("add", f"{ROOT}/1.dl3.fits")
    (tmp_path / "other.yaml").write_text("lake: {local: {folder: other}}\n")
    (item,) = json.loads(cli("list", "--json", "--config", "other.yaml")[1])["items"]
    assert item["state"] == "in another lake"


def test_cart_goes_out_and_comes_back(cli, tmp_path):
    cli("add", "--project", "P42")
    assert cli("export", "-o", "cart.json")[0] == 0
    cart = json.loads((tmp_path / "cart.json").read_text())["shopping_cart"]
    assert all(isinstance(entry["item_data"], str) for entry in cart)
    first = json.loads(cart[0]["item_data"])
    assert first["archive"] == "rucio"
    assert first["record"]["name"] == "/ctao.dpps.test/test/1.dl3.fits"
    # Everybody can read a cart.
    text = (tmp_path / "cart.json").read_text()
    assert not [word for word in ("P42", "Crab", "pi", str(tmp_path)) if f'"{word}' in text]
    assert cli("import", "cart.json", "--basket", "copy")[1].startswith("3 put in, 0 were")
    assert dids("copy") == dids()
    assert cli("import", "cart.json")[1].startswith("0 put in, 3 were there already")
    (names,) = [cli("export", "--format", "dids")[1].splitlines()]
    assert names[0] == f"{ROOT}/1.dl3.fits"


def test_carts_of_esap():
    """As its archives write them, alone, in a profile, or in the answer of the server."""
    record = {"scope": "test", "name": "/a/b", "bytes": 5, "adler32": "00000001", "type": "FILE"}
    cart = [
        {"item_data": json.dumps({"archive": "rucio", "record": record})},
        {"item_data": json.dumps({"archive": "zooniverse", "project_id": "1"})},
    ]
    profile = {"username": "x", "shopping_cart": cart}
    for content in (cart, profile, {"count": 1, "results": [profile]}):
        items, others = from_cart(content, "l", "cart.json")
        assert items == [Item("test:/a/b", 5, "00000001", "l")]
        assert others == 1


def test_a_cart_holds_no_more_than_names_and_sizes():
    item = Item("test:/a", 1, "0000000a", "rucio:https://r", project="P42", label="secret object")
    (entry,) = to_cart(Basket("b", (item,)))
    assert set(entry) == {"item_data"}
    data = json.loads(entry["item_data"])
    assert set(data) == {"archive", "record"}
    assert set(data["record"]) == {"scope", "name", "type", "bytes", "adler32"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "is no shopping cart"),
        ("x", "is no shopping cart"),
        ([1], "item 1: has no readable item_data"),
        ([{"item_data": "{"}], "item 1: has no readable item_data"),
        ([{"item_data": '{"archive": "rucio"}'}], "item 1: is no row of Rucio"),
        ([{"item_data": '{"archive": "rucio", "record": {"scope": "a"}}'}], "is no row of Rucio"),
        (
            [
                {
                    "item_data": '{"archive": "rucio", "record": {"scope": "a", "name": "/b", '
                    '"bytes": -1}}'
                }
            ],
            "is no row of Rucio",
        ),
        (
            [{"item_data": '{"archive": "rucio", "record": {"scope": "a b", "name": "c"}}'}],
            "is no row of Rucio",
        ),
    ],
)
def test_bad_carts(content, message):
    with pytest.raises(InputError) as error:
        from_cart(content, "l", "cart.json")
    assert message in str(error.value)
    assert "cart.json" in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "items": [1]}'])
def test_damaged_basket_is_named(text, cli):
    store.folder().mkdir(parents=True)
    (store.folder() / "default.json").write_text(text)
    with pytest.raises(BatchError, match=r"is damaged .start anew: cta-batch basket clear"):
        store.load()
    assert cli("clear")[0] == 0
    assert dids() == []


def test_a_failed_change_leaves_the_basket_as_it_was(cli):
    cli("add", f"{ROOT}/1.dl3.fits")

    def fail():
        with store.changing() as held:
            held[0], _ = held[0].with_items([Item("test:/x", 1)])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert dids() == ["1.dl3.fits"]


def test_processes_at_once_lose_nothing():
    code = (
        "import sys; from ctabatch.basket.store import *\n"
        "for number in range(15):\n"
        "    with changing('many') as held:\n"
        "        held[0], _ = held[0].with_items([Item(f'test:/{sys.argv[1]}-{number}', 1)])"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(store.load("many").items) == 45


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["add"], 2, "nothing to put in"),
        (["add", "--object", "Crab"], 2, "with --project"),
        (["add", "a = 1"], 1, "no file matches, nothing was put in"),
        (["add", "a ="], 2, "query, position"),
        (["add", "nonsense"], 2, "not a data identifier"),
        (["list", "--basket", "../x"], 2, "is no name of a basket"),
        (["import", "absent.json"], 2, "absent.json: no such file"),
        (["fetch", "-o", "out"], 1, "basket default is empty"),
    ],
)
def test_mistakes(cli, arguments, code, message):
    found, out, errors = cli(*arguments)
    assert (found, out) == (code, "")
    assert message in errors


COMMANDS = ("add", "clear", "export", "fetch", "import", "list", "remove")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    run(["basket", command, "--help"])
    assert f"cta-batch basket {command}" in capsys.readouterr().out.split("Example")[1]
