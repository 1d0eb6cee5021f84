"""Pulls of fitted parameters: distance from the truth in units of the fit's own uncertainty."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u

from ctabatch.config.observation import SourceSpectrum
from ctabatch.errors import InputError

#: Largest distance from the truth, in standard deviations, that counts as agreement.
SIGMA = 2.0
#: Share of the seeds that must agree, for each parameter by itself.
FRACTION = 0.9


def truth_of(spectrum: SourceSpectrum) -> dict[str, float]:
    """Say what a fit of a power law should find.

    Parameters
    ----------
    spectrum : SourceSpectrum
        Of the section ``observation``.

    Returns
    -------
    dict
        ``index``, ``amplitude`` (TeV-1 s-1 cm-2) and its ``reference`` (TeV).

    Raises
    ------
    ctabatch.errors.InputError
        The spectrum is not a power law, and a power law would not find its index.
    """
    if spectrum.curvature != 0:
        raise InputError(
            "must be 0", "observation.spectrum.curvature", "the spectrum of a power law"
        )
    unit = u.Unit("TeV-1 s-1 cm-2")
    return {
        "index": spectrum.index,
        "amplitude": float((spectrum.amplitude * spectrum.scale).to_value(unit)),
        "reference": spectrum.reference.to_value("TeV"),
    }


def pulls_of(summary: Mapping[str, Any], truth: Mapping[str, float]) -> dict[str, Any] | None:
    """Compare an analysis with the truth.

    Parameters
    ----------
    summary : mapping
        Content of ``summary.json`` of the analysis.
    truth : mapping
        See `truth_of`.

    Returns
    -------
    dict or None
        Parameter to ``value``, ``error`` and ``pull``; None if the fit did not converge.

    Raises
    ------
    ctabatch.errors.InputError
        The amplitude of the fit holds at another energy than the truth's.
    """
    if not summary["converged"]:
        return None
    rows = {row["name"]: row for row in summary["parameters"]}
    if not math.isclose(rows["reference"]["value"], truth["reference"], rel_tol=1e-6):
        raise InputError(
            f"the model's reference energy is {rows['reference']['value']:g} TeV",
            "analysis.models.candidates",
            f"the {truth['reference']:g} TeV of observation.spectrum.reference",
        )
    found = {}
    for name in ("index", "amplitude"):
        value, error = rows[name]["value"], rows[name]["error"]
        if not error > 0:
            return None
        found[name] = {"value": value, "error": error, "pull": (value - truth[name]) / error}
    return found


def judge(
    results: Sequence[Mapping[str, Any] | None], sigma: float = SIGMA, fraction: float = FRACTION
) -> dict[str, Any]:
    """Judge all seeds, each parameter by itself.

    A seed counts as agreeing if its pull is within `sigma`; one whose fit did not converge counts as
    not agreeing. At least ``ceil(fraction * seeds)`` must agree.

    Parameters
    ----------
    results : sequence
        What `pulls_of` gave for each seed.
    sigma : float
        See above.
    fraction : float
        See above.

    Returns
    -------
    dict
        ``passed``, and for each of ``index`` and ``amplitude`` in ``parameters``: ``within``,
        ``seeds``, ``needed``, ``passed``, ``mean`` and ``mean_error`` of the pulls, their standard
        deviation ``spread``, and the mean relative uncertainty of the fits, ``uncertainty``.
    """
    seeds = len(results)
    needed = math.ceil(fraction * seeds - 1e-9)
    converged = [item for item in results if item is not None]
    parameters = {}
    for name in ("index", "amplitude"):
        pulls = [item[name]["pull"] for item in converged]
        within = sum(abs(pull) <= sigma for pull in pulls)
        parameters[name] = {
            "within": within,
            "seeds": seeds,
            "needed": needed,
            "passed": within >= needed > 0,
            "mean": statistics.fmean(pulls) if pulls else None,
            # of the mean of as many pulls as would scatter by one
            "mean_error": 1 / math.sqrt(len(pulls)) if pulls else None,
            "spread": statistics.stdev(pulls) if len(pulls) > 1 else None,
            "uncertainty": statistics.fmean(
                item[name]["error"] / abs(item[name]["value"]) for item in converged
            )
            if converged
            else None,
        }
    return {
        "passed": all(item["passed"] for item in parameters.values()),
        "sigma": sigma,
        "fraction": fraction,
        "parameters": parameters,
    }
