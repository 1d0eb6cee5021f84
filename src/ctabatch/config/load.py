"""Read a configuration file; every mistake becomes one line that names file and key."""

import json
from pathlib import Path

import yaml
from pydantic import ValidationError

from ctabatch.config.base import shorten
from ctabatch.config.content import check_keys, check_values
from ctabatch.config.mistakes import first_mistake
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError

#: Larger files are refused before they are parsed: a configuration is a page or two.
MAXIMUM_BYTES = 1_000_000


#: Most values that the aliases of a file may expand to.
MAXIMUM_NODES = 100_000


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses doubled keys, and aliases that expand without bound."""

    aliases = True

    def compose_node(self, parent, index):
        if not self.aliases and self.check_event(yaml.events.AliasEvent):
            raise self.problem("aliases (*name) are not allowed", self.peek_event())
        return super().compose_node(parent, index)

    def get_single_node(self):
        node = super().get_single_node()
        if node is not None and _size(node, {}) > MAXIMUM_NODES:
            raise self.problem(f"more than {MAXIMUM_NODES} values", node)
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not isinstance(key.value, str):
                raise self.problem("a key must be plain text", key)
            if key.tag not in _KEY_TAGS:
                raise self.problem(f"key {shorten(key.value)} is not text; write it in quotes", key)
            if key.value in seen:
                raise self.problem(f"key {shorten(key.value)} stands twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
            value = shorten(getattr(node, "value", ""))
            raise self.problem(f"{value} is no valid value; write text in quotes", node) from None

    @staticmethod
    def problem(text, node):
        return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)


_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class _NoAliases(_Loader):
    aliases = False


def _size(node, known: dict) -> int:
    """Number of values in a node with all aliases written out; grows by sums, so it is cheap."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MAXIMUM_NODES + 1  # an alias to a node that holds it never ends
    items = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
    known[id(node)] = 1 + sum(_size(item, known) for item in items)
    return known[id(node)]


def read_yaml(path: Path, *, aliases: bool = False) -> dict:
    """Read a YAML file that must hold a mapping.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    aliases : bool
        Whether YAML aliases are allowed, as ctapipe configurations use them.

    Raises
    ------
    ctabatch.errors.InputError
        The file is missing, too large or not YAML; names the line.
    """
    where = str(path) if str(path).isprintable() else shorten(str(path))
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(MAXIMUM_BYTES + 1)
        if len(data) > MAXIMUM_BYTES:
            raise InputError("file is too large", where, f"{MAXIMUM_BYTES} bytes")
        text = data.decode("utf-8")
    except FileNotFoundError:
        raise InputError("no such file", where) from None
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            raise InputError("is not UTF-8 text", where, "a YAML file") from None
        raise InputError("is no file name", where) from None  # it holds NUL
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where, "a YAML file") from None
    return parse_yaml(text, where, aliases=aliases)


def parse_yaml(text: str, where: str, *, aliases: bool = False) -> dict:
    """Read YAML text that must hold a mapping; see `read_yaml`."""
    try:
        content = yaml.load(text, _Loader if aliases else _NoAliases)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"is not valid YAML: {problem[:200]}", f"{where}{line}") from None
    except RecursionError:
        raise InputError("is nested too deeply", where) from None
    if not isinstance(content, dict):
        raise InputError("must hold keys and values", where, "a YAML mapping")
    return content


def load_config(path: Path) -> Configuration:
    """Read and check a configuration file.

    Raises
    ------
    ctabatch.errors.InputError
        Names file, key, what is wrong and what is allowed.
    """
    return parse_config(read_yaml(path), str(path))


def parse_text(text: str, where: str) -> Configuration:
    """Check a configuration given as text, JSON or YAML, as it comes from standard input.

    Jobs get it as JSON; YAML reads some of JSON's numbers (``1e-05``) and escapes otherwise.

    Raises
    ------
    ctabatch.errors.InputError
        As `load_config`.
    """
    if len(text) > MAXIMUM_BYTES:
        raise InputError("is too large", where, f"{MAXIMUM_BYTES} characters")
    try:
        object_ = text.lstrip().startswith("{")
        content = json.loads(text, object_pairs_hook=_distinct) if object_ else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        content = parse_yaml(text, where) if text.strip() else {}
    return parse_config(content, where)


def _distinct(pairs: list) -> dict:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")  # YAML's reader names it
    return dict(pairs)


def parse_config(content: dict, where: str = "configuration") -> Configuration:
    """Check a configuration given as nested dictionaries (Snakemake's ``config``)."""
    check_keys(content, where)
    config = parse_section(Configuration, content, where)
    # After the models: what they say of a key is more to the point.
    check_values(content, where)
    return config


def parse_section(model, content, where: str):
    """Check `content` against a pydantic model; the first mistake becomes an `InputError`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise first_mistake(error, model, where) from None
