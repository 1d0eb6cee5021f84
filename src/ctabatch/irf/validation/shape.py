"""Checks of shape: a smooth effective area, and its comparison with a reference."""

import numpy as np

from ctabatch.errors import InputError
from ctabatch.irf.reading import open_irf
from ctabatch.irf.statistics import relative_uncertainty
from ctabatch.irf.validation.result import Failed, Skipped, fail_in_bins

#: Bins on either side that give the smooth curve, a parabola in log E and log A.
_NEIGHBOURS = 2


def smoothness(subject):
    """The effective area has no spikes or dips along energy.

    The value of each bin is compared with a parabola, in logarithms, through the neighbouring bins
    without it. Uncertainties are binomial where numbers of events are known; else the scatter of
    the table itself (median absolute deviation) stands in.
    """
    area = subject.finite_component("aeff")
    wanted = subject.in_range(area)
    sigma = _uncertainty(subject, area)
    residual, spread = _residuals(area, sigma)
    usable = np.isfinite(residual) & wanted
    if not usable.any():
        raise Skipped("too few bins with content in the wanted range")
    tolerance = subject.settings.smoothness_tolerance
    source = "counts"
    if sigma is None:
        source = "scatter of the table"
        spread = spread * 1.4826 * np.median(np.abs((residual / spread)[usable]))
    excess = np.maximum(np.abs(residual) - np.log1p(tolerance), 0)
    pull = np.zeros_like(residual)
    np.divide(excess, spread, out=pull, where=usable & (spread > 0))
    limit = subject.settings.smoothness
    what = f"effective area deviates from a smooth curve by more than {limit:g} sigma"
    fail_in_bins(area, pull > limit, what, pull, pull)
    largest = np.abs(np.expm1(residual[usable])).max()
    message = (
        f"deviates from a smooth curve by up to {largest:.2g} (relative), which is "
        f"{pull.max():.2g} sigma beyond the tolerance {tolerance:g} (limit {limit:g})"
    )
    return message, {
        "largest_deviation": largest,
        "largest_pull": pull.max(),
        "limit": limit,
        "uncertainty_from": source,
    }


def _uncertainty(subject, area):
    """Relative uncertainty of each bin from the numbers of the production, or None."""
    if subject.thrown and "gamma" in subject.thrown:
        efficiency = np.clip(area.data / subject.thrown_area("gamma"), 0, 0.99)
        return relative_uncertainty(efficiency, subject.thrown_in_bins("gamma", area))
    if subject.counts is not None:
        with np.errstate(divide="ignore"):
            return 1 / np.sqrt(subject.counts)
    return None


def _residuals(area, sigma):
    """Log of each bin minus the parabola through its neighbours, and its standard deviation.

    Returns
    -------
    tuple of numpy.ndarray
        NaN where there are fewer than three neighbours with content. Shapes (energy, offset). The
        standard deviation is in units of one bin's own, where `sigma` is None.
    """
    x = np.log(area.centers("ENERG"))
    shape = area.data.shape
    residual, spread = np.full(shape, np.nan), np.full(shape, np.nan)
    for offset in range(shape[1]):
        values = area.data[:, offset]
        error = np.ones(shape[0]) if sigma is None else sigma[:, offset]
        filled = np.flatnonzero((values > 0) & np.isfinite(error) & (error > 0))
        for place in filled:
            near = filled[(np.abs(filled - place) <= _NEIGHBOURS) & (filled != place)]
            if len(near) < 3:
                continue
            # prediction as a weighted sum of the neighbours' logs: generalised least squares
            design = np.vander(x[near] - x[place], 3)
            scaled = np.linalg.pinv(design / error[near, None])[2] / error[near]
            residual[place, offset] = np.log(values[place]) - scaled @ np.log(values[near])
            spread[place, offset] = np.hypot(error[place], np.linalg.norm(scaled * error[near]))
    return residual, spread


def reference(subject):
    """The effective area agrees with that of the reference IRF."""
    if subject.settings.reference is None:
        raise Skipped("no reference IRF given (validation.reference)")
    area = subject.finite_component("aeff")
    other = open_reference(subject.settings.reference)
    theirs = other.components["aeff"]
    expected, known = _evaluate(theirs, area.centers("ENERG"), area.centers("THETA"))
    usable = subject.in_range(area) & known & (expected > 0)
    if not usable.any():
        raise Failed(f"reference {other.path.name} has no values in the wanted range")
    sigma = _uncertainty(subject, area)
    statistical = np.zeros_like(area.data) if sigma is None else np.where(usable, sigma, 0)
    ratio = np.ones_like(area.data)
    np.divide(area.data, expected, out=ratio, where=usable)
    width = np.hypot(statistical * ratio, subject.settings.reference_systematic)
    pull = np.zeros_like(ratio)
    np.divide(ratio - 1, width, out=pull, where=usable & (width > 0))
    pull = np.where(usable & (width == 0) & (ratio != 1), np.inf, pull)
    limit = subject.settings.reference_pull
    what = f"effective area is more than {limit:g} sigma from the reference {other.path.name}"
    fail_in_bins(area, np.abs(pull) > limit, what, pull, np.abs(pull))
    inside = ratio[usable]
    return (
        f"largest pull {np.abs(pull).max():.2g} (limit {limit:g}); ratio to {other.path.name} "
        f"{inside.min():.2g} to {inside.max():.2g}, median {np.median(inside):.2g}",
        {
            "largest_pull": np.abs(pull).max(),
            "ratio": {"min": inside.min(), "median": np.median(inside), "max": inside.max()},
            "bins": int(usable.sum()),
            "reference": other.path.name,
        },
    )


def open_reference(path):
    """Open the reference IRF of the configuration.

    Raises
    ------
    ctabatch.errors.InputError
        It is absent, not FITS or has no effective area.
    """
    other = open_irf(path, where="validation.reference")
    if "aeff" not in other.components:
        raise InputError(
            f"{path}: {other.problems['aeff']}", "validation.reference", "an IRF in GADF format"
        )
    return other


def _evaluate(component, energy, offset):
    """Interpolate an effective area: bilinear in log energy and offset.

    Returns
    -------
    tuple of numpy.ndarray
        Values, and whether they lie within the component's axes; shape (energy, offset).
    """
    from scipy.interpolate import RegularGridInterpolator

    axes = (np.log(component.centers("ENERG")), component.centers("THETA"))
    points = np.meshgrid(np.log(energy), offset, indexing="ij")
    inside = (
        (points[0] >= np.log(component.edges["ENERG"][0]))
        & (points[0] <= np.log(component.edges["ENERG"][-1]))
        & (points[1] <= component.edges["THETA"][-1])
    )
    # beyond the outermost centres the value of the outermost bin holds
    clipped = [np.clip(p, axis[0], axis[-1]) for p, axis in zip(points, axes, strict=True)]
    if len(axes[1]) == 1:
        values = np.interp(clipped[0], axes[0], component.data[:, 0])
    else:
        values = RegularGridInterpolator(axes, component.data)(np.stack(clipped, axis=-1))
    return values, inside
