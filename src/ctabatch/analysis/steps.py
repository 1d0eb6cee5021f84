"""Steps of an analysis that several modules take part in: what a rule calls."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from ctabatch.analysis.archive import pack
from ctabatch.analysis.fit import fit_candidates
from ctabatch.analysis.plan import read_plan
from ctabatch.analysis.results import summarise, total_counts
from ctabatch.analysis.stack import Stacked, read_dataset, stack, write_dataset
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.errors import InputError
from ctabatch.files import read_json, write_json

#: Names of the files in the archive of `products`.
SUMMARY, PLOTS = "summary.json", "plot-"


def stack_groups(plan_path: Path, archives: list[Path], output: Path) -> dict:
    """Stack all groups; write the dataset, and its counts beside it as JSON.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``.
    archives : list of pathlib.Path
        Reduced groups, in order.
    output : pathlib.Path
        Dataset to write, ``.fits.gz``.

    Returns
    -------
    dict
        Counts of the on region, observations, bad observations.
    """
    plan, request = read_plan(plan_path)
    _stack(plan, request, archives, output)
    return read_json(facts_of(output))


def _stack(plan: dict, request: AnalysisRequest, archives: list[Path], output: Path) -> Stacked:
    if len(archives) != plan["groups"]:
        raise InputError(
            f"{len(archives)} reduced groups", "--reduced", f"the {plan['groups']} of the plan"
        )
    stacked = stack(request, archives)
    write_dataset(stacked.dataset, output)
    content = {
        "on_region": total_counts(stacked, request),
        "observations": stacked.observations,
        "bad": stacked.bad,
        "notes": stacked.notes,
        "theta2": _columns(stacked.theta2),
    }
    write_json(facts_of(output), content)
    return stacked


def fit(plan_path: Path, archives: list[Path], stacked_path: Path, output: Path) -> dict:
    """Stack all groups and fit all candidates, in one process: importing Gammapy takes seconds.

    ``fit.json`` is written whether or not a candidate converged; see
    `ctabatch.analysis.fit.fit_candidates`.
    """
    plan, request = read_plan(plan_path)
    stacked = _stack(plan, request, archives, stacked_path)
    content = fit_candidates(request, stacked.dataset, plan["models"])
    write_json(output, content | {"digest": plan["digest"]})
    return content


def products(
    plan_path: Path, stacked_path: Path, fit_path: Path, archives: list[Path], output: Path
) -> dict:
    """Make products, plots and summary, packed into one archive.

    Returns
    -------
    dict
        Content of ``summary.json``.
    """
    from ctabatch.analysis.drawings import draw_all
    from ctabatch.analysis.products import make_products

    plan, request = read_plan(plan_path)
    facts, found = read_json(facts_of(stacked_path)), read_json(fit_path)
    stacked = Stacked(
        read_dataset(stacked_path, request),
        facts["observations"],
        facts["bad"],
        facts["notes"],
        _table(facts["theta2"]),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".products.", dir=output.parent) as name:
        folder = Path(name)
        shutil.copyfile(stacked_path, folder / "stacked.fits.gz")
        made = make_products(request, found, stacked.dataset, archives, stacked.theta2, folder)
        for path in draw_all(request, stacked, made, folder / "plots", plan["disclaimer"]):
            path.rename(folder / f"{PLOTS}{path.name}")
        (folder / "plots").rmdir()
        content = summarise(request, plan, found, stacked, made, folder)
        write_json(folder / SUMMARY, content)
        pack(folder, output)
    return content


def facts_of(stacked_path: Path) -> Path:
    """Name of the file with the counts of a stacked dataset."""
    stacked_path = Path(stacked_path)
    return stacked_path.with_name(stacked_path.name.split(".")[0] + ".json")


def _columns(table) -> dict | None:
    if table is None:
        return None
    return {name: [float(value) for value in table[name]] for name in table.colnames}


def _table(columns: dict | None):
    from astropy.table import Table

    return Table(columns) if columns else None
