"""Open IRF files: HDUs found by class and name, arrays in natural order, Gammapy objects.

An IRF of ``ctapipe-compute-irf`` holds three effective areas (gamma, proton, electron); published
files differ in HDU names, PSF model and normalisation. What reads an IRF goes through here, so that
these differences are dealt with once.
"""

import gzip
import hashlib
import io
import warnings
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from astropy.io import fits

from ctabatch.errors import InputError
from ctabatch.irf.component import UnusableError, make_component

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


@dataclass(frozen=True)
class IRFFile:
    """An IRF file in memory.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    sha256 : str
        Digest of the file's bytes.
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
    sha256: str
    hdus: fits.HDUList
    components: dict
    problems: dict = field(default_factory=dict)
    other_areas: dict = field(default_factory=dict)

    @property
    def comment(self):
        """Comments of the primary header, in which products state what made them."""
        return "".join(map(str, self.hdus[0].header.get("COMMENT", ())))

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
    hdus, sha256 = _read_hdus(path, where)
    tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU)]
    components, problems = {}, {}
    for kind in KINDS:
        try:
            components[kind] = make_component(kind, _find(kind, tables))
        except UnusableError as error:
            problems[kind] = str(error)
    others = {}
    for particle, name in OTHER_AREAS.items():
        found = [hdu for hdu in tables if hdu.name == name]
        if found:
            try:
                others[particle] = make_component("aeff", found[0])
            except UnusableError as error:
                problems[name] = str(error)
    return IRFFile(path, sha256, hdus, components, problems, others)


def _read_hdus(path, where):
    def refuse(reason):
        return InputError(f"{path}: {reason}", where=where, allowed="a complete FITS file")

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise refuse("does not exist") from None
    except OSError as error:
        raise refuse(error.strerror) from None
    sha256 = hashlib.sha256(data).hexdigest()
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
    return hdus, sha256


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
        raise UnusableError(f"no HDU with {wanted}, named {names[0]!r}; the file has: {present}")
    raise UnusableError(f"{len(found)} HDUs with {wanted} and the same name {found[0].name!r}")
