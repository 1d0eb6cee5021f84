"""The HTML report of a request: one file without external parts, readable for years.

Everything that comes from outside (names, messages, versions) is escaped by the template engine.
"""

from pathlib import Path

from ctabatch import __version__
from ctabatch.files import read_json, write_text
from ctabatch.report.rendering import embed_plots, flatten, make_environment, measured_rows

_TEMPLATES = Path(__file__).parent / "templates"

#: Plot -> caption, in the order of the report.
CAPTIONS = {
    "effective_area": "Effective area after cuts against true energy: the nominal IRF by offset "
    "(left); variations and reference in the innermost offset bin, and their ratio to nominal "
    "(right). Error bars: 1 / sqrt(n) of the selected gammas.",
    "energy_dispersion": "Energy dispersion of the innermost offset bin (left); bias and resolution "
    "of the energy (right).",
    "psf": "Angular resolution: radius that contains 68 % of the gammas.",
    "background": "Rate of background events after cuts; bins without events are left open.",
    "sensitivity": "Differential sensitivity by Gammapy from the IRF: 5 sigma, at least 10 gammas "
    "and 5 % of the background in each bin, on-region of 68 % containment. Circles: pyirf with the "
    "optimised direction cuts.",
}
_ORDER = {"failed": 0, "skipped": 1, "passed": 2}


def write_report(
    folder, plan, validation, *, output=None, measured=None, locations=None, sidecars=None
):
    """Write the report of a request.

    Parameters
    ----------
    folder : str or pathlib.Path
        Results of the request; its ``plots/*.png`` are embedded.
    plan : dict
        Content of ``plan.json``.
    validation : dict
        Content of ``validation.json``.
    output : pathlib.Path, optional
        The report; ``report.html`` in `folder` by default.
    measured : dict, optional
        Step to rows with ``cpu_s`` and ``memory_mb``, as `ctabatch.irf.summary.read_benchmarks`
        gives them.
    locations : dict, optional
        Variant to its DID in the data lake.
    sidecars : dict, optional
        Variant to the content of its ``.meta.json``; those in `folder` by default.

    Returns
    -------
    pathlib.Path
        The report. Sections for which there is nothing are left out.
    """
    folder = Path(folder)
    output = Path(output) if output else folder / "report.html"
    if sidecars is None:
        sidecars = _sidecars(folder, plan)
    text = (
        make_environment(_TEMPLATES)
        .get_template("report.html.j2")
        .render(
            plan=plan,
            validation=validation,
            variants=_variants(validation),
            plots=embed_plots(folder / "plots", CAPTIONS),
            request=flatten(plan.get("request") or {}),
            conditions=flatten(plan.get("conditions") or {}),
            production=_production(plan),
            reached=_reached(validation),
            measured=measured_rows(measured),
            locations=locations or {},
            sidecars={name: flatten(item) for name, item in sidecars.items()},
            folder=folder.name,
            version=__version__,
        )
    )
    write_text(output, text)
    return output


def _variants(validation):
    """Products with their checks, failures first, and the number of each verdict."""
    result = []
    for name, item in (validation.get("variants") or {}).items():
        checks = sorted(item.get("checks", []), key=lambda check: _ORDER.get(check["status"], 3))
        counts = {status: sum(check["status"] == status for check in checks) for status in _ORDER}
        result.append({**item, "variant": name, "checks": checks, "counts": counts})
    return result


def _production(plan):
    """Rows of the samples: variant, particle, sample, runs, showers."""
    return [
        (variant, particle, sample, numbers["runs"], numbers["runs"] * numbers["showers_per_run"])
        for variant, particles in (plan.get("production") or {}).items()
        for particle, samples in particles.items()
        for sample, numbers in samples.items()
    ]


def _reached(validation):
    """Variant to the largest relative uncertainty of its effective area, where it was found."""
    found = {}
    for name, item in (validation.get("variants") or {}).items():
        for check in item.get("checks", []):
            details = check.get("details") or {}
            if check["name"] == "precision_effective_area" and "worst" in details:
                found[name] = details["worst"]
    return found


def _sidecars(folder, plan):
    found = {}
    for variant, name in (plan.get("products") or {}).items():
        path = folder / f"{name}.fits.gz.meta.json"
        if path.is_file():
            found[variant] = read_json(path)
    return found
