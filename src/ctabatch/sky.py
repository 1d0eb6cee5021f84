"""Positions on the sky and in the horizontal frame: Earth orientation, tracking."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

#: Steps between which a track is interpolated, s: the error is below 0.001 arcsec.
TRACK_STEP = 1.0


@contextmanager
def earth_orientation() -> Iterator[None]:
    """Transform coordinates with the Earth orientation tables that are installed, fast.

    Nothing is fetched, so that workers without a network get the same result as others. Beyond the
    end of the tables (about a year ahead) UT1 is taken as UTC: at most 15 arcsec. Quantities that
    change slowly are interpolated between times 5 minutes apart, which costs less than 1 mas.
    """
    import astropy.units as u
    from astropy.coordinates import erfa_astrom
    from astropy.utils import iers

    interpolator = erfa_astrom.ErfaAstromInterpolator(300 * u.s)
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("auto_max_age", None),
        iers.conf.set_temp("iers_degraded_accuracy", "warn"),
        erfa_astrom.erfa_astrom.set(interpolator),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=".*dubious year.*")
        yield


class Track:
    """Direction of a fixed position of the sky, followed in time.

    Parameters
    ----------
    ra, dec : float
        Position, ICRS, deg.
    location : astropy.coordinates.EarthLocation
        Where it is seen from.
    start : astropy.time.Time
        Time 0 of the track.
    duration : float
        Length of the track, s.
    """

    def __init__(self, ra, dec, location, start, duration):
        import astropy.units as u
        from astropy.coordinates import AltAz, SkyCoord

        steps = max(2, int(np.ceil(duration / TRACK_STEP)) + 1)
        self.seconds = np.linspace(0, duration, steps)
        with earth_orientation():
            frame = AltAz(obstime=start + self.seconds * u.s, location=location)
            seen = SkyCoord(ra, dec, unit="deg", frame="icrs").transform_to(frame)
        self._altitude = seen.alt.rad
        # No jump from 360 to 0 deg between two steps.
        self._azimuth = np.unwrap(seen.az.rad)

    def at(self, seconds):
        """Return altitude and azimuth (0 to 2 pi), rad, at times from the start in s."""
        altitude = np.interp(seconds, self.seconds, self._altitude)
        azimuth = np.interp(seconds, self.seconds, self._azimuth)
        return altitude, azimuth % (2 * np.pi)

    def mean(self):
        """Return the mean altitude and azimuth (0 to 2 pi) of the track, rad."""
        return float(self._altitude.mean()), float(self._azimuth.mean() % (2 * np.pi))
