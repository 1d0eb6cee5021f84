"""The IRF in a DL3 file: the four components of gamma rays, and what the IRF is valid for."""

from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from ctabatch.errors import InputError
from ctabatch.irf.product import content_digest
from ctabatch.irf.reading import KINDS, TITLES, open_irf

#: Cards of the primary header of a DL3 file <- those of an IRF product, with their meaning.
CARDS = {
    "IRFZEN": ("SIMZEN", "[deg] zenith angle of the IRF"),
    "IRFAZ": ("SIMAZ", "[deg] azimuth of the IRF"),
    "IRFNSB": ("SIMNSB", "NSB of the IRF, relative to a dark sky"),
    "IRFID": ("DATAID", "id of the IRF product"),
    "IRFSITE": ("INSTRUME", "site of the IRF"),
    "IRFREQ": ("REQDIGST", "half of the digest of the IRF's request"),
}


@dataclass(frozen=True)
class Response:
    """An IRF to be put into DL3 files.

    Parameters
    ----------
    path : pathlib.Path
        Where it was read.
    hdus : tuple of astropy.io.fits.BinTableHDU
        Effective area, energy dispersion, PSF and background, in this order.
    cards : dict
        Cards for the primary header.
    digest : str
        SHA-256 over the tables of the whole IRF product, as in its ``irf__content_digest``.
    comment : str
        What the IRF says about itself.
    field : float
        Largest distance from the pointing for which the effective area is known, deg.
    """

    path: Path
    hdus: tuple
    cards: dict
    digest: str
    comment: str
    field: float


def read_response(path: Path) -> Response:
    """Read an IRF; the effective areas of protons and electrons are left out.

    Raises
    ------
    ctabatch.errors.InputError
        The file is unreadable or has not all four components.
    """
    irf = open_irf(path, "--irf")
    for kind in KINDS:
        if kind not in irf.components:
            reason = irf.problems.get(kind, "is absent")
            raise InputError(f"{path}: {TITLES[kind]}: {reason}", "--irf", "a complete IRF")
    named = {hdu.name: hdu for hdu in irf.hdus if isinstance(hdu, fits.BinTableHDU)}
    hdus = tuple(named[irf.components[kind].name] for kind in KINDS)
    header = irf.hdus[0].header
    cards = {
        key: (header[source], comment)
        for key, (source, comment) in CARDS.items()
        if source in header
    }
    cards["IRFFILE"] = (Path(path).name[:68], "name of the IRF product")
    field = float(irf.components["aeff"].edges["THETA"][-1])
    return Response(Path(path), hdus, cards, content_digest(irf.hdus), irf.comment, field)
