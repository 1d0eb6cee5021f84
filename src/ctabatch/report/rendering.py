"""Render an HTML report: one file without external parts, readable for years.

Everything that comes from outside (names, messages, versions) is escaped by the template engine.
"""

import base64
from collections.abc import Mapping
from pathlib import Path

_SHARED = Path(__file__).parent


def make_environment(templates: Path):
    """Make the template engine of a report.

    Parameters
    ----------
    templates : pathlib.Path
        Folder of the templates; ``style.css`` and what else is in this package can be included.

    Returns
    -------
    jinja2.Environment
        With the filters ``count``, ``digits``, ``percent`` and ``number`` (a format; ``-`` where
        there is no number).
    """
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader([templates, _SHARED]),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}".replace(",", "\u202f")
    environment.filters["digits"] = lambda value: f"{value:.3g}"
    environment.filters["number"] = lambda value, form: "-" if value is None else form % value
    environment.filters["percent"] = lambda value: f"{100 * value:.3g} %"
    return environment


def flatten(content, prefix=""):
    """Flatten nested mappings to rows of (dotted key, text), without what is unset."""
    rows = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flatten(value, f"{name}.")
        elif value not in (None, [], ()):
            rows.append((name, _text(value)))
    return rows


def _text(value):
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return "; ".join(_text(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def embed_plots(folder: Path, captions: Mapping[str, str]) -> list[dict]:
    """Read the plots ``<name>.png`` of a folder, in the order of the captions, as base64 text."""
    found = []
    for name, caption in captions.items():
        path = Path(folder) / f"{name}.png"
        if path.is_file():
            data = base64.b64encode(path.read_bytes()).decode("ascii")
            title = name.replace("_", " ")
            found.append({"name": name, "title": title, "caption": caption, "data": data})
    return found


def measured_rows(measured: Mapping[str, list[dict]] | None) -> list[dict]:
    """Sum up measurements: a row a step with ``jobs``, ``cpu_hours`` and largest ``memory_mb``.

    Parameters
    ----------
    measured : mapping
        As `ctabatch.irf.summary.read_benchmarks` gives it.
    """
    rows = []
    for step, jobs in sorted((measured or {}).items()):
        memory = [job["memory_mb"] for job in jobs if job.get("memory_mb")]
        rows.append(
            {
                "step": step,
                "jobs": len(jobs),
                "cpu_hours": sum(job.get("cpu_s") or 0 for job in jobs) / 3600,
                "memory_mb": max(memory, default=None),
            }
        )
    return rows
