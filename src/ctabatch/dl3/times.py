"""Reference time of DL3 files."""

import numpy as np

#: Times in DL3 files count from J2000.0 (TT), as in CTAO's data challenges. A double holds them to
#: 0.12 us in 2026.
MJDREFI, MJDREFF, TIMESYS = 51544, 0.5, "tt"

#: Cards that define the times of a table.
TIME_CARDS = {
    "MJDREFI": (MJDREFI, "[d] integer part of the reference time"),
    "MJDREFF": (MJDREFF, "[d] fractional part of the reference time"),
    "TIMEUNIT": ("s", "unit of times"),
    "TIMESYS": (TIMESYS.upper(), "time scale"),
    "TIMEREF": ("LOCAL", "where times are measured"),
}


def to_seconds(time) -> np.ndarray:
    """Convert times to seconds since the reference time.

    Parameters
    ----------
    time : astropy.time.Time or datetime.datetime or sequence of datetime.datetime
        Any scale; `datetime` counts as UTC.
    """
    from astropy.time import Time

    if not isinstance(time, Time):
        time = Time(time, scale="utc")
    moment = getattr(time, TIMESYS)
    # Both parts apart: their sum has no bits left for the fraction of a second.
    return ((moment.jd1 - 2400000.5 - MJDREFI) + (moment.jd2 - MJDREFF)) * 86400.0


def from_seconds(seconds):
    """Convert seconds since the reference time to `astropy.time.Time`."""
    from astropy.time import Time

    seconds = np.asarray(seconds, float)
    return Time(MJDREFI, MJDREFF + seconds / 86400, format="mjd", scale=TIMESYS)
