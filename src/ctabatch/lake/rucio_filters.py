"""Queries as filters of Rucio's metadata search.

Rucio's filter language is poorer than ours and has traps. What it can't be trusted with is left
out here: the filters find at least the files that match, and the caller tests the metadata of each
with the query itself.

- A filter is a mapping, so a key has one condition an operator (``a != 1 and a != 2``).
- Text that reads as Python is evaluated: ``0x10`` becomes 16, and ``true`` within a word ``True``.
- Text is ordered by the collation of the data base; only dates sort alike in all of them.
- The filters travel in the URL, which a server limits to some 4000 characters.
"""

import ast
import re
from collections.abc import Iterator

from ctabatch.lake.query import Condition, Query

_SUFFIX = {"=": "", "!=": ".ne", "<": ".lt", "<=": ".lte", ">": ".gt", ">=": ".gte"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")

#: Two stars: "has the key". One star alone would be dropped.
PRESENT = "**"

#: Characters of the filters in one call; quoting makes up to three of each in the URL.
_ROOM = 1000


def filters(query: Query, *, typed: bool = True) -> Iterator[list[dict]]:
    """Translate a query, in pieces that fit into a URL each.

    Parameters
    ----------
    query : ctabatch.lake.query.Query
        What to find.
    typed : bool
        Whether to filter by numbers, bools and times. A single value of another type under such a
        key makes the data base refuse the whole search: then the presence of the key must do.

    Yields
    ------
    list of dict
        Filters joined by "or".
    """
    piece, size = [], 0
    for group in dict.fromkeys(
        tuple(_alternative(group, typed).items()) for group in query.alternatives
    ):
        length = len(str(group))
        if piece and size + length > _ROOM:
            yield piece
            piece, size = [], 0
        piece.append(dict(group))
        size += length
    yield piece


def _alternative(group: tuple[Condition, ...], typed: bool) -> dict:
    pairs = [_condition(condition, typed) for condition in group]
    result = {}
    for key, value in pairs:
        if value != PRESENT:
            result.setdefault(key, value)
    # "has the key" says nothing where another condition on the key is there already.
    named = {key.partition(".")[0] for key in result}
    return result | {key: value for key, value in pairs if value == PRESENT and key not in named}


def _condition(condition: Condition, typed: bool) -> tuple[str, int | float | bool | str]:
    key, value = condition.key + _SUFFIX[condition.op], condition.value
    if condition.kind in ("number", "flag"):
        return (key, value) if typed else (condition.key, PRESENT)
    if condition.kind == "time":
        return (key, value) if typed else (condition.key, PRESENT)
    ordered = condition.op not in ("=", "!=")
    if (ordered and not _DATE.fullmatch(value)) or not _kept(value):
        return condition.key, PRESENT
    return key, value


def _kept(text: str) -> bool:
    """Tell whether Rucio takes a text as it is."""
    if "\\" in text or "," in text or re.search(r"true|TRUE|false|FALSE", text):
        return False
    if any(operator in text for operator in "+-*/"):
        return True
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return True
    return False
