"""Whatever stands in a basket's file or in a shopping cart: understood, or refused in one line."""

import json
from dataclasses import asdict

import pytest

from ctabatch.basket import store
from ctabatch.basket.esap import from_cart, to_cart
from ctabatch.basket.store import Basket, Item
from ctabatch.errors import BatchError, InputError
from project_tools import ROOT
from sweep_tools import MISSING, VALUES, changed

ITEM = Item(f"{ROOT}/1.dl3.fits", 74, "1a2b3c4d", "local:/lake", project="P42", label="1 Crab")
#: Types of an item's fields.
TYPES = {name: type(value) for name, value in asdict(ITEM).items()}
#: JSON can't hold it, nor can a file.
WRITABLE = {name: value for name, value in VALUES.items() if name != "surrogate"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with store.changing() as held:
        held[0], _ = held[0].with_items([ITEM])


def check_line(error, begin):
    text = str(error)
    assert text.isprintable(), repr(text)
    assert len(text) < 1000
    assert text.startswith(begin)


@pytest.mark.parametrize("field", ["format", "items", *TYPES])
def test_each_field_of_the_file(field):
    path = store.folder() / "default.json"
    content = json.loads(path.read_text())
    place = (field,) if field in content else ("items", 0, field)
    for name, value in (WRITABLE | {"missing": MISSING}).items():
        path.write_text(json.dumps(changed(content, place, value)))
        try:
            basket = store.load()
        except BatchError as error:
            check_line(error, "the basket ")
            continue
        for item in basket.items:
            for key, kind in TYPES.items():
                assert type(getattr(item, key)) is kind, (field, name)
            assert item.bytes >= 0, name
        if field in ("did", "format"):
            pytest.fail(f"{field}: {name} was accepted")


def test_a_key_that_is_not_known():
    path = store.folder() / "default.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(changed(content, ("items", 0, "size"), 1)))
    with pytest.raises(BatchError, match=r"is damaged.*basket clear"):
        store.load()


@pytest.mark.parametrize("name", WRITABLE)
def test_each_field_of_a_cart(name):
    cart = to_cart(Basket("default", (ITEM,)))
    data = json.loads(cart[0]["item_data"])
    places = [("archive",), ("record",), *(("record", key) for key in data["record"])]
    for place in places:
        content = [{"item_data": json.dumps(changed(data, place, WRITABLE[name]))}]
        try:
            items, others = from_cart(content, "local:/lake", "cart.json")
        except InputError as error:
            check_line(error, "cart.json: item 1: ")
            continue
        assert len(items) + others == 1
        for item in items:
            assert item.did == ITEM.did or place[-1] in ("scope", "name")
            assert isinstance(item.bytes, int)
            assert item.bytes >= 0
            assert item.adler32.isprintable(), (place, name)
            assert len(item.adler32) <= 8, (place, name)
    for content in (WRITABLE[name], [WRITABLE[name]], [{"item_data": WRITABLE[name]}]):
        try:
            found = from_cart(content, "local:/lake", "cart.json")
        except InputError as error:
            check_line(error, "cart.json")
        else:
            assert not found[0]
