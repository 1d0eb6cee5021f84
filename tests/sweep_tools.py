"""Walk over pydantic models, and change each of their fields in every way that is wrong.

`Sweep` needs valid contents in which each field occurs; what the models hold it finds by itself, so
that a new field is covered, or named as not covered.
"""

import copy
import json
import re
import types
import typing
from collections import Counter
from dataclasses import dataclass, field

import astropy.units as u
import jsonschema
import pytest
from pydantic import BaseModel

from ctabatch.config.mistakes import key_text
from ctabatch.config.schema import find_node, json_schema
from ctabatch.config.schema import types as json_types
from ctabatch.errors import InputError

#: Stands for a key that is removed.
MISSING = object()

#: Wrong for most fields; for each that takes one of them the sweep checks why it may.
VALUES = {
    "null": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "huge": 10**30,
    "huge integer": 2**63,
    "huge float": 1e308,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "number as text": "5",
    "empty": "",
    "blank": " ",
    "long": "x" * 100_000,
    "longer than a line": "x" * 1001,
    "wrong unit": "1 furlong",
    "other unit": "1 kg",
    "overflow": "1e999 deg",
    "line break": "20 deg\n",
    "two lines": "name\nroot: x",
    "shell": "$(touch /tmp/x); `ls` | tee & {name} 'a' \"b\" \\",
    "template": "{{ 7 * 7 }} {% raw %}",
    "markup": "<script>alert(1)</script>",
    "SQL": "x'; DROP TABLE dids; --",
    "option": "-rf",
    "parent": "../../etc/passwd",
    "absolute": "/etc/passwd",
    "home": "~root/.ssh/id_rsa",
    "NUL": "a\x00b",
    "escape": "a\x1b[31m",
    "right to left": "\u202egnp.exe",
    "zero width": "a\u200bb",
    "combining": "Z\u0351\u036b\u0343",
    "emoji": "\U0001f52d",
    "surrogate": "\ud83d",
    "unicode digits": "\u0664\u0662",
    "list": [],
    "nested lists": [[]],
    "text in a list": ["$(id)"],
    "section": {},
    "section with a key": {"a": 1},
    "section with an odd key": {"../x\n": {}},
}
_RANGE = re.compile(r"from (\S+) .*? to (\S+) ")


@dataclass(frozen=True)
class Place:
    """A field, or the items of one: `path` holds ``[]`` for a list and ``NAME`` for free names."""

    path: tuple

    @property
    def name(self):
        return ".".join(self.path).replace(".[]", "[]")


def places(model, path=()):
    """All fields of a model and of the models in them."""
    for name, info in model.model_fields.items():
        yield Place((*path, name))
        yield from _inside(info.annotation, (*path, name))


def _inside(annotation, path):
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _inside(arguments[0], path)
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _inside(argument, path)
    elif origin in (tuple, list) and arguments[1:] in ((), (...,)):
        yield Place((*path, "[]"))
        yield from _inside(arguments[0], (*path, "[]"))
    elif origin is dict:
        yield Place((*path, "NAME"))
        yield from _inside(arguments[1], (*path, "NAME"))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from places(annotation, path)


def locate(content, path, found=()):
    """Keys and positions of a place in a content, None where it does not occur."""
    if content in (None, [], {}):
        return None
    if not path:
        return found
    part, *rest = path
    if part == "[]":
        parts = range(len(content))
    elif part == "NAME":
        parts = content
    else:
        parts = [part] if part in content else []
    hits = (locate(content[item], rest, (*found, item)) for item in parts)
    return next((hit for hit in hits if hit), None)


def at(content, place):
    """The value of a place."""
    for part in place:
        content = content[part]
    return content


def changed(content, place, value):
    """A copy of a content with another value, or without the key."""
    content = copy.deepcopy(content)
    node = at(content, place[:-1])
    if value is MISSING:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return content


@dataclass
class Sweep:
    """Changes of all fields of a model.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        The model of a file.
    parse : callable
        Takes content and name of the file; returns the model or raises an `InputError`.
    bases : dict
        Name to a valid content.
    """

    model: type
    parse: typing.Callable
    bases: dict
    count: Counter = field(default_factory=Counter)
    unfound: list = field(default_factory=list)

    def __post_init__(self):
        self.schema = json_schema(self.model)
        full = [self.parse(base, name).model_dump(mode="json") for name, base in self.bases.items()]
        self.found = {}
        for place in places(self.model):
            hit = next(((base, at_) for base in full if (at_ := locate(base, place.path))), None)
            hit = hit or self._filled(full, place)
            if hit:
                self.found[place] = hit
            else:
                self.unfound.append(place.name)

    def _filled(self, full, place):
        """Give a field that no base has one of the examples of its documentation."""
        for base in full:
            above = locate(base, place.path[:-1]) if place.path[1:] else ()
            if above is None or place.path[-1] in ("[]", "NAME"):
                continue
            location = (*above, place.path[-1])
            node = find_node(self.schema, location) or {}
            examples = [*node.get("examples", []), *node.get("enum", [])]
            for value in (item for item in examples if item is not None):
                try:
                    filled = self.parse(changed(base, location, value), "example")
                except InputError:
                    continue
                return filled.model_dump(mode="json"), location
        return None

    def mutations(self, place):
        """Name and value of every change of a place: general ones, and those of its kind."""
        base, location = self.found[place]
        node = find_node(self.schema, location)
        yield from VALUES.items()
        if self._required(place):
            yield "missing", MISSING
        if "x-unit" in node:
            unit = node["x-unit"]
            yield "no number", f"many {unit}"
            yield "not a number", f"nan {unit}"
            yield "no end", f"inf {unit}"
            yield "bare number", 5
            if limits := _RANGE.search(f"{node['x-allowed']} "):
                low, high = map(float, limits.groups())
                yield "below", f"{low - abs(low) * 0.5 - 1e-9} {unit}"
                yield "above", f"{high * 1.01 + 1e-9} {unit}"
        for key, step in (("minimum", -1), ("exclusiveMinimum", 0), ("maximum", 1)):
            if key in node:
                yield f"beyond {key}", node[key] + step
        if "enum" in node:
            yield "other case", str(at(base, location)).swapcase()
        if isinstance(at(base, location), int | float):
            yield "as text", str(at(base, location))

    def _required(self, place):
        """Whether the file must have it; some models fill in what the file leaves out."""
        above = find_node(self.schema, self.found[place][1][:-1])
        return place.path[-1] in above.get("required", [])

    def unknown_keys(self):
        """Every key once more with an underscore; free names aside."""
        for place, (base, location) in self.found.items():
            if place.path[-1] not in ("[]", "NAME"):
                yield changed(base, (*location[:-1], f"{location[-1]}_"), 1), location

    def judge_all(self):
        """Try every change of every field; each field must refuse some."""
        for place in self.found:
            refused = [
                self.judge(place, name, value) is not None for name, value in self.mutations(place)
            ]
            assert any(refused), place.name

    def judge_typos(self):
        """Try every key once more with an underscore: it must be refused by its name."""
        for content, location in self.unknown_keys():
            wrong = (*location[:-1], f"{location[-1]}_")
            with pytest.raises(InputError, match=f"{wrong[-1]}: unknown key") as caught:
                self.parse(content, "file.yaml")
            check_line(str(caught.value), wrong)

    def judge(self, place, name, value, parse=None):
        """Try a change: it must be refused in a line that names it, or be allowed as documented.

        Returns
        -------
        str or None
            The line, None where it was accepted.
        """
        base, location = self.found[place]
        content = changed(base, location, value)
        try:
            model = (parse or self.parse)(content, "file.yaml")
        except InputError as error:
            check_line(str(error), location)
            self.count["refused"] += 1
            return str(error)
        self.count["accepted"] += 1
        self._allowed(place, location, name, value, model.model_dump(mode="json"))
        return None

    def _allowed(self, place, location, name, value, result):
        what = f"{place.name}: {name} ({str(value)[:40]!r}) was accepted, but "
        node = find_node(self.schema, location)
        if value is None:
            assert "null" in json_types(node), what + "null is not documented"
            return
        assert value is not MISSING, what + "it is required"
        kept = at(result, location)
        if "x-unit" in node:
            assert isinstance(value, str), what + "it is no text"
            assert u.Quantity(value).to(node["x-unit"]) == u.Quantity(kept), what + "it changed"
            return
        plain = json.loads(json.dumps(value))  # the schema knows no tuples
        schema = {"$defs": self.schema["$defs"], **node}
        error = next(jsonschema.Draft202012Validator(schema).iter_errors(plain), None)
        assert error is None, what + error.message
        for text in _texts(value):
            assert text.isprintable(), what + "it has control characters"
            assert len(text) <= 1000, what + "it is too long"
        if isinstance(value, str):
            assert kept == value, what + f"became {kept!r}"
        elif isinstance(value, bool | int | float):
            assert kept == value, what + f"became {kept!r}"
            assert type(value) is not bool or "boolean" in json_types(node), what + "it is a bool"


def _texts(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def check_line(line, location, file="file.yaml"):
    """A refusal is one readable line that names file, field and what is allowed."""
    assert line.isprintable(), repr(line)
    assert len(line) < 1000, line
    assert line.startswith(f"{file}: "), line
    key = key_text(location)
    named = [str(part) for part in location if isinstance(part, str)]
    rest = line.removeprefix(f"{file}: ")
    holder = rest.split(": ")[0].split(" ")[0]
    assert (
        holder.startswith(key)
        or (key.startswith(holder) and len(holder) > len(named[0]) - 1)
        or any(re.search(rf"\b{re.escape(part)}\b", rest) for part in named[-2:])
    ), (key, line)
    assert GUIDANCE.search(rest), f"does not say what is allowed: {line}"


#: Words with which a refusal says what would be right.
GUIDANCE = re.compile(
    r"allowed: |is not (a|text|true)\b|such as|must|needs?\b|outside|write |give |unknown key|only|"
    r"is missing|not one of|no regular expression|at most|can't|do(es)? not|longer than|beyond|"
    r"is above|there twice|leaves|forbids|has no|for openiact|for corsika7"
)
