"""JSON schema of the configuration, made from the models.

Snakemake's ``validate`` and editors use it; so do the error messages and the documentation, so that
what they call allowed is what the models accept.
"""

import re
from typing import Any

from pydantic import BaseModel

from ctabatch.config.model import Configuration

#: Dialect of the schema; the only one that Snakemake 9.27 knows.
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(model: type[BaseModel] = Configuration) -> dict[str, Any]:
    """Make the JSON schema of a model.

    Beside the standard keywords a node may have ``x-unit`` (unit of a quantity) and ``x-allowed``
    (what is accepted, in words).

    Parameters
    ----------
    model : type of pydantic.BaseModel
        The model; the whole configuration by default.
    """
    schema = _tidy(model.model_json_schema())
    definitions = schema.pop("$defs", {})
    for node in _nodes(schema, definitions):
        _make_nullable(node, definitions)
    title = "Configuration of the CTA batch workflows" if model is Configuration else model.__name__
    return {"$schema": DIALECT, "title": title, **schema, "$defs": definitions}


def find_node(schema: dict, location: tuple) -> dict | None:
    """Find the node of a schema that describes a place in a document; None if there is none.

    Parameters
    ----------
    schema : dict
        A result of `json_schema`.
    location : tuple of str or int
        Keys and list indices, as in the errors of pydantic; parts that only choose one of several
        types are passed over.
    """
    node = resolve(schema, schema)
    for part in location:
        child = _child(node, part)
        if child is not None:
            node = resolve(schema, child)
        elif node.get("type") in ("object", "array"):
            return None
    return node


def resolve(schema: dict, node: dict) -> dict:
    """Follow a reference; keywords beside it (description, default) win."""
    if "$ref" not in node:
        return node
    target = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def types(node: dict) -> set[str]:
    """JSON types that a node accepts; empty if it does not say."""
    found = node.get("type", [])
    return {found} if isinstance(found, str) else set(found)


def allowed(node: dict) -> str:
    """Say in words what a node accepts."""
    if "enum" in node or "const" in node:
        text = ", ".join(str(item) for item in node.get("enum", [node.get("const")]))
    elif "x-allowed" in node:
        text = node["x-allowed"]
    elif "object" in types(node):
        text = "a section with keys" if "properties" in node else "names with a value each"
    elif "array" in types(node):
        text = "a list"
    elif types(node) & {"integer", "number"}:
        text = _number(node)
    elif "boolean" in types(node):
        text = "true or false"
    elif node.get("format") == "email":
        text = "an e-mail address"
    elif "pattern" in node:
        text = f"text of the form {node['pattern']}"
    else:
        text = "text"
    return f"{text}, or null" if "null" in types(node) else text


def key_names(node: dict | None) -> str | None:
    """Say in words which names a section with free names accepts."""
    patterns = list((node or {}).get("patternProperties", {}))
    return f"names of the form {patterns[0]}" if patterns else None


def _number(node: dict) -> str:
    text = "a whole number" if "integer" in types(node) else "a number"
    words = {
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to" if "minimum" in node else "up to",
        "exclusiveMaximum": "and below" if "exclusiveMinimum" in node else "below",
    }
    return " ".join([text, *(f"{words[key]} {node[key]}" for key in words if key in node)])


def _child(node: dict, part: str | int) -> dict | None:
    if isinstance(part, int):
        return node.get("items")
    if part in node.get("properties", {}):
        return node["properties"][part]
    for pattern, child in node.get("patternProperties", {}).items():
        if re.search(pattern, str(part)):
            return child
    extra = node.get("additionalProperties")
    return extra if isinstance(extra, dict) else None


def _tidy(node: Any, names: bool = False) -> Any:
    """Drop titles, which only repeat the key, and defaults that are null: left out means null, and
    Snakemake can't fill null in for a section. Put descriptions on one line of plain text.

    `names` says that the keys of `node` are names of properties, not keywords.
    """
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidy = {}
    for key, value in node.items():
        if names:
            tidy[key] = _tidy(value)
        elif key == "description":
            tidy[key] = " ".join(value.split()).replace("``", "`")
        elif key in ("default", "enum", "const", "examples"):
            if key != "default" or value is not None:
                tidy[key] = value
        elif key != "title":
            tidy[key] = _tidy(value, names=key in ("properties", "$defs", "patternProperties"))
    return tidy


def _nodes(schema: dict, definitions: dict):
    """All nodes that describe a value, the deepest first."""
    for node in (*definitions.values(), schema):
        yield from _below(node)


def _below(node: dict):
    children = [*node.get("properties", {}).values(), *node.get("patternProperties", {}).values()]
    children += [node[key] for key in ("items", "additionalProperties") if key in node]
    children += node.get("anyOf", [])
    for child in children:
        if isinstance(child, dict):
            yield from _below(child)
            yield child


def _make_nullable(node: dict, definitions: dict) -> None:
    """Write "this or null" without ``anyOf``: validators then name the mistake, not the choice."""
    choices = node.get("anyOf", [])
    others = [choice for choice in choices if choice != {"type": "null"}]
    if len(choices) != 2 or len(others) != 1:
        return
    del node["anyOf"]
    node.update(others[0])
    target = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    if "null" in types(target):  # a definition that is used twice
        return
    if "enum" in target:
        target["enum"] = [*target["enum"], None]
    target["type"] = [*sorted(types(target)), "null"]
