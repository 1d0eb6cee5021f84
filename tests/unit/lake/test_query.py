"""The query language: parsing, errors, and agreement of SQL with the plain definition."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctabatch.errors import InputError
from ctabatch.lake.local_catalogue import Catalogue
from ctabatch.lake.local_search import select
from ctabatch.lake.query import MAX_ALTERNATIVES, OPERATORS, Condition, Query, parse


def test_design_example():
    query = parse("data__level = DL3 and proposal_id = P42 and instance__obs_id >= 110000")
    assert query.alternatives == (
        (
            Condition("data__level", "=", "DL3"),
            Condition("proposal_id", "=", "P42"),
            Condition("instance__obs_id", ">=", 110000),
        ),
    )
    assert query.keys == ("data__level", "proposal_id", "instance__obs_id")


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_empty_query_finds_everything(text):
    assert parse(text).alternatives == ((),)
    assert parse(text).matches({})


def test_and_binds_tighter_than_or_and_parentheses_expand():
    def expand(text):
        return [[c.key for c in group] for group in parse(text).alternatives]

    assert expand("a=1 or b=1 AND c=1") == [["a"], ["b", "c"]]
    assert expand("(a=1 Or b=1) and (c=1 or (d=1 and e=1))") == [
        ["a", "c"],
        ["a", "d", "e"],
        ["b", "c"],
        ["b", "d", "e"],
    ]


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("42", 42, "number"),
        ("'42'", 42, "number"),
        ("-1.5e-3", -0.0015, "number"),
        ("007", "007", "text"),
        ("TRUE", True, "flag"),
        ("'false'", False, "flag"),
        ("CTAO-North", "CTAO-North", "text"),
        ("DL*", "DL*", "pattern"),
        ("*", "**", "pattern"),
        ("2026-03-01T22:00:00", "2026-03-01T22:00:00", "time"),
        ("'2026-03-01 22:00:00'", "2026-03-01 22:00:00", "time"),
        ("2026-03-01", "2026-03-01", "text"),
        ("2026-99-99T00:00:00", "2026-99-99T00:00:00", "text"),
        ('"and"', "and", "text"),
        ("''", "", "text"),
        ("9" * 400, "9" * 400, "text"),
    ],
)
def test_values_are_typed_as_rucio_does(text, value, kind):
    ((condition,),) = parse(f"key = {text}").alternatives
    assert condition.value == value
    assert type(condition.value) is type(value)
    assert condition.kind == kind


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a", 2, "found the end"),
        ("a 3", 3, "found '3'"),
        ("a =", 4, "found the end"),
        ("a = and b = 1", 5, "found 'and'"),
        ("a == 1", 4, "found '='"),
        ("and = 1", 1, "found 'and'"),
        ("a = 1 b = 2", 7, "and, or, or the end"),
        ("a = 1 and", 10, "a metadata key"),
        ("(a = 1", 7, "')'"),
        ("a = 1)", 6, "and, or, or the end"),
        ("a = 'x", 5, "not closed"),
        ("a.b = 1", 1, "can't be a metadata key"),
        ("x = 1 and bytes > 1", 11, "fixed column"),
        ("a < true", 3, "can't be compared"),
        ("a >= x*", 3, "can't be compared"),
        ("a = '5 %'", 5, "without '%'"),
        ("a ! 1", 3, "found '!'"),
        ("a = \udcff", 5, "readable"),
    ],
)
def test_errors_name_the_position(text, position, message):
    with pytest.raises(InputError, match=f"^query, position {position}: ") as caught:
        parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_expansion_is_limited():
    factor = "(a=1 or a=2 or a=3 or a=4)"
    assert len(parse(" and ".join([factor] * 3)).alternatives) > 1
    with pytest.raises(InputError, match=f"allowed: up to {MAX_ALTERNATIVES}"):
        parse(" and ".join([factor] * 40))
    with pytest.raises(InputError, match="alternatives"):
        parse(" or ".join(["a = 1"] * (MAX_ALTERNATIVES + 1)))


def test_deep_nesting_is_an_error_of_the_query():
    with pytest.raises(InputError, match="nested"):
        parse("(" * 5000 + "a = 1" + ")" * 5000)


KEYS = st.sampled_from(["a", "b", "c"])
TEXTS = st.one_of(
    st.sampled_from(["DL3", "dl3", "7", "007", "1e3", "true", "x[y]?z", "a_b", "é", ""]),
    st.sampled_from(["2026-03-01", "2026-03-01T12:00:00", "2026-03-01 12:00:00.5", "2026-13-01"]),
    st.text("ab*[]?_\\7.-", max_size=4),
)
VALUES = st.one_of(
    st.integers(-3, 8),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.booleans(),
    TEXTS,
    st.lists(st.integers(0, 2), max_size=2),
)


@st.composite
def conditions(draw):
    """Conditions as the parser makes them."""
    quoted = draw(
        st.one_of(st.integers(-3, 8).map(str), TEXTS, st.sampled_from(["DL*", "*", "*b*"]))
    )
    op = draw(st.sampled_from(list(OPERATORS)))
    if "*" in quoted or quoted.lower() in ("true", "false"):
        op = draw(st.sampled_from(["=", "!="]))
    return parse(f"{draw(KEYS)} {op} '{quoted}'").alternatives[0][0]


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return Catalogue(tmp_path_factory.mktemp("lake") / "catalogue.sqlite")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.lists(st.dictionaries(KEYS, VALUES), min_size=1, max_size=5),
    alternatives=st.lists(st.lists(conditions(), max_size=3), min_size=1, max_size=3),
)
def test_sql_agrees_with_the_definition(catalogue, files, alternatives):
    query = Query(tuple(tuple(group) for group in alternatives))
    rows = {f"s:/f{number}": metadata for number, metadata in enumerate(files)}
    with catalogue.transaction(write=True) as connection:
        catalogue.add_files(dict.fromkeys(rows, (1, "00010001")))
        catalogue.merge_metadata(rows)
        found = sorted(row[0] for row in select(connection, query))
        connection.execute("DELETE FROM attributes")
        connection.execute("DELETE FROM dids")
    assert found == sorted(did for did, metadata in rows.items() if query.matches(metadata))
