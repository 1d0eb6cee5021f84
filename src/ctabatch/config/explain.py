"""What each key of the configuration means; the base of its documentation."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from ctabatch.config.mistakes import near_matches
from ctabatch.config.schema import allowed, json_schema, key_names, resolve, types
from ctabatch.errors import InputError

#: Stands for a default that there is none.
REQUIRED = object()


@dataclass(frozen=True)
class Entry:
    """One key of the configuration.

    Parameters
    ----------
    key : str
        Dotted key; ``[]`` stands for the items of a list, ``NAME`` for a name of the user's choice.
    meaning : str
        Its description.
    unit : str or None
        Unit of the limits and of a default; any convertible unit is accepted.
    allowed : str
        What is accepted, in words.
    default : object
        Its default, `REQUIRED` where there is none.
    section : bool
        Whether it has keys of its own.
    value : object
        A value that is accepted; None for sections.
    """

    key: str
    meaning: str
    unit: str | None
    allowed: str
    default: Any
    section: bool
    value: Any = None

    @property
    def example(self) -> str | None:
        """The last part of the key with a value that is accepted, as in YAML."""
        if self.value is None:
            return None
        return f"{self.key.rpartition('.')[2].removesuffix('[]')}: {in_yaml(self.value)}"

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    @property
    def default_text(self) -> str:
        """The default as in YAML; ``required`` or ``see its keys`` where there is no single one."""
        if self.required:
            return "required"
        if self.section and self.default is not None:
            return "see its keys"
        return in_yaml(self.default)


def in_yaml(value: Any) -> str:
    """Write a value on one line as it would stand in a configuration."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


@cache
def entries() -> tuple[Entry, ...]:
    """List all keys in the order of the models, each section before its keys."""
    schema = json_schema()
    return tuple(_walk(schema, schema, "", {}))


def _walk(schema: dict, node: dict, prefix: str, defaults: Any) -> Iterator[Entry]:
    for name, child in node.get("properties", {}).items():
        default = REQUIRED if name in node.get("required", []) else {}
        if isinstance(defaults, dict) and name in defaults:
            default = defaults[name]
        yield from _entry(schema, resolve(schema, child), f"{prefix}{name}", default)


def _entry(schema: dict, node: dict, key: str, default: Any) -> Iterator[Entry]:
    if default == {}:
        default = node.get("default", None if "null" in types(node) else {})
    children = node.get("properties")
    examples = [*node.get("examples", []), default, *node.get("enum", [])]
    value = next((item for item in examples if item not in (REQUIRED, None, {})), None)
    yield Entry(
        key,
        node.get("description", ""),
        node.get("x-unit"),
        allowed(node),
        default,
        bool(children),
        None if children else value,
    )
    if children:
        yield from _walk(schema, node, f"{key}.", default)
    elif "array" in types(node):
        item = resolve(schema, node.get("items", {}))
        yield from _walk(schema, item, f"{key}[].", {})
    elif "object" in types(node):
        values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        item = next((value for value in values if isinstance(value, dict)), {})
        names = key_names(node)
        resolved = resolve(schema, item)
        if "properties" in resolved:
            words = f"{resolved.get('description', '')} NAME: {names or 'a name'}."
            yield Entry(f"{key}.NAME", words, None, allowed(resolved), {}, True)
            yield from _walk(schema, resolved, f"{key}.NAME.", {})


def explain(key: str) -> list[Entry]:
    """Find a key, and the keys directly below it if it is a section.

    Parameters
    ----------
    key : str
        Dotted key, such as ``irf.pointing.zenith``; positions in lists (``[0]``) and the user's own
        names may stand where the documentation has ``[]`` and ``NAME``.

    Returns
    -------
    list of Entry
        The key itself, then the keys directly below it.

    Raises
    ------
    ctabatch.errors.InputError
        Unknown key; names keys that are spelled alike.
    """
    known = entries()
    found = next((entry for entry in known if _matches(entry.key, key)), None)
    if found is None:
        names = [entry.key for entry in known]
        near = near_matches(key, names)
        alike = near_matches(key.rpartition(".")[2], {name.rpartition(".")[2] for name in names})
        near += [name for name in names if name.rpartition(".")[2] in alike and name not in near]
        sections = [name for name in names if "." not in name]
        raise InputError(
            f"there is no key {key[:100]!r}" + (f"; did you mean {near[0]}?" if near else ""),
            "KEY",
            ", ".join(near[:8] or sections),
        )
    return [found, *(entry for entry in known if _parent(entry.key) == found.key)]


def _parent(key: str) -> str:
    return key.rpartition(".")[0].removesuffix("[]")


def _matches(documented: str, asked: str) -> bool:
    wanted, given = documented.split("."), asked.split(".")
    return len(wanted) == len(given) and all(
        own in (name, "NAME") or (own.endswith("[]") and own[:-2] == name.partition("[")[0])
        for own, name in zip(wanted, given, strict=True)
    )
