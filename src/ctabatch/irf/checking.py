"""Validate the products of a plan, or any IRF file."""

from pathlib import Path

from ctabatch.config.irf import IRFRequest
from ctabatch.config.validation import ValidationSettings
from ctabatch.files import read_json, write_json


def validate_plan(
    plan_path: Path,
    settings: ValidationSettings,
    output: Path | None = None,
    plots: Path | None = None,
    folder: Path | None = None,
) -> dict:
    """Validate every product of a plan against its request.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``; ctapipe's benchmarks are in ``irf/`` beside it.
    settings : ctabatch.config.validation.ValidationSettings
        Thresholds.
    output : pathlib.Path, optional
        Where to write the result.
    plots : pathlib.Path, optional
        Folder for plots.
    folder : pathlib.Path, optional
        Where the products lie; beside the plan by default.

    Returns
    -------
    dict
        ``passed``, and for each product the named checks.
    """
    from ctabatch.irf.validation import validate

    plan, beside = read_json(plan_path), Path(plan_path).parent
    folder = beside if folder is None else folder
    request = IRFRequest.model_validate(plan["request"])
    results, paths = {}, {}
    for variant, name in plan["products"].items():
        paths[variant] = folder / f"{name}.fits.gz"
        benchmarks = beside / "irf" / f"{variant}.benchmarks.fits.gz"
        report = validate(
            paths[variant],
            request=request,
            settings=settings,
            benchmarks=benchmarks if benchmarks.is_file() else None,
            thrown=thrown_showers(plan, variant),
        )
        results[variant] = report.to_dict() | {"product": name}
    result = {
        "name": plan["name"],
        "digest": plan["digest"],
        "passed": all(item["passed"] for item in results.values()),
        "disclaimer": plan["disclaimer"],
        "variants": results,
    }
    if plots is not None:
        from ctabatch.irf.plots import make_plots

        reference = Path(settings.reference) if settings.reference else None
        benchmarks = {name: beside / "irf" / f"{name}.benchmarks.fits.gz" for name in paths}
        make_plots(
            paths, plots, reference=reference, benchmarks=benchmarks, notice=plan["disclaimer"]
        )
    if output is not None:
        write_json(output, result)
    return result


def validate_file(path: Path, settings: ValidationSettings | None = None) -> dict:
    """Validate any IRF file in GADF format; checks that need a request are skipped."""
    from ctabatch.irf.validation import validate

    report = validate(path, request=None, settings=settings or ValidationSettings())
    return {
        "passed": report.passed,
        "variants": {"file": report.to_dict() | {"product": str(path)}},
    }


def thrown_showers(plan: dict, variant: str) -> dict:
    """What was thrown for the IRF sample of a variant, by particle, in TeV, m and deg."""
    from ctabatch.config.simulation import SimulationSettings

    thrown = {}
    for particle, samples in plan["production"][variant].items():
        numbers = samples["irf"]
        settings = SimulationSettings.model_validate(plan["simulation"])
        space = getattr(settings.particles, particle)
        thrown[particle] = {
            "showers": numbers["runs"] * numbers["showers_per_run"],
            "scatter_radius_m": space.scatter_radius.to_value("m"),
            "view_cone_deg": space.view_cone.to_value("deg"),
            "energy_min_TeV": space.energy_min.to_value("TeV"),
            "energy_max_TeV": space.energy_max.to_value("TeV"),
            "spectral_index": space.spectral_index,
        }
    return thrown


def describe_result(result: dict) -> str:
    """Say for each product which checks failed, then which passed."""
    order = {"failed": 0, "skipped": 1, "passed": 2}
    lines = []
    for variant, item in result["variants"].items():
        lines.append(f"{item['product']} ({variant}): {'passed' if item['passed'] else 'FAILED'}")
        for check in sorted(item["checks"], key=lambda check: order[check["status"]]):
            lines.append(f"  {check['status']:8s} {check['name']:32s} {check['message']}")
    return "\n".join(lines)
