"""One HDU of an IRF as arrays: axes in natural order, values in fixed units."""

from dataclasses import dataclass, replace

import numpy as np
from astropy import units as u
from astropy.io import fits

#: HDUCLAS4 -> axes in natural order, each the stem of a pair of columns (``_LO``, ``_HI``).
AXES = {
    "AEFF_2D": ("ENERG", "THETA"),
    "EDISP_2D": ("ENERG", "MIGRA", "THETA"),
    "PSF_TABLE": ("ENERG", "THETA", "RAD"),
    "PSF_3GAUSS": ("ENERG", "THETA"),
    "PSF_KING": ("ENERG", "THETA"),
    "BKG_2D": ("ENERG", "THETA"),
    "BKG_3D": ("ENERG", "DETX", "DETY"),
}
#: HDUCLAS4 -> columns with values.
COLUMNS = {
    "AEFF_2D": ("EFFAREA",),
    "EDISP_2D": ("MATRIX",),
    "PSF_TABLE": ("RPSF",),
    "PSF_3GAUSS": ("SCALE", "SIGMA_1", "SIGMA_2", "SIGMA_3", "AMPL_2", "AMPL_3"),
    "PSF_KING": ("SIGMA", "GAMMA"),
    "BKG_2D": ("BKG",),
    "BKG_3D": ("BKG",),
}
AXIS_UNITS = {"ENERG": "TeV", "THETA": "deg", "RAD": "deg", "DETX": "deg", "DETY": "deg"}
#: Column -> unit in which it is handed out; others are without unit.
VALUE_UNITS = {
    "EFFAREA": "m2",
    "RPSF": "sr-1",
    "BKG": "MeV-1 s-1 sr-1",
    "SCALE": "sr-1",
    "SIGMA_1": "deg",
    "SIGMA_2": "deg",
    "SIGMA_3": "deg",
    "SIGMA": "deg",
}


class UnusableError(Exception):
    """A component can't be used; the text says why."""


@dataclass(frozen=True)
class Component:
    """One HDU of an IRF as arrays.

    Parameters
    ----------
    kind : str
        ``aeff``, ``edisp``, ``psf`` or ``bkg``.
    hdu : astropy.io.fits.BinTableHDU
        Where it comes from.
    edges : dict
        Axis stem (``ENERG``, ``THETA``, ...) to bin edges, shape (bins + 1,), in TeV or deg.
    values : dict
        Column name to array, axes in the order of `edges`, in the units of `VALUE_UNITS`.
    gaps : tuple of str
        Axes whose bins do not join (upper edge is not the next lower edge) or do not increase.
    """

    kind: str
    hdu: fits.BinTableHDU
    edges: dict
    values: dict
    gaps: tuple = ()

    @property
    def name(self):
        """Name of the HDU."""
        return self.hdu.name

    @property
    def model(self):
        """GADF class of the component (HDUCLAS4), such as ``PSF_3GAUSS``."""
        return self.hdu.header["HDUCLAS4"]

    @property
    def data(self):
        """The array of a component that has a single one."""
        (array,) = self.values.values()
        return array

    def centers(self, axis):
        """Centres of the bins of an axis; geometric for energies, where the lower edge is > 0."""
        edges = self.edges[axis]
        if axis == "ENERG" and edges[0] > 0:
            return np.sqrt(edges[:-1] * edges[1:])
        return (edges[:-1] + edges[1:]) / 2

    def bin_name(self, index):
        """Name a bin for people, such as ``energy 1.26 to 2 TeV, offset 0 to 1 deg``."""
        words = {"ENERG": "energy", "THETA": "offset", "RAD": "distance", "MIGRA": "migration"}
        parts = []
        for position, (axis, edges) in zip(index, self.edges.items(), strict=False):
            unit = AXIS_UNITS.get(axis, "")
            low, high = edges[position], edges[position + 1]
            parts.append(f"{words.get(axis, axis.lower())} {low:.3g} to {high:.3g} {unit}".strip())
        return ", ".join(parts)

    def without(self, *axes):
        """Return a component without these axes and without values, to name bins of integrals."""
        edges = {axis: edges for axis, edges in self.edges.items() if axis not in axes}
        return replace(self, edges=edges, values={})

    def to_gammapy(self, normalise=True):
        """Make the Gammapy object.

        Parameters
        ----------
        normalise : bool
            Normalise the energy dispersion along migration. Published ones hold probabilities in
            place of densities. Gammapy normalises parametric PSFs itself when it evaluates them.

        Returns
        -------
        gammapy.irf.IRF
        """
        from astropy.table import Table
        from gammapy.irf import IRF_REGISTRY

        irf = IRF_REGISTRY.get_cls(self.model.lower()).from_table(Table.read(self.hdu))
        if normalise and self.kind == "edisp":
            irf.normalize()
        return irf


def make_component(kind, hdu):
    """Read the table of an HDU.

    Raises
    ------
    UnusableError
        Class, columns, shapes or units are not those of the GADF format.
    """
    model = hdu.header.get("HDUCLAS4", "")
    if model not in AXES:
        known = ", ".join(name for name in AXES if name.startswith(kind.upper()))
        raise UnusableError(f"HDU {hdu.name!r} has HDUCLAS4 = {model!r}; allowed: {known}")
    if len(hdu.data) != 1:
        raise UnusableError(f"HDU {hdu.name!r} has {len(hdu.data)} rows in place of 1")
    edges, gaps = {}, []
    for axis in AXES[model]:
        low, high = (
            np.atleast_1d(_column(hdu, f"{axis}_{end}", AXIS_UNITS.get(axis)))
            for end in ("LO", "HI")
        )
        if low.ndim != 1 or low.shape != high.shape or low.size == 0:
            raise UnusableError(f"HDU {hdu.name!r}: columns {axis}_LO and {axis}_HI do not match")
        edges[axis] = np.append(low, high[-1])
        joined = np.allclose(low[1:], high[:-1], rtol=1e-4, atol=1e-9)
        if not joined or not (np.diff(edges[axis]) > 0).all():
            gaps.append(axis)
    shape = tuple(len(item) - 1 for item in edges.values())
    values = {}
    for name in COLUMNS[model]:
        # FITS stores the last axis first
        array = _column(hdu, name, VALUE_UNITS.get(name)).T
        if array.shape != shape:
            raise UnusableError(
                f"HDU {hdu.name!r}: column {name} has shape {array.shape}, its axes {shape}"
            )
        values[name] = array
    return Component(kind, hdu, edges, values, tuple(gaps))


def _column(hdu, name, unit):
    if name not in hdu.columns.names:
        raise UnusableError(f"HDU {hdu.name!r} has no column {name}")
    array = np.array(hdu.data[name][0], dtype=float)
    stored = hdu.columns[name].unit
    try:
        return (array * u.Unit(stored or "")).to_value(u.Unit(unit or ""))
    except (u.UnitConversionError, ValueError, TypeError):
        raise UnusableError(
            f"HDU {hdu.name!r}: column {name} has unit {stored!r}, which is not convertible to "
            f"{unit or 'a number'}"
        ) from None


def energy_bins_in_range(edges, lower, upper):
    """Select the energy bins that lie wholly within a range.

    Parameters
    ----------
    edges : numpy.ndarray
        Bin edges, shape (n + 1,).
    lower, upper : float
        Ends of the range, in the unit of `edges`.

    Returns
    -------
    numpy.ndarray
        Bool, shape (n,).
    """
    slack = 1e-4  # edges are float32 in published files
    return (edges[:-1] >= lower * (1 - slack)) & (edges[1:] <= upper * (1 + slack))


def offset_bins_in_range(edges, outer):
    """Select the offset bins that begin inside a radius; at least the innermost one.

    Parameters and result are as in `energy_bins_in_range`.
    """
    selected = edges[:-1] < outer * (1 - 1e-4)
    selected[0] = True
    return selected
