"""Checks of normalisation: energy dispersion and PSF are probability densities.

Products of this workflow must be normalised as GADF defines it. Published files (no request) may
follow one of the other conventions below, which Gammapy mends when it reads or evaluates them; a
row that fits neither is at fault there, too. Rows without events (all zero) are no matter of
normalisation: check `coverage` refuses them in the wanted range.
"""

import numpy as np

from ctabatch.irf.validation.result import fail_in_bins

#: Convention -> how it is told.
_DENSITY = "density (GADF)"
_PROBABILITY = "probability in each bin"
_WIDTH = "SCALE = 1 / (2 pi sum of A sigma)"
_ANALYTIC = "analytic"


def edisp_integrals(component):
    """Integrals over migration of the energy dispersion, by convention.

    Returns
    -------
    dict
        Convention to array, shape (energy, offset); 1 where normalised, 0 where empty.
    """
    width = np.diff(component.edges["MIGRA"])
    return {
        _DENSITY: np.einsum("emo,m->eo", component.data, width),
        _PROBABILITY: component.data.sum(axis=1),
    }


def psf_integrals(component):
    """Integrals over solid angle of the PSF, by convention; as `edisp_integrals`."""
    if component.model == "PSF_TABLE":
        edges = np.radians(component.edges["RAD"])
        # solid angle of rings: 2 pi (cos r1 - cos r2), in a form that keeps the digits
        solid_angle = 4 * np.pi * np.diff(np.sin(edges / 2) ** 2)
        return {
            _DENSITY: component.data @ solid_angle,
            _PROBABILITY: component.data.sum(axis=-1),
        }
    values = component.values
    if component.model == "PSF_KING":  # normalised by its formula for gamma > 1
        good = (values["SIGMA"] > 0) & (values["GAMMA"] > 1)
        return {_ANALYTIC: np.where(values["SIGMA"] > 0, good.astype(float), 0.0)}
    amplitudes = (np.ones_like(values["AMPL_2"]), values["AMPL_2"], values["AMPL_3"])
    sigmas = [values[f"SIGMA_{number}"] for number in (1, 2, 3)]
    scale = 2 * np.pi * values["SCALE"]
    squares = sum(a * np.radians(s) ** 2 for a, s in zip(amplitudes, sigmas, strict=True))
    widths = sum(a * s for a, s in zip(amplitudes, sigmas, strict=True))
    return {_DENSITY: scale * squares, _WIDTH: scale * widths}


def energy_dispersion(subject):
    """The energy dispersion integrates to 1 over migration."""
    component = subject.finite_component("edisp")
    return _normalised(subject, component, edisp_integrals(component), "energy dispersion")


def psf(subject):
    """The PSF integrates to 1 over solid angle."""
    component = subject.finite_component("psf")
    return _normalised(subject, component, psf_integrals(component), "PSF")


def _normalised(subject, component, integrals, title):
    tolerance = subject.settings.normalisation_tolerance
    convention, integral = next(iter(integrals.items()))
    if subject.request is None:
        convention, integral = max(integrals.items(), key=lambda item: _share(item[1], tolerance))
    deviation = np.where(integral != 0, np.abs(integral - 1), 0.0)
    what = f"{title} integrates to other than 1 (tolerance {tolerance:g})"
    view = component.without("MIGRA", "RAD")
    fail_in_bins(view, deviation > tolerance, what, integral, deviation)
    message = f"integrals of {int((integral != 0).sum())} rows deviate from 1 by up to"
    message += f" {deviation.max():.2g}"
    if convention != _DENSITY:
        message += f"; the file's convention is '{convention}', normalised when read"
    return message, {"convention": convention, "worst": deviation.max(), "tolerance": tolerance}


def _share(integral, tolerance):
    """Share of rows with content that are 1 within the tolerance."""
    content = integral != 0
    return np.mean(np.abs(integral[content] - 1) <= tolerance) if content.any() else 0.0
