"""Queries as Rucio's filters: exact where Rucio can be trusted, wider where not."""

import pytest

from ctabatch.lake.query import parse
from ctabatch.lake.rucio_filters import PRESENT, filters


def translate(query, typed=True):
    """All filters of a query."""
    return [group for piece in filters(parse(query), typed=typed) for group in piece]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [{}]),
        ("a = DL3", [{"a": "DL3"}]),
        ("a = DL* and b != x", [{"a": "DL*", "b.ne": "x"}]),
        ("a >= 2 and a < 3.5", [{"a.gte": 2, "a.lt": 3.5}]),
        ("a = true or b <= 1", [{"a": True}, {"b.lte": 1}]),
        ("t > 2026-03-01T00:00:00", [{"t.gt": "2026-03-01T00:00:00"}]),
        ("t >= 2026-03-01", [{"t.gte": "2026-03-01"}]),
        ("a = *", [{"a": PRESENT}]),
        ("a = 007", [{"a": "007"}]),
    ],
)
def test_what_rucio_does_well(query, expected):
    assert translate(query) == expected


@pytest.mark.parametrize(
    "value", ["0x10", "None", "'1_000'", "construed", "'FALSEhood'", "'(1, 2)'", r"'a\b'", "'a, b'"]
)
def test_text_that_rucio_would_change_is_only_asked_to_be_there(value):
    assert translate(f"a = {value}") == [{"a": PRESENT}]


def test_order_of_text_is_left_to_us():
    assert translate("a > b") == [{"a": PRESENT}]
    assert translate("a > b and a = bc") == [{"a": "bc"}]


def test_second_condition_on_a_key_is_left_to_us():
    assert translate("a != 1 and a != 2") == [{"a.ne": 1}]


def test_keys_with_values_of_other_types():
    assert translate("a > 1 and b = x and c = true", typed=False) == [
        {"a": PRESENT, "b": "x", "c": PRESENT}
    ]


def test_alternatives_are_cut_to_fit_into_a_url():
    query = " or ".join(f"a = value{i:03d}" for i in range(300))
    pieces = list(filters(parse(query)))
    assert len(pieces) > 5
    assert [group["a"] for piece in pieces for group in piece] == [
        f"value{i:03d}" for i in range(300)
    ]
    assert all(len(str(piece)) < 1500 for piece in pieces)


def test_alternatives_that_become_equal_are_asked_once():
    assert translate("a > x or a > y") == [{"a": PRESENT}]
