"""The numbers of an analysis as JSON: ``summary.json``."""

from pathlib import Path

import numpy as np

from ctabatch.analysis.counts import finite, on_counts
from ctabatch.analysis.products import FILES, Made
from ctabatch.analysis.settings import on_region
from ctabatch.config.analysis import AnalysisRequest

#: What is compared of the candidates.
_COMPARED = ("stat", "free", "aic", "ts", "success", "message", "frozen_shape", "usable")

#: Significance below which a point is shown as an upper limit.
LIMIT_BELOW = 2.0


def summarise(request: AnalysisRequest, plan: dict, fit: dict, stacked, made: Made, folder: Path):
    """Sum up an analysis.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    plan, fit : dict
        Content of ``plan.json`` and ``fit.json``.
    stacked : ctabatch.analysis.stack.Stacked
        Stacked dataset, and counts of each observation.
    made : Made
        Products.
    folder : pathlib.Path
        Where they are.

    Returns
    -------
    dict
        Content of ``summary.json``; fluxes in cm-2 s-1 (TeV-1), energies in TeV, times as MJD (TT).
    """
    best = fit["candidates"].get(fit["best"])
    return {
        "name": request.name,
        "digest": plan["digest"],
        "disclaimer": plan["disclaimer"],
        "gammapy": plan["software"]["gammapy"],
        "dimension": request.dimension,
        "converged": fit["converged"],
        "detected": fit["detected"],
        "best": fit["best"],
        "source": request.models.source,
        "on_region": total_counts(stacked, request),
        "candidates": {
            name: {key: item[key] for key in _COMPARED} for name, item in fit["candidates"].items()
        },
        "parameters": best["parameters"] if best else [],
        "integral_flux": _points(made.integral, "flux")[0] if made.integral is not None else None,
        "flux_points": _points(made.flux_points, "dnde") if made.flux_points is not None else [],
        "light_curve": _curve(made.light_curve) if made.light_curve is not None else [],
        "maps": _map_facts(made.maps, request),
        "observations": stacked.observations,
        "bad_observations": stacked.bad,
        "left_out": plan["left_out"],
        "notes": stacked.notes + made.notes,
        "files": [name for name in FILES if (folder / name).is_file()],
    }


def total_counts(stacked, request: AnalysisRequest) -> dict:
    """Counts, background, excess and significance of the on region, all observations together."""
    dataset = stacked.dataset
    if request.dimension == "3d":
        dataset = dataset.to_spectrum_dataset(on_region(request), containment_correction=False)
    return {
        "radius_deg": request.on_radius.to_value("deg"),
        **on_counts(dataset),
        "livetime_s": finite(sum(row["livetime_s"] for row in stacked.observations)),
    }


def _points(points, quantity: str) -> list[dict]:
    table = points.to_table(sed_type=quantity)
    names = [quantity, *(f"{quantity}_{kind}" for kind in ("err", "errn", "errp", "ul"))]
    rows = []
    for row in table:
        content = {key: float(row[key]) for key in ("e_ref", "e_min", "e_max")}
        content |= {name: finite(_number(row[name])) for name in names if name in table.colnames}
        content["sqrt_ts"] = finite(_number(row["sqrt_ts"]))
        content["upper_limit"] = not (content["sqrt_ts"] or 0) >= LIMIT_BELOW
        rows.append(content)
    return rows


def _curve(table) -> list[dict]:
    rows = []
    for row in table:
        content = {key: float(row[key]) for key in ("time_min", "time_max")}
        for name in ("flux", "flux_err", "flux_errn", "flux_errp", "flux_ul", "sqrt_ts"):
            if name in table.colnames:
                content[name] = finite(_number(row[name]))
        content["upper_limit"] = not (content.get("sqrt_ts") or 0) >= LIMIT_BELOW
        rows.append(content)
    return rows


def _number(value) -> float:
    return float(np.ma.filled(np.ravel(value), np.nan)[0])


def _map_facts(maps: dict, request: AnalysisRequest) -> dict:
    """Largest significance and where; width of the residual significances (1 if all is modelled)."""
    if not maps:
        return {}
    found = maps["significance"].sum_over_axes(keepdims=False)
    facts = {
        "correlation_radius_deg": request.products.maps.correlation_radius.to_value("deg"),
        "largest_significance": finite(float(np.nanmax(found.data))),
    }
    where = np.unravel_index(np.nanargmax(found.data), found.data.shape)
    position = found.geom.pix_to_coord(where[::-1])
    facts["largest_at_deg"] = [round(float(value.to_value("deg")), 4) for value in position]
    facts["frame"] = found.geom.frame
    residual = maps.get("residual_significance")
    if residual is not None:
        values = residual.data[np.isfinite(residual.data)]
        facts["residual_mean"] = finite(float(values.mean()))
        facts["residual_std"] = finite(float(values.std()))
    return facts
