"""The query language of `cta-batch search`, with the semantics of Rucio's metadata filters.

.. code-block:: text

   data__level = DL3 and proposal_id = P42 and instance__obs_id >= 110000
   (particle = gamma or particle = electron) and zenith < 40
   name_of_key = "text with spaces" and other_key = North*

Conditions ``key operator value`` with the operators ``= != < <= > >=`` are joined by ``and`` and
``or`` (``and`` binds tighter) and grouped by parentheses. The type of the value decides how things
compare, whether or not it is quoted:

- a number compares with numbers, and with text that reads as a number;
- ``true`` and ``false`` compare with bools, and with such text;
- a date with time, such as ``2026-03-01T22:00:00``, compares with text that reads as a date, as
  instants (a time zone is ignored); a date alone is text, which sorts alike;
- anything else compares as text, by code point; in text after ``=`` or ``!=`` each ``*`` stands
  for any characters. A ``*`` alone asks for the presence of the key.

A file without the key never matches, not even with ``!=``; nor do values which are lists. Where a
key holds text that is not a number in some files, Rucio lets a query with a number fail as a
whole; here, and in our Rucio back end as far as it can tell, those files do not match.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from json import dumps
from operator import eq, ge, gt, le, lt, ne
from typing import Any, NamedTuple

from ctabatch.errors import InputError
from ctabatch.lake.names import check_key, is_text

OPERATORS: dict[str, Callable] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}

#: Most ANDs that an expression may expand to.
MAX_ALTERNATIVES = 1000

#: Deepest nesting of parentheses.
MAX_DEPTH = 50

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_LEADING_ZERO = re.compile(r"[+-]?0\d+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d.*)?")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6}Z)?")
_FLAGS = {"true": True, "false": False}
_EPOCH = datetime(1970, 1, 1)


class Attribute(NamedTuple):
    """How a metadata value takes part in comparisons; None where it does not."""

    text: str
    number: float | None = None
    flag: bool | None = None
    time: int | None = None  #: microseconds since 1970


def attribute(value: Any) -> Attribute | None:
    """Return the comparable forms of a metadata value.

    Parameters
    ----------
    value : object
        Value of a metadata key.

    Returns
    -------
    Attribute or None
        None for lists, mappings and null, which no condition matches.
    """
    if isinstance(value, bool):
        return Attribute("true" if value else "false", flag=value)
    if isinstance(value, int | float):
        return Attribute(dumps(value), number=_finite(value))
    if not isinstance(value, str):
        return None
    if _NUMBER.fullmatch(value):
        return Attribute(value, number=_finite(value))
    if value.lower() in _FLAGS:
        return Attribute(value, flag=_FLAGS[value.lower()])
    return Attribute(value, time=_instant(value) if _DATE.fullmatch(value) else None)


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _instant(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    delta = moment - _EPOCH
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def typecast(text: str) -> int | float | bool | str:
    """Give text of a query the type that Rucio would: number, bool, or text.

    Parameters
    ----------
    text : str
        Value in a query. Whole numbers with a leading zero stay text.

    Returns
    -------
    int, float, bool or str
    """
    if text.lower() in _FLAGS:
        return _FLAGS[text.lower()]
    if not _NUMBER.fullmatch(text) or _LEADING_ZERO.fullmatch(text) or _finite(text) is None:
        return text
    try:
        return int(text)
    except ValueError:
        return float(text)


@dataclass(frozen=True)
class Condition:
    """``key operator value``."""

    key: str
    op: str
    value: int | float | bool | str

    @cached_property
    def kind(self) -> str:
        """What is compared: ``number``, ``flag``, ``time``, ``pattern`` or ``text``."""
        if isinstance(self.value, bool):
            return "flag"
        if isinstance(self.value, int | float):
            return "number"
        if "*" in self.value:
            return "pattern"
        if _DATE_TIME.fullmatch(self.value) and _instant(self.value) is not None:
            return "time"
        return "text"

    @cached_property
    def operand(self) -> float | bool | int | str:
        """The value in the form that `Attribute` holds: dates in microseconds, numbers as float."""
        if self.kind == "time":
            return _instant(self.value)
        return float(self.value) if self.kind == "number" else self.value

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether the metadata of a file fulfil the condition."""
        found = attribute(metadata.get(self.key))
        if found is None:
            return False
        if self.kind == "pattern":
            expression = ".*".join(re.escape(part) for part in self.value.split("*"))
            hit = re.fullmatch(expression, found.text, re.DOTALL) is not None
            return hit == (self.op == "=")
        field = getattr(found, self.kind)
        return field is not None and OPERATORS[self.op](field, self.operand)


@dataclass(frozen=True)
class Query:
    """A parsed query: a file is found if all conditions of at least one alternative hold.

    Parameters
    ----------
    alternatives : tuple of tuple of Condition
        Disjunctive normal form. One empty alternative finds everything.
    """

    alternatives: tuple[tuple[Condition, ...], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are asked for, in order of appearance."""
        return tuple(dict.fromkeys(c.key for group in self.alternatives for c in group))

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether the metadata of a file fulfil the query."""
        return any(all(c.matches(metadata) for c in group) for group in self.alternatives)


def parse(text: str) -> Query:
    """Parse a query.

    Parameters
    ----------
    text : str
        Expression in the language of this module; empty text finds everything.

    Returns
    -------
    Query

    Raises
    ------
    ctabatch.errors.InputError
        With the position (from 1), what stands there, and what would be allowed.
    """
    if not text.strip():
        return Query(((),))
    parser = _Parser(text)
    alternatives = parser.expression()
    parser.expect_end()
    return Query(tuple(dict.fromkeys(alternatives)))


_TOKEN = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<op><=|>=|!=|=|<|>)
    |(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()"'=<>!]+)|(?P<bad>.))""",
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    type: str
    text: str
    position: int


class _Parser:
    """Recursive descent, straight to disjunctive normal form."""

    def __init__(self, text: str):
        self.tokens = [
            _Token(m.lastgroup, m[m.lastgroup], m.start(m.lastgroup) + 1)
            for m in _TOKEN.finditer(text.rstrip())
        ]
        self.tokens.append(_Token("end", "", len(text.rstrip()) + 1))
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, allowed: str, token: _Token | None = None, reason: str | None = None):
        token = token or self.token
        found = repr(token.text) if token.type != "end" else "the end"
        raise InputError(
            reason or f"found {found}", where=f"query, position {token.position}", allowed=allowed
        )

    def keyword(self, word: str) -> bool:
        if self.token.type == "word" and self.token.text.lower() == word:
            self.index += 1
            return True
        return False

    def take(self, types: tuple[str, ...], allowed: str) -> _Token:
        token = self.token
        if token.type not in types:
            if token.type == "bad" and token.text in "\"'":
                self.fail(
                    "quoted text that ends with the same quote", reason="a quote is not closed"
                )
            self.fail(allowed)
        self.index += 1
        return token

    def expect_end(self):
        if self.token.type != "end":
            self.fail("and, or, or the end of the query")

    def expression(self) -> list[tuple[Condition, ...]]:
        start = self.token
        alternatives = self.conjunction()
        while self.keyword("or"):
            alternatives = alternatives + self.conjunction()
        self.limit(len(alternatives), start)
        return alternatives

    def conjunction(self) -> list[tuple[Condition, ...]]:
        start = self.token
        groups = self.term()
        while self.keyword("and"):
            right = self.term()
            self.limit(len(groups) * len(right), start)
            groups = [tuple(dict.fromkeys(a + b)) for a in groups for b in right]
        return groups

    def limit(self, count: int, token: _Token):
        if count > MAX_ALTERNATIVES:
            self.fail(
                f"up to {MAX_ALTERNATIVES}", token, f"the query expands to {count} alternatives"
            )

    def term(self) -> list[tuple[Condition, ...]]:
        if self.token.type == "open":
            if self.depth == MAX_DEPTH:
                self.fail(f"up to {MAX_DEPTH} levels", reason="parentheses are nested too deeply")
            self.index += 1
            self.depth += 1
            alternatives = self.expression()
            self.take(("close",), "')', and, or")
            self.depth -= 1
            return alternatives
        return [(self.condition(),)]

    def condition(self) -> Condition:
        allowed = "a metadata key or '('"
        key = self.take(("word",), allowed)
        if key.text.lower() in ("and", "or"):
            self.fail(allowed, key)
        try:
            check_key(key.text)
        except InputError as error:
            self.fail(error.allowed, key, error.message)
        op = self.take(("op",), f"one of {' '.join(OPERATORS)} after the key {key.text!r}")
        value = self.take(("word", "quoted"), f"a value after {op.text!r}")
        if value.type == "word" and value.text.lower() in ("and", "or"):
            self.fail(f"a value after {op.text!r}; the word itself in quotes", value)
        return self.build(key, op, value)

    def build(self, key: _Token, op: _Token, value: _Token) -> Condition:
        text = value.text[1:-1] if value.type == "quoted" else value.text
        if "%" in text or not is_text(text):
            self.fail("readable text without '%'; '*' stands for any characters", value)
        # Rucio drops a condition whose value is a single star; two mean "has the key" there too.
        text = "**" if text == "*" else text
        condition = Condition(key.text, op.text, typecast(text))
        if condition.kind in ("pattern", "flag") and op.text not in ("=", "!="):
            what = "text with '*'" if condition.kind == "pattern" else "true and false"
            self.fail("= or !=", op, f"{what} can't be compared by {op.text!r}")
        return condition
