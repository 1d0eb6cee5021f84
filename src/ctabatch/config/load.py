"""Read a configuration file; every mistake becomes one line that names file and key."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from ctabatch.config.model import Configuration
from ctabatch.errors import InputError

#: Larger files are refused before they are parsed: a configuration is a page or two.
MAXIMUM_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses aliases (they can expand without bound) and doubled keys."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


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
    path = Path(path)
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise InputError("file is too large", str(path), f"{MAXIMUM_BYTES} bytes")
        loader = yaml.SafeLoader if aliases else _Loader
        content = yaml.load(path.read_text(encoding="utf-8"), loader)
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except IsADirectoryError:
        raise InputError("is a folder", str(path), "a YAML file") from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", str(path), "a YAML file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"is not valid YAML: {problem}", f"{path}{line}") from None
    except RecursionError:
        raise InputError("is nested too deeply", str(path)) from None
    if not isinstance(content, dict):
        raise InputError("must hold keys and values", str(path), "a YAML mapping")
    return content


def load_config(path: Path) -> Configuration:
    """Read and check a configuration file.

    Raises
    ------
    ctabatch.errors.InputError
        Names file, key, what is wrong and what is allowed.
    """
    return parse_config(read_yaml(path), str(path))


def parse_config(content: dict, where: str = "configuration") -> Configuration:
    """Check a configuration given as nested dictionaries (Snakemake's ``config``)."""
    return parse_section(Configuration, content, where)


def parse_section(model, content, where: str):
    """Check `content` against a pydantic model; the first mistake becomes an `InputError`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _first_error(error, model, where) from None


def _first_error(error: ValidationError, model, where: str) -> InputError:
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    allowed = None
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key"
        allowed = ", ".join(sorted(_fields(model, first["loc"][:-1])))
    elif first["type"] == "missing":
        message = "is missing"
    return InputError(message + more, f"{where}: {key}" if key else where, allowed)


def _fields(model, location) -> list[str]:
    """Names of the fields at a location of a model; follows sections only."""
    for part in location:
        if isinstance(part, int) or part not in getattr(model, "model_fields", {}):
            continue
        found = [
            item
            for item in _types(model.model_fields[part].annotation)
            if hasattr(item, "model_fields")
        ]
        if found:
            model = found[0]
    return list(getattr(model, "model_fields", {}))


def _types(annotation):
    yield annotation
    for item in getattr(annotation, "__args__", ()):
        yield from _types(item)
