"""Checks of the pointing and of the IRF's validity for it."""

import numpy as np

from ctabatch.checks import Failed
from ctabatch.dl3.verification.subject import Subject


def pointing(subject: Subject):
    """The pointing is above the horizon's limit, constant, that of DL0, and the events are near it."""
    limits = subject.limits
    ra, dec = subject.card("RA_PNT"), subject.card("DEC_PNT")
    altitude = subject.card("ALT_PNT")
    if 90 - altitude > limits.zenith:
        raise Failed(
            f"zenith angle {90 - altitude:.2f} deg is above {limits.zenith:g} deg",
            zenith_deg=90 - altitude,
        )
    table = subject.table("POINTING")
    for name in ("TIME", "RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT"):
        if name not in table.columns.names:
            raise Failed(f"POINTING has no column {name}")
    followed = {name: np.asarray(table.data[name], float) for name in table.columns.names}
    if len(table.data) < 2 or not all(np.isfinite(values).all() for values in followed.values()):
        raise Failed("POINTING has less than two rows, or values that are no numbers")
    away = _distance(followed["RA_PNT"], followed["DEC_PNT"], ra, dec).max()
    if away > limits.pointing:
        raise Failed(f"POINTING leaves RA_PNT, DEC_PNT by {away:.3f} deg")
    if (90 - followed["ALT_PNT"]).max() > limits.zenith:
        raise Failed(f"POINTING goes beyond a zenith angle of {limits.zenith:g} deg")
    spread = np.ptp(followed["ALT_PNT"])
    if abs(np.mean(followed["ALT_PNT"]) - altitude) > max(1.0, spread):
        raise Failed(
            f"ALT_PNT is {altitude:.2f} deg, the mean of POINTING "
            f"{np.mean(followed['ALT_PNT']):.2f} deg"
        )
    if subject.observation is not None:
        known = subject.observation
        away = float(_distance(known.ra, known.dec, ra, dec))
        if away > limits.pointing:
            raise Failed(f"RA_PNT, DEC_PNT are {away:.3f} deg from the pointing that DL0 states")
    farthest = _distance(subject.column("RA"), subject.column("DEC"), ra, dec).max(initial=0.0)
    if farthest > limits.field:
        raise Failed(f"an event is {farthest:.2f} deg from the pointing")
    return (
        f"zenith angle {90 - altitude:.2f} deg, events within {farthest:.2f} deg of the pointing",
        {"zenith_deg": 90 - altitude},
    )


def coordinates(subject: Subject):
    """Right ascension and declination follow from altitude, azimuth, time and place."""
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord
    from astropy.time import Time

    from ctabatch.checks import Skipped
    from ctabatch.sky import earth_orientation

    if "ALT" not in subject.table("EVENTS").columns.names:
        raise Skipped("the events have no altitude")
    system = str(subject.header.get("TIMESYS", "")).lower()
    reference = (subject.card("MJDREFI"), subject.card("MJDREFF"))
    number = len(subject.time)
    some = np.unique(np.linspace(0, max(number - 1, 0), min(number, 200)).astype(int))
    time = Time(reference[0], reference[1] + subject.time[some] / 86400, format="mjd", scale=system)
    place = EarthLocation.from_geodetic(
        lon=subject.card("GEOLON"), lat=subject.card("GEOLAT"), height=subject.card("ALTITUDE")
    )
    with earth_orientation():
        found = SkyCoord(
            subject.column("AZ")[some],
            subject.column("ALT")[some],
            unit="deg",
            frame=AltAz(obstime=time, location=place),
        ).icrs
    away = _distance(
        found.ra.deg, found.dec.deg, subject.column("RA")[some], subject.column("DEC")[some]
    ).max(initial=0.0)
    if away > 1 / 3600:
        raise Failed(f"RA, DEC are {away * 3600:.1f} arcsec from ALT, AZ at the event's time")
    return f"{len(some)} events agree within {away * 3600:.2g} arcsec", {}


def irf_validity(subject: Subject):
    """The IRF was made for the site and about the direction of the observation."""
    header, limits = subject.hdus[0].header, subject.limits
    stated = {}
    for key in ("IRFZEN", "IRFAZ"):
        value = header.get(key)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise Failed(f"the file does not say for which direction its IRF is made: no {key}")
        stated[key] = float(value)
    zenith, azimuth = 90 - subject.card("ALT_PNT"), subject.card("AZ_PNT")
    apart = abs(stated["IRFZEN"] - zenith)
    if apart > limits.irf_zenith:
        raise Failed(
            f"IRF for zenith {stated['IRFZEN']:g} deg, observed at {zenith:.2f} deg: more than "
            f"{limits.irf_zenith:g} deg apart",
            difference_deg=apart,
        )
    turned = abs((stated["IRFAZ"] - azimuth + 180) % 360 - 180)
    # Near the zenith the azimuth means nothing.
    near = max(stated["IRFZEN"], zenith) < limits.irf_zenith
    if turned > limits.irf_azimuth and not near:
        raise Failed(
            f"IRF for azimuth {stated['IRFAZ']:g} deg, observed at {azimuth:.2f} deg: more than "
            f"{limits.irf_azimuth:g} deg apart",
            difference_deg=turned,
        )
    site, place = header.get("IRFSITE"), subject.header.get("INSTRUME")
    if site is not None and site != place:
        raise Failed(f"IRF of {site}, observed at {place}")
    return (
        f"IRF for zenith {stated['IRFZEN']:g} deg and azimuth {stated['IRFAZ']:g} deg, observed at "
        f"{zenith:.2f} and {azimuth:.2f} deg",
        {"zenith_difference_deg": apart, "azimuth_difference_deg": turned},
    )


def irf_values(subject: Subject):
    """The response is complete: finite, not negative, and the effective area is above zero."""
    from ctabatch.irf.reading import KINDS, TITLES, open_irf

    irf = open_irf(subject.path)
    for kind in KINDS:
        if kind not in irf.components:
            raise Failed(f"{TITLES[kind]}: {irf.problems.get(kind, 'is absent')}")
        for name, values in irf.components[kind].values.items():
            if not np.isfinite(values).all() or (values < 0).any():
                raise Failed(f"{TITLES[kind]}: {name} has values that are negative or no numbers")
    area = next(iter(irf.components["aeff"].values.values()))
    if area.max() <= 0:
        raise Failed("the effective area is zero everywhere")
    return "effective area, energy dispersion, PSF and background are usable", {}


def _distance(ra1, dec1, ra2, dec2):
    """Angle between positions, all in deg."""
    from astropy.coordinates import angular_separation

    radians = [np.radians(np.asarray(item, float)) for item in (ra1, dec1, ra2, dec2)]
    return np.degrees(angular_separation(*radians))
