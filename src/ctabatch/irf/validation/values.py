"""Checks of single values: finite, right sign, bins that join."""

import numpy as np

from ctabatch.irf.reading import TITLES
from ctabatch.irf.validation.result import Failed, fail_in_bins

#: Columns that may have either sign: amplitudes of the 2nd and 3rd Gaussian of the PSF.
_ANY_SIGN = ("AMPL_2", "AMPL_3")


def _all(subject):
    yield from subject.irf.components.values()
    yield from subject.irf.other_areas.values()


def axes(subject):
    """Bin edges increase and bins join."""
    for component in _all(subject):
        if component.gaps:
            names = ", ".join(component.gaps)
            raise Failed(f"HDU {component.name!r}: bins do not join or do not increase on {names}")
    return "bins join on all axes", {}


def finite(subject):
    """No value is NaN or infinite."""
    number = 0
    for component in _all(subject):
        for name, array in component.values.items():
            what = f"{component.name}: {name} is not finite"
            fail_in_bins(component, ~np.isfinite(array), what, array)
            number += array.size
    return f"{number:,} values are finite", {"values": number}


def signs(subject):
    """No area, probability or rate is negative."""
    for component in _all(subject):
        for name, array in component.values.items():
            if name not in _ANY_SIGN:
                fail_in_bins(component, array < 0, f"{component.name}: {name} is negative", array)
    psf = subject.irf.components.get("psf")
    if psf is not None and psf.model == "PSF_3GAUSS":
        # the density in the centre, in units of SCALE
        centre = 1 + psf.values["AMPL_2"] + psf.values["AMPL_3"]
        what = f"{TITLES['psf']} is negative in its centre"
        fail_in_bins(psf, centre < 0, what, centre)
    return "no negative area, probability or rate", {}
