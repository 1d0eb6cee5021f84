"""Open IRF files: HDUs found by class and name, arrays in natural order, Gammapy objects.

An IRF of ``ctapipe-compute-irf`` holds three effective areas (gamma, proton, electron); published
files differ in HDU names, PSF model and normalisation. What reads an IRF goes through here, so that
these differences are dealt with once.
"""

import gzip
import io
import warnings
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits

from ctabatch.errors import InputError

#: Component -> HDUCLAS2 values, and the HDU names of gamma-ray components in order of preference.
KINDS = {
    "aeff": (("EFF_AREA",), ("EFFECTIVE AREA",)),
    "edisp": (("EDISP",), ("ENERGY DISPERSION",)),
    "psf": (("PSF", "RPSF"), ("PSF", "POINT SPREAD FUNCTION")),
    "bkg": (("BKG",), ("BACKGROUND",)),
}
TITLES = {
    "aeff": "effective area",
    "edisp": "energy dispersion",
    "psf": "point spread function",
    "bkg": "background",
}
#: Effective areas of other primaries, written beside that of gammas.
OTHER_AREAS = {"proton": "EFFECTIVE AREA PROTONS", "electron": "EFFECTIVE AREA ELECTRONS"}

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


@dataclass(frozen=True)
class IRFFile:
    """An IRF file in memory.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        All HDUs.
    components : dict
        Kind to `Component`, as far as present and understood.
    problems : dict
        Kind to the reason why it is not among the components.
    other_areas : dict
        ``proton`` and ``electron`` to their effective areas, as far as present.
    """

    path: Path
    hdus: fits.HDUList
    components: dict
    problems: dict = field(default_factory=dict)
    other_areas: dict = field(default_factory=dict)

    @cached_property
    def gammapy(self):
        """All components as normalised Gammapy objects, by kind (made once)."""
        return {kind: item.to_gammapy() for kind, item in self.components.items()}


def open_irf(path, where=None):
    """Read an IRF file completely.

    Parameters
    ----------
    path : str or pathlib.Path
        FITS file, possibly compressed by gzip.
    where : str, optional
        The configuration key that names the file, for the error message.

    Returns
    -------
    IRFFile
        Missing or unusable components are in its `problems`, not an error.

    Raises
    ------
    ctabatch.errors.InputError
        The file is absent, not FITS, truncated or corrupt.
    """
    path = Path(path)
    hdus = _read_hdus(path, where)
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    components, problems = {}, {}
    for kind in KINDS:
        try:
            components[kind] = _component(kind, _find(kind, tables))
        except _UnusableError as error:
            problems[kind] = str(error)
    others = {}
    for particle, name in OTHER_AREAS.items():
        found = [hdu for hdu in tables if hdu.name == name]
        if found:
            try:
                others[particle] = _component("aeff", found[0])
            except _UnusableError as error:
                problems[name] = str(error)
    return IRFFile(path, hdus, components, problems, others)


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


class _UnusableError(Exception):
    """A component can't be used; the text says why."""


def _read_hdus(path, where):
    def refuse(reason):
        return InputError(f"{path}: {reason}", where=where, allowed="a complete FITS file")

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise refuse("does not exist") from None
    except OSError as error:
        raise refuse(error.strerror) from None
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise refuse(f"truncated or corrupt gzip file ({error})") from None
    if not data.startswith(b"SIMPLE  ="):
        raise refuse("not a FITS file")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            hdus = fits.open(io.BytesIO(data), checksum=True, lazy_load_hdus=False)
            for hdu in hdus:
                info = hdu.fileinfo()
                if info["datLoc"] + info["datSpan"] > len(data):
                    raise refuse(f"truncated in HDU {hdu.name!r}")
                hdu.verify("exception")
                _ = hdu.data
        except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as error:
            raise refuse(f"corrupt FITS file ({_one_line(error)})") from None
    for warning in caught:
        text = str(warning.message)
        if "truncated" in text or "verification failed" in text or "Error validating" in text:
            raise refuse(f"truncated or corrupt FITS file ({_one_line(text)})")
    return hdus


def _one_line(error):
    return " ".join(str(error).split())[:200] or type(error).__name__


def _find(kind, tables):
    """Find the HDU of a component: by its class, and by name where a class appears repeatedly."""
    classes, names = KINDS[kind]
    found = [hdu for hdu in tables if hdu.header.get("HDUCLAS2") in classes]
    if len(found) > 1:
        found = [hdu for hdu in found if hdu.name in names]
    if len(found) == 1:
        return found[0]
    wanted = f"HDUCLAS2 = {classes[0]}"
    present = ", ".join(hdu.name or "(unnamed)" for hdu in tables) or "no tables"
    if not found:
        raise _UnusableError(f"no HDU with {wanted}, named {names[0]!r}; the file has: {present}")
    raise _UnusableError(f"{len(found)} HDUs with {wanted} and the same name {found[0].name!r}")


def _component(kind, hdu):
    model = hdu.header.get("HDUCLAS4", "")
    if model not in AXES:
        known = ", ".join(name for name in AXES if name.startswith(kind.upper()))
        raise _UnusableError(f"HDU {hdu.name!r} has HDUCLAS4 = {model!r}; allowed: {known}")
    if len(hdu.data) != 1:
        raise _UnusableError(f"HDU {hdu.name!r} has {len(hdu.data)} rows in place of 1")
    edges, gaps = {}, []
    for axis in AXES[model]:
        low, high = (
            np.atleast_1d(_column(hdu, f"{axis}_{end}", AXIS_UNITS.get(axis)))
            for end in ("LO", "HI")
        )
        if low.ndim != 1 or low.shape != high.shape or low.size == 0:
            raise _UnusableError(f"HDU {hdu.name!r}: columns {axis}_LO and {axis}_HI do not match")
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
            raise _UnusableError(
                f"HDU {hdu.name!r}: column {name} has shape {array.shape}, its axes {shape}"
            )
        values[name] = array
    return Component(kind, hdu, edges, values, tuple(gaps))


def _column(hdu, name, unit):
    if name not in hdu.columns.names:
        raise _UnusableError(f"HDU {hdu.name!r} has no column {name}")
    array = np.array(hdu.data[name][0], dtype=float)
    stored = hdu.columns[name].unit
    try:
        return (array * u.Unit(stored or "")).to_value(u.Unit(unit or ""))
    except (u.UnitConversionError, ValueError, TypeError):
        raise _UnusableError(
            f"HDU {hdu.name!r}: column {name} has unit {stored!r}, which is not convertible to "
            f"{unit or 'a number'}"
        ) from None
