"""The compiled steps of a shower in two bundles, because each call from Python costs time."""

import numba

from ctabatch.simulation.camera import respond
from ctabatch.simulation.hadrons import develop
from ctabatch.simulation.muons import muon_light
from ctabatch.simulation.photons import expected, photoelectrons, slices_of


@numba.njit(cache=True, fastmath=True)
def shower(
    code, energy, heights, bend, profile, axes, muons, core, frame, cos_zenith, table_length, slices,
    index, position, area, kind, detect, pointing, cos_field, intensity, mean, rng,
):  # fmt: skip
    """Develop a shower and compute the mean photo-electrons of its slices in all telescopes.

    Parameters are those of `develop`, `slices_of` and `expected`.

    Returns
    -------
    n_axes, n_muons, n_slices : int
        Filled rows of the work space.
    first : float
        Depth of the first interaction, g/cm2.
    total : numpy.ndarray
        Mean photo-electrons from cascades in each telescope.
    """
    n_axes, n_muons, first = develop(code, energy, heights, bend, profile, axes, muons, rng)
    n = slices_of(
        profile, axes, n_axes, core, frame, heights, cos_zenith, table_length, slices, index
    )
    total = expected(
        slices, index, n, position, area, kind, detect, pointing, cos_field, intensity, mean
    )
    return n_axes, n_muons, n, first, total


@numba.njit(cache=True, fastmath=True)
def record(
    slices, index, n, mean, total, place, core, frame, lateral, moliere, view, optics, lookup, grid,
    muons, n_muons, heights, cos_zenith, radius, factor, detect, refractivity, neighbours, settings,
    least, count, time, image, peak, true, rng,
):  # fmt: skip
    """Record a shower with one camera.

    Parameters are those of `photoelectrons`, `muon_light` and `respond`; `least` is the number of
    photo-electrons below which the camera can't trigger.

    Returns
    -------
    bool
        Whether the camera triggers; only then `image`, `peak` and `true` are filled.
    """
    scale = 1.0
    if total > 0:
        scale = photoelectrons(
            slices, index, n, mean, total, place, core, frame, lateral, moliere, view, optics,
            lookup, grid, count, time, rng,
        )  # fmt: skip
    if n_muons > 0:
        muon_light(
            muons, n_muons, core, frame, heights, cos_zenith, place, radius, factor, detect,
            refractivity, view, optics, lookup, grid, count, time, rng,
        )  # fmt: skip
    if count.sum() * scale < least:
        return False
    return respond(count, time, scale, neighbours, settings, rng, image, peak, true)
