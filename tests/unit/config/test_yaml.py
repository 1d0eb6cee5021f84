"""YAML that is no configuration, or harmful, is refused in one line."""

from pathlib import Path

import pytest

from ctabatch.config.load import MAXIMUM_BYTES, load_config, read_yaml
from ctabatch.errors import InputError

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

REFUSED = {
    "empty": ("", "must hold keys and values"),
    "list": ("- 1", "must hold keys and values"),
    "deep list": ("a: " + "[" * 5000, "nested too deeply"),
    "deep mapping": ("a: " + "{a: " * 3000, "nested too deeply"),
    "alias": ("a: &x 1\nb: *x", "aliases"),
    "doubled key": ("irf: {}\nirf: {}", "line 2: .*'irf' stands twice"),
    "doubled nested key": ("irf: {name: a, 'name': b}", "'name' stands twice"),
    "key is a number": ("1: 2", "key '1' is not text"),
    "key is null": ("null: 2", "key 'null' is not text"),
    "key is a list": ("? [a]\n: 1", "key must be plain text"),
    "two documents": ("a: 1\n---\nb: 1", "another document"),
    "tab": ("a:\n\t- b", "line 2"),
    "unclosed": ("a: {b: [c", "line 1"),
    "control character": (b"a: \x07", "special characters"),
    "null byte": (b"a: \x00", "special characters"),
    "Latin-1": (b"a: \xe9", "not UTF-8"),
    "UTF-16": ("irf: null".encode("utf-16"), "not UTF-8"),
    "huge": (b"#" * (MAXIMUM_BYTES + 1), "too large"),
    "huge number": ("a: " + "9" * 5000, "no valid value"),
    "no date": ("a: 2026-13-45", "no valid value"),
    "Python object": ("a: !!python/object/apply:os.system [ls]", "constructor"),
    "wrong tag": ("a: !!int x", "no valid value"),
    "wrong merge": ("<<: 5", "merging"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(write, name):
    data, words = REFUSED[name]
    path = write(data)
    with pytest.raises(InputError, match=words) as caught:
        load_config(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert len(line) < 600


def test_no_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path)


def test_endless_file_is_not_read_to_the_end():
    with pytest.raises(InputError, match="too large"):
        load_config("/dev/zero")


def test_aliases_where_they_are_allowed(write):
    assert read_yaml(write("a: &x {b: 1}\nc: *x"), aliases=True) == {"a": {"b": 1}, "c": {"b": 1}}
    with pytest.raises(InputError, match="values"):
        read_yaml(write(BOMB), aliases=True)
    with pytest.raises(InputError, match="values"):
        read_yaml(write("a: &a [*a]"), aliases=True)
    with pytest.raises(InputError, match="stands twice"):
        read_yaml(write("a: 1\na: 2"), aliases=True)


def test_byte_order_mark_and_null_sections_are_fine(write):
    assert load_config(write(b"\xef\xbb\xbfirf:\n")).irf is None


CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize(
    "path",
    sorted([*CONFIG.glob("*.yaml"), *(CONFIG / "test").glob("*.yaml")]),
    ids=lambda p: p.name,
)
def test_configurations_that_ship_are_valid(path):
    load_config(path)
