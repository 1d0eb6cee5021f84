"""Summary, pull plot and HTML report of a closure test."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctabatch import __version__
from ctabatch.files import write_json, write_text
from ctabatch.report.figures import COLOURS, new_figure, save_figure
from ctabatch.report.rendering import embed_plots, make_environment

_TEMPLATES = Path(__file__).parent / "templates"

#: Plot -> caption, in the order of the report.
CAPTIONS = {
    "pulls": "Pull of each seed: fitted minus true value, over the uncertainty of the fit. The band "
    "holds what counts as agreement.",
    "values": "Fitted values with their uncertainties, relative to the truth. The dashed line is "
    "their mean weighted with the uncertainties.",
}


def write_results(content: Mapping[str, Any], folder: Path, notice: str | None = None) -> Path:
    """Write ``summary.json``, the plots and ``report.html``.

    Parameters
    ----------
    content : mapping
        ``truth``, ``seeds`` (rows with ``seed``, ``result``, ``counts``, ``excess``) and ``judgement``.
    folder : pathlib.Path
        Where they go.
    notice : str, optional
        Said on top of the report, such as that the simulator is approximate.

    Returns
    -------
    pathlib.Path
        The report.
    """
    folder = Path(folder)
    write_json(folder / "summary.json", content)
    draw_pulls(content, folder / "plots/pulls.png")
    draw_values(content, folder / "plots/values.png")
    text = (
        make_environment(_TEMPLATES)
        .get_template("closure.html.j2")
        .render(
            **content,
            notice=notice,
            plots=embed_plots(folder / "plots", CAPTIONS),
            version=__version__,
        )
    )
    write_text(folder / "report.html", text)
    return folder / "report.html"


def draw_pulls(content: Mapping[str, Any], path: Path) -> None:
    """Draw the pulls of index and amplitude against the seed."""
    sigma, rows = content["judgement"]["sigma"], _converged(content)
    figure, axes = new_figure(2, width=9.0, sharey=True)
    for ax, name, colour in zip(axes[0], ("index", "amplitude"), COLOURS, strict=False):
        pulls = [row["result"][name]["pull"] for row in rows]
        ax.axhspan(-sigma, sigma, color=colour, alpha=0.12, linewidth=0)
        ax.axhline(0, color="0.4", linewidth=0.8)
        ax.errorbar([row["seed"] for row in rows], pulls, 1, fmt="o", color=colour)
        judged = content["judgement"]["parameters"][name]
        ax.set_title(f"{name}: {judged['within']} of {judged['seeds']} within {sigma:g} sigma")
        ax.set_xlabel("seed")
        largest = max([sigma, *map(abs, pulls)]) + 1.5
        ax.set_ylim(-largest, largest)
    axes[0][0].set_ylabel("(fitted - true) / uncertainty")
    save_figure(figure, path)


def draw_values(content: Mapping[str, Any], path: Path) -> None:
    """Draw fitted over true values against the seed."""
    truth, rows = content["truth"], _converged(content)
    figure, axes = new_figure(2, width=9.0)
    for ax, name, colour in zip(axes[0], ("index", "amplitude"), COLOURS, strict=False):
        values = [row["result"][name]["value"] / truth[name] for row in rows]
        errors = [row["result"][name]["error"] / truth[name] for row in rows]
        ax.errorbar([row["seed"] for row in rows], values, errors, fmt="o", color=colour)
        ax.axhline(1, color="0.4", linewidth=0.8)
        if rows:
            weights = [error**-2 for error in errors]
            mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
            ax.axhline(mean, color=colour, linewidth=0.8, linestyle="--")
        ax.set_title(f"true {name}: {truth[name]:.3g}")
        ax.set_xlabel("seed")
    axes[0][0].set_ylabel("fitted / true")
    save_figure(figure, path)


def _converged(content):
    return [row for row in content["seeds"] if row["result"] is not None]
