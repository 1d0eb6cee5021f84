"""The HTML report of an analysis, and the unpacking of its products."""

from pathlib import Path

from ctabatch import __version__
from ctabatch.analysis.archive import unpacked
from ctabatch.analysis.drawings import CAPTIONS
from ctabatch.analysis.steps import PLOTS
from ctabatch.files import read_json, replacing, write_text
from ctabatch.irf.summary import read_benchmarks
from ctabatch.report.rendering import embed_plots, flatten, make_environment, measured_rows

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(plan_path: Path, archive: Path, output: Path) -> Path:
    """Unpack the products of an analysis beside the report, and write the report.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``.
    archive : pathlib.Path
        Archive of `ctabatch.analysis.steps.products`.
    output : pathlib.Path
        The report.
    """
    plan, folder = read_json(plan_path), output.parent
    with unpacked(archive, near=folder) as files:
        for path in sorted(files.iterdir()):
            name = path.name
            target = folder / name
            if name.startswith(PLOTS):
                target = folder / "plots" / name.removeprefix(PLOTS)
            with replacing(target) as temporary:
                temporary.write_bytes(path.read_bytes())
    summary = read_json(folder / "summary.json")
    text = (
        make_environment(_TEMPLATES)
        .get_template("analysis.html.j2")
        .render(
            plan=plan,
            summary=summary,
            plots=embed_plots(folder / "plots", CAPTIONS),
            request=flatten(plan["request"]),
            measured=measured_rows(read_benchmarks(folder / "benchmarks")),
            version=__version__,
        )
    )
    write_text(output, text)
    return output
