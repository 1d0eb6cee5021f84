"""The files that are generated from the models: the JSON schema and ``config/README.md``."""

import json
from collections.abc import Iterable
from pathlib import Path

from ctabatch.config.explain import Entry, entries
from ctabatch.config.schema import json_schema
from ctabatch.errors import InputError
from ctabatch.files import write_text

#: Where the generated files and the demo request stand in a checkout.
SCHEMA = Path("workflow/schemas/config.schema.json")
README = Path("config/README.md")
DEMO = Path("config/config.yaml")

#: The command that brings the generated files up to date.
COMMAND = "cta-batch config schema --write"

_HEAD = """\
# Configuration

A configuration is one YAML file: the request, and the settings that differ from their defaults.
Everything below is generated from the models in `src/ctabatch/config` (`{command}`).

- Quantities are text with a number and a unit, such as `20 deg`; any unit that converts to the
  one shown is accepted. Relative paths start at the working directory, times are UTC.
- Unknown keys are errors. A key that is left out has its default; `null` is written out as such.
- `cta-batch config check FILE` checks a file, `cta-batch config explain KEY` shows one key.
"""


def schema_text() -> str:
    """Write the JSON schema as it stands in the checkout."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def readme_text(demo: str | None) -> str:
    """Write ``config/README.md``.

    Parameters
    ----------
    demo : str or None
        Text of the demo request; shown on top.
    """
    known = entries()
    parts = [_HEAD.format(command=COMMAND)]
    if demo:
        parts.append(f"## Example\n\nThe demo request, `{DEMO}`:\n\n```yaml\n{demo.strip()}\n```\n")
    top = [entry for entry in known if "." not in entry.key]
    parts.append(f"## Top level\n\n{_table(top, '')}")
    for entry in known:
        below = [item for item in known if _section_of(item) == entry.key]
        if below:
            level = "##" if "." not in entry.key else "###"
            parts.append(
                f"{level} {entry.key}\n\n{_paragraph(entry)}\n\n{_table(below, entry.key)}"
            )
    return "\n".join(parts)


def generated_files(root: Path) -> dict[Path, str]:
    """Generate the files of a checkout.

    Parameters
    ----------
    root : pathlib.Path
        Top folder of the checkout.

    Returns
    -------
    dict
        Path below `root` -> content.
    """
    demo = root / DEMO
    text = demo.read_text(encoding="utf-8") if demo.is_file() else None
    return {SCHEMA: schema_text(), README: readme_text(text)}


def write_generated(root: Path) -> list[Path]:
    """Write the generated files into a checkout; returns those that changed.

    Raises
    ------
    ctabatch.errors.InputError
        `root` is no checkout.
    """
    root = Path(root)
    if not (root / "workflow").is_dir() or not (root / "config").is_dir():
        raise InputError(
            "the working directory is no checkout of the workflow",
            allowed="a folder with workflow/ and config/",
        )
    changed = []
    for path, text in generated_files(root).items():
        target = root / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            write_text(target, text)
            changed.append(path)
    return changed


def _section_of(entry: Entry) -> str:
    return entry.key.rpartition(".")[0].removesuffix("[]")


def _paragraph(entry: Entry) -> str:
    if entry.section:
        return entry.meaning
    return f"{entry.meaning} Each item has these keys:"


def _table(items: Iterable[Entry], section: str) -> str:
    lines = ["| Key | Meaning | Allowed | Default |", "|---|---|---|---|"]
    for entry in items:
        name = entry.key.removeprefix(section).lstrip("[].")
        cells = (f"`{name}`", entry.meaning, _allowed(entry), _default(entry))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _allowed(entry: Entry) -> str:
    words = entry.allowed
    return words.replace("text of the form ", "text of the form `") + "`" * ("of the form" in words)


def _default(entry: Entry) -> str:
    if entry.required or (entry.section and entry.default is not None):
        return entry.default_text
    return f"`{entry.default_text}`"
