"""Say in one line what is wrong with a value, where it stands, and what is allowed."""

import difflib
import re
from functools import cache

from pydantic import BaseModel, ValidationError

from ctabatch.config.base import shorten
from ctabatch.errors import InputError

#: How to say what a value is not, for the types of pydantic's errors that start so.
_EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "path_": "a path",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_": "a section with keys and values",
    "dict_type": "a section with keys and values",
    "date_": "a date such as 2026-01-31",
}

#: Numbers that YAML 1.1 takes for text.
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


def first_mistake(error: ValidationError, model: type[BaseModel], where: str) -> InputError:
    """Turn the first mistake that pydantic found into an `InputError` that counts the others.

    Parameters
    ----------
    error : pydantic.ValidationError
        What pydantic found.
    model : type of pydantic.BaseModel
        The model that the content was checked against.
    where : str
        Name of the file.
    """
    from ctabatch.config.schema import allowed, find_node, key_names

    problems = error.errors(include_url=False)
    # A misspelled key makes another one missing: the misspelled one is the mistake to show.
    first = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    location, kind, value = first["loc"], first["type"], first["input"]
    schema = _schema(model)
    node = find_node(schema, location)
    hint = allowed(node) if node else None
    expected = next((text for start, text in _EXPECTED.items() if kind.startswith(start)), None)
    if kind in ("extra_forbidden", "invalid_key"):
        location, message, hint = _unknown_key(schema, location)
    elif kind == "missing":
        message = "is missing"
    elif kind in ("value_error", "assertion_error"):
        message, hint = _one_line(first["msg"].removeprefix("Value error, ")), None
    elif expected:
        message = f"{shorten(value)} is not {expected}"
        if expected == "text" and not isinstance(value, (dict, list, type(None))):
            message += "; write it in quotes"
        if expected.endswith("number") and isinstance(value, str) and _EXPONENT.fullmatch(value):
            message += "; YAML wants a dot and a sign, such as 1.0e-6"
        hint = None if hint == expected else hint
    elif kind == "literal_error":
        message = f"{shorten(value)} is not one of the choices"
    elif kind.endswith(("_than", "_equal")):
        message = f"{shorten(value)} is out of range"
    elif kind == "string_pattern_mismatch":
        message = f"{shorten(value)} is not allowed"
        if location[-1] == "[key]":
            hint = key_names(find_node(schema, location[:-2]))
    elif kind.endswith("too_long") or kind.endswith("too_short"):
        size = "empty" if not value else kind.rpartition("_")[2]
        message = f"{shorten(value)} is {'too ' if value else ''}{size}"
    else:
        message = f"{shorten(value)}: {_one_line(first['msg'])}"
    if len(problems) > 1:
        message += f" (and {len(problems) - 1} more mistakes)"
    key = key_text(location)
    return InputError(message, f"{where}: {key}" if key else where, hint)


def key_text(location: tuple) -> str:
    """Write a place as a dotted key, list positions in brackets from 0, never more than a line."""
    text = ""
    for part in location:
        if part in ("[key]",):
            continue
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part if part.isprintable() and len(part) <= 60 else shorten(part)
            text += f".{plain}" if text else plain
    return text


def near_matches(name: str, names) -> list[str]:
    """Names that are spelled like `name`, the nearest first."""
    return difflib.get_close_matches(name[:100], list(names), n=3, cutoff=0.6)


def _one_line(text: str, width: int = 400) -> str:
    """Keep a message of a validator on one line, whatever value it shows."""
    plain = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return plain if len(plain) <= width else f"{plain[: width - 3]}..."


@cache
def _schema(model: type[BaseModel]) -> dict:
    from ctabatch.config.schema import json_schema

    return json_schema(model)


def _unknown_key(schema: dict, location: tuple) -> tuple[tuple, str, str | None]:
    from ctabatch.config.schema import find_node

    parent = find_node(schema, location[:-1]) or {}
    names = list(parent.get("properties", {}))
    near = near_matches(str(location[-1]), names)
    message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    return location, message, ", ".join(names) or None
