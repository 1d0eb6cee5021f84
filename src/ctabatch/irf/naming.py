"""Names of IRF products, after the scheme of the published CTAO files.

Published example: ``Prod6-CTAO-North-20deg-SouthAz-4LSTs09MSTs-dark-180000s-v1.0.fits.gz``.
"""

from collections import Counter

import astropy.units as u

_AZIMUTH = {0: "NorthAz", 90: "EastAz", 180: "SouthAz", 270: "WestAz"}


def telescopes_name(types: list[str]) -> str:
    """Count telescopes by type, as in published names: ``4LSTs09MSTs``, ``14MSTs37SSTs``."""
    counts = Counter(types)
    present = [kind for kind in ("LST", "MST", "SST") if counts[kind]]
    return "".join(
        f"{counts[kind]:02d}{kind}s" if position else f"{counts[kind]}{kind}s"
        for position, kind in enumerate(present)
    )


def azimuth_name(azimuth: u.Quantity) -> str:
    """Name an azimuth: ``SouthAz`` for 180 deg, ``045Az`` where there is no word for it."""
    degrees = azimuth.to_value("deg") % 360
    return _AZIMUTH.get(round(degrees, 3), f"{degrees:03.0f}Az")


def product_name(request, types: list[str], variant: str = "nominal") -> str:
    """Name the product of a request, without suffix.

    Parameters
    ----------
    request : ctabatch.config.irf.IRFRequest
        The request.
    types : list of str
        Type of each telescope that takes part.
    variant : str
        Name of the systematic variation.
    """
    zenith = f"{request.pointing.zenith.to_value('deg'):g}deg".replace(".", "p")
    parts = [
        request.product.production,
        request.site,
        zenith,
        azimuth_name(request.pointing.azimuth),
        telescopes_name(types),
        request.nsb,
        f"{request.observation_time.to_value('s'):.0f}s",
        request.product.version,
    ]
    if variant != "nominal":
        parts.insert(-1, variant)
    return "-".join(parts)
