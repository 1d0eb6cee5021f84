"""How many showers a wanted precision needs.

The effective area in a bin of energy and offset is a binomial estimate: of the showers thrown in the
bin over the area ``pi R^2``, a fraction ``eps = Aeff / (pi R^2)`` is selected. Its relative standard
deviation with ``n`` thrown showers in the bin is ``sqrt((1 - eps) / (n eps))``; solved for the number
of showers of the whole sample this is the expression of `showers_for_effective_area`. The share of a
bin follows from the thrown power law, as in `pyirf.simulations.SimulatedEventsInfo`, and from the
solid angle of the offset ring within the view cone.
"""

import math

import numpy as np


def energy_fraction(lower, upper, energy_min, energy_max, index):
    """Share of a power-law sample that lies in an energy interval.

    Parameters
    ----------
    lower, upper : float or numpy.ndarray
        Edges of the interval; parts outside the sample count nothing.
    energy_min, energy_max : float
        Range of the sample, in the unit of `lower`.
    index : float
        Signed spectral index, for instance -2.

    Returns
    -------
    float or numpy.ndarray
        Between 0 and 1.
    """
    lower = np.clip(lower, energy_min, energy_max)
    upper = np.clip(upper, energy_min, energy_max)
    if index == -1:
        return np.log(upper / lower) / math.log(energy_max / energy_min)
    power = 1 + index
    return (lower**power - upper**power) / (energy_min**power - energy_max**power)


def offset_fraction(inner, outer, view_cone):
    """Share of directions, uniform in the view cone, that lie in an offset ring (angles in rad).

    A point-like sample (``view_cone`` 0) lies at offset 0.
    """
    if view_cone == 0:
        return np.where(np.asarray(inner) <= 0, 1.0, 0.0)
    inner, outer = np.minimum(inner, view_cone), np.minimum(outer, view_cone)
    # 1 - cos x = 2 sin^2(x/2) keeps the digits at small angles
    return (np.sin(outer / 2) ** 2 - np.sin(inner / 2) ** 2) / np.sin(view_cone / 2) ** 2


def relative_uncertainty(efficiency, showers):
    """Relative standard deviation of a binomial efficiency from `showers` thrown in the bin.

    Infinite where nothing is thrown or selected.
    """
    efficiency, showers = np.broadcast_arrays(
        np.asarray(efficiency, float), np.asarray(showers, float)
    )
    usable = (efficiency > 0) & (showers > 0)
    result = np.full(efficiency.shape, np.inf)
    np.divide(1 - efficiency, efficiency * showers, out=result, where=usable)
    return np.sqrt(result)


def showers_for_effective_area(efficiency, precision, energy_share, offset_share):
    """Showers of a whole sample that give each bin its wanted relative uncertainty.

    Parameters
    ----------
    efficiency : numpy.ndarray
        Selected over thrown showers in each bin.
    precision : float
        Wanted relative uncertainty.
    energy_share, offset_share : numpy.ndarray
        Shares of the sample in each bin, see `energy_fraction` and `offset_fraction`.

    Returns
    -------
    numpy.ndarray
        Number of showers, infinite for bins in which nothing is selected.
    """
    efficiency = np.asarray(efficiency, float)
    inside = efficiency * np.asarray(energy_share) * np.asarray(offset_share)
    result = np.full(inside.shape, np.inf)
    np.divide(1 - efficiency, inside * precision**2, out=result, where=inside > 0)
    return result
