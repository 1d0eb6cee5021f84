"""Checks of coverage: the wanted range is inside the axes and holds values, the background too."""

import numpy as np

from ctabatch.irf.reading import TITLES
from ctabatch.irf.validation.result import Failed, Skipped, fail_in_bins


def coverage(subject):
    """Axes reach over the wanted range and its bins are not empty."""
    subject.finite_component("aeff")
    for kind in ("aeff", "edisp", "psf"):
        if kind not in subject.irf.components:
            continue
        component = subject.component(kind)
        _axes_reach(subject, component, "binning" if subject.request else "precision")
        content = component.data if len(component.values) == 1 else _first(component)
        extra = {"edisp": 1, "psf": 2}.get(kind)
        if content.ndim == 3:
            content = content.sum(axis=extra)
        wanted = subject.in_range(component)
        if not wanted.any():
            raise Failed(
                f"{component.name}: no bin lies in the wanted range {_range(subject)}",
                hdu=component.name,
            )
        what = f"{TITLES[kind]} is empty within the wanted range,"
        fail_in_bins(component.without("MIGRA", "RAD"), (content == 0) & wanted, what)
    return f"axes and content cover {_range(subject)}", {}


def background(subject):
    """The background is there and not empty in any decade of the wanted range."""
    component = subject.finite_component("bkg")
    rate = component.data
    if not (rate > 0).any():
        raise Failed(
            f"{component.name} is empty: no background event passed the cuts", hdu=component.name
        )
    _axes_reach(subject, component, "precision")
    wanted = subject.in_range(component)
    if not wanted.any():
        raise Failed(f"{component.name}: no bin lies in the wanted range {_range(subject)}")
    summed = np.where(wanted, rate, 0).reshape(len(rate), -1).sum(axis=1)
    used = wanted.reshape(len(rate), -1).any(axis=1)
    for members in decades(component.edges["ENERG"], used):
        if summed[members].sum() == 0:
            raise Failed(
                f"{component.name} is empty {decade_name(component, members)} within "
                f"{subject.offset_max:g} deg",
                hdu=component.name,
            )
    empty = int((summed[used] == 0).sum())
    message = f"background in all decades of {_range(subject)}"
    if empty:
        message += f"; {empty} of {used.sum()} energy bins have no event"
    return message, {"energy_bins": int(used.sum()), "energy_bins_without_events": empty}


def decades(edges, used):
    """Group the bins in use by decade from the lowest; an incomplete last one joins its neighbour.

    Parameters
    ----------
    edges : numpy.ndarray
        Edges of the energy bins, shape (n + 1,).
    used : numpy.ndarray
        Bool, shape (n,).

    Returns
    -------
    list of numpy.ndarray
        Indices of the bins of each decade.
    """
    places = np.flatnonzero(used)
    if places.size == 0:
        return []
    start, end = edges[places[0]], edges[places[-1] + 1]
    number = np.floor(np.log10(edges[places] / start) + 1e-4).astype(int)
    complete = np.log10(end / start) >= number.max() + 1 - 1e-4
    if not complete and number.max() > 0:
        number[number == number.max()] -= 1
    return [places[number == item] for item in np.unique(number)]


def decade_name(component, members):
    """Name a decade, such as ``at 0.126 to 1.26 TeV``."""
    edges = component.edges["ENERG"]
    return f"at {edges[members[0]]:.3g} to {edges[members[-1] + 1]:.3g} TeV"


def _axes_reach(subject, component, section):
    """Compare the axes with the range of a section of the request."""
    source = subject.request.binning if section == "binning" else subject.precision
    low, high = source.energy_min.to_value("TeV"), source.energy_max.to_value("TeV")
    edges = component.edges["ENERG"]
    if edges[0] > low * 1.001 or edges[-1] < high * 0.999:
        raise Failed(
            f"{component.name}: energies {edges[0]:.4g} to {edges[-1]:.4g} TeV do not cover "
            f"{section} {low:.4g} to {high:.4g} TeV",
            hdu=component.name,
        )
    outer = source.offset_max.to_value("deg")
    reach = min(
        component.edges[axis][-1] for axis in ("THETA", "DETX", "DETY") if axis in component.edges
    )
    if reach < outer * 0.999:
        raise Failed(
            f"{component.name}: offsets up to {reach:.4g} deg do not cover {section}.offset_max "
            f"{outer:.4g} deg",
            hdu=component.name,
        )


def _range(subject):
    low, high = subject.energies
    return f"{low:.3g} to {high:.3g} TeV, 0 to {subject.offset_max:.3g} deg"


def _first(component):
    """What is zero where a parametric PSF holds nothing."""
    for name in ("SIGMA_1", "SIGMA"):
        if name in component.values:
            return component.values[name]
    raise Skipped(f"{component.model} has no width")
