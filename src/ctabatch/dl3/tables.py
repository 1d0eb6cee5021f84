"""HDUs of an observation: EVENTS, GTI and POINTING, with the cards that GADF 0.2 asks for."""

from datetime import timedelta

import numpy as np
from astropy.io import fits

from ctabatch import __version__
from ctabatch.dl3.times import TIME_CARDS, from_seconds, to_seconds
from ctabatch.sky import earth_orientation

HDUDOC = "https://github.com/open-gamma-ray-astro/gamma-astro-data-formats"
HDUVERS = "0.2"

#: Rows of the POINTING table are this far apart, s.
POINTING_STEP = 10.0

# column of GADF: column of `reading.COLUMNS`, format, unit
_EVENT_COLUMNS = {
    "EVENT_ID": ("event_id", "K", None),
    "TIME": ("time", "D", "s"),
    "RA": ("ra", "D", "deg"),
    "DEC": ("dec", "D", "deg"),
    "ENERGY": ("energy", "D", "TeV"),
    "MULTIP": ("multiplicity", "I", None),
    "ALT": ("alt", "D", "deg"),
    "AZ": ("az", "D", "deg"),
    "GAMMANESS": ("gammaness", "D", None),
}


def gadf_cards(class1: str) -> dict:
    """Return the cards by which GADF recognises a table."""
    return {
        "HDUCLASS": ("GADF", "format"),
        "HDUDOC": (HDUDOC, "description of the format"),
        "HDUVERS": (HDUVERS, "version of the format"),
        "HDUCLAS1": (class1, "kind of table"),
    }


def location_cards(location) -> dict:
    """Return the cards of the array's position; altitude in m, as Gammapy reads it."""
    return {
        "GEOLON": (location.lon.deg, "[deg] longitude, east positive"),
        "GEOLAT": (location.lat.deg, "[deg] latitude"),
        "ALTITUDE": (location.height.to_value("m"), "[m] above sea level"),
    }


def events_hdu(events, observation, livetime: float, facility: str) -> fits.BinTableHDU:
    """Make the event list.

    Parameters
    ----------
    events : ctabatch.dl3.reading.Events
        Selected events.
    observation : ctabatch.dl3.observation.Observation
        The observation.
    livetime : float
        Ontime without dead time, s.
    facility : str
        ``CTAO``, or ``Simulated-CTAO``.
    """
    columns = [
        fits.Column(name, form, unit, array=events.columns[key])
        for name, (key, form, unit) in _EVENT_COLUMNS.items()
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="EVENTS")
    start, stop = to_seconds([observation.start, observation.end])
    ontime = observation.ontime
    cards = gadf_cards("EVENTS") | {
        "OBS_ID": (observation.obs_id, "observation"),
        **TIME_CARDS,
        "TSTART": (start, "[s] start, from the reference time"),
        "TSTOP": (stop, "[s] end, from the reference time"),
        "DATE-OBS": (observation.start.date().isoformat(), "start, UTC"),
        "TIME-OBS": (observation.start.strftime("%H:%M:%S"), "start, UTC"),
        "DATE-END": (observation.end.date().isoformat(), "end, UTC"),
        "TIME-END": (observation.end.strftime("%H:%M:%S"), "end, UTC"),
        "ONTIME": (ontime, "[s] sum of the good time intervals"),
        "LIVETIME": (livetime, "[s] ontime without dead time"),
        "DEADC": (livetime / ontime if ontime else 0.0, "livetime / ontime"),
        "OBJECT": (observation.object, "what was observed"),
        "OBS_MODE": ("POINTING", "the pointing is fixed on the sky"),
        "RA_PNT": (observation.ra, "[deg] pointing, ICRS"),
        "DEC_PNT": (observation.dec, "[deg] pointing, ICRS"),
        "ALT_PNT": (90 - observation.zenith, "[deg] mean altitude of the pointing"),
        "AZ_PNT": (observation.azimuth, "[deg] mean azimuth of the pointing"),
        "RADECSYS": ("ICRS", "frame of the coordinates"),
        "EQUINOX": (2000.0, "equinox of the coordinates"),
        "ORIGIN": ("CTAO" if facility == "CTAO" else "ctabatch", "who made the data"),
        "TELESCOP": (facility, "observatory"),
        "INSTRUME": (observation.site, "array"),
        "SUBARRAY": (observation.subarray, "layout of the telescopes"),
        "CREATOR": (f"ctabatch {__version__}", "program that wrote the table"),
        "N_TELS": (len(events.tel_ids), "telescopes"),
        "TELLIST": (",".join(map(str, events.tel_ids)), "ids of the telescopes"),
        "NTRIG": (events.triggers, "events before selection"),
        **location_cards(events.location),
    }
    if observation.target is not None:
        cards["RA_OBJ"] = (observation.target[0], "[deg] the object, ICRS")
        cards["DEC_OBJ"] = (observation.target[1], "[deg] the object, ICRS")
    _update(hdu, cards)
    return hdu


def gti_hdu(observation, location) -> fits.BinTableHDU:
    """Make the table of good time intervals."""
    start = to_seconds([first for first, _ in observation.gti])
    stop = to_seconds([last for _, last in observation.gti])
    columns = [
        fits.Column("START", "D", "s", array=start),
        fits.Column("STOP", "D", "s", array=stop),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="GTI")
    _update(hdu, gadf_cards("GTI") | TIME_CARDS | location_cards(location))
    return hdu


def pointing_hdu(observation, location) -> fits.BinTableHDU:
    """Make the table of the pointing: fixed on the sky, its altitude and azimuth followed in time."""
    times = []
    for first, last in observation.gti:
        length = (last - first).total_seconds()
        steps = np.linspace(0, length, max(2, int(np.ceil(length / POINTING_STEP)) + 1))
        times += [first + timedelta(seconds=float(step)) for step in steps]
    seconds = to_seconds(times)
    altitude, azimuth = horizontal(observation.ra, observation.dec, seconds, location)
    columns = [
        fits.Column("TIME", "D", "s", array=seconds),
        fits.Column("RA_PNT", "D", "deg", array=np.full(len(seconds), observation.ra)),
        fits.Column("DEC_PNT", "D", "deg", array=np.full(len(seconds), observation.dec)),
        fits.Column("ALT_PNT", "D", "deg", array=altitude),
        fits.Column("AZ_PNT", "D", "deg", array=azimuth),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="POINTING")
    _update(hdu, gadf_cards("POINTING") | TIME_CARDS | location_cards(location))
    return hdu


def horizontal(ra: float, dec: float, seconds, location):
    """Altitude and azimuth (deg) of a position (deg, ICRS) at times from the reference time (s)."""
    from astropy.coordinates import AltAz, SkyCoord

    with earth_orientation():
        frame = AltAz(obstime=from_seconds(seconds), location=location)
        found = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame)
    return found.alt.deg, found.az.deg


def _update(hdu, cards):
    for key, (value, comment) in cards.items():
        hdu.header[key] = (value, comment)
