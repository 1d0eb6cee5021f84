"""What a check of a DL3 file looks at: its HDUs, and what is known about the observation."""

import gzip
import hashlib
import io
import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits

from ctabatch.checks import Failed, Skipped
from ctabatch.config.matching import MatchingSettings
from ctabatch.dl3.observation import Observation
from ctabatch.errors import InputError

#: IRF and observation may be as far apart as when the IRF was chosen.
_MATCHING = MatchingSettings()


@dataclass(frozen=True)
class Limits:
    """Largest differences and angles that a DL3 file may have."""

    zenith: float = 65.0  #: largest mean zenith angle of the pointing, deg
    pointing: float = 0.1  #: largest distance between header and POINTING table or DL0, deg
    field: float = 10.0  #: largest distance of an event from the pointing, deg
    irf_zenith: float = _MATCHING.zenith.to_value("deg")  #: difference of IRF and observation, deg
    irf_azimuth: float = _MATCHING.azimuth.to_value("deg")  #: difference in azimuth, deg


@dataclass(frozen=True)
class Subject:
    """One DL3 file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    hdus : astropy.io.fits.HDUList
        All HDUs, in memory.
    sha256 : str
        Digest of the bytes.
    faults : tuple of str
        What astropy said about checksums when it read the file.
    observation : Observation or None
        What DL0 says; without it the checks that need it are skipped.
    limits : Limits
        Largest differences.
    """

    path: Path
    hdus: fits.HDUList
    sha256: str
    faults: tuple
    observation: Observation | None
    limits: Limits

    def table(self, class1: str) -> fits.BinTableHDU:
        """Return the table of a class, or skip the check where it is absent."""
        found = [h for h in self.hdus if h.header.get("HDUCLAS1", "").strip() == class1]
        # Files of the data challenge have GTIs by name only.
        found = found or [h for h in self.hdus if h.name == class1]
        if not found or not isinstance(found[0], fits.BinTableHDU):
            raise Skipped(f"no {class1} table, see check 'components'")
        return found[0]

    @property
    def header(self):
        """Header of the events."""
        return self.table("EVENTS").header

    def card(self, key: str, kind=float):
        """Return a card of the events' header; fails the check where it is absent or no number."""
        value = self.header.get(key)
        if value is None:
            raise Failed(f"the events' header has no {key}")
        try:
            value = kind(value)
        except (TypeError, ValueError):
            raise Failed(f"{key} = {value!r} is no number") from None
        if kind is float and not np.isfinite(value):
            raise Failed(f"{key} = {value} is not finite")
        return value

    def column(self, name: str) -> np.ndarray:
        """Return a column of the events as native array; fails the check where it is absent."""
        return self._column(self.table("EVENTS"), name)

    def _column(self, hdu, name):
        if name not in hdu.columns.names:
            raise Failed(f"{hdu.name} has no column {name}")
        values = np.asarray(hdu.data[name])
        return values.astype(values.dtype.newbyteorder("="))

    @cached_property
    def time(self) -> np.ndarray:
        """Times of the events from the reference time, s."""
        return self.column("TIME")

    @cached_property
    def gti(self) -> np.ndarray:
        """Good time intervals from the reference time, s, shape (n, 2)."""
        hdu = self.table("GTI")
        events = self.header
        for key in ("MJDREFI", "MJDREFF", "TIMESYS"):
            if hdu.header.get(key) != events.get(key):
                raise Failed(
                    f"{key} of GTI is {hdu.header.get(key)!r}, of the events {events.get(key)!r}"
                )
        intervals = np.stack([self._column(hdu, "START"), self._column(hdu, "STOP")], axis=1)
        if len(intervals) == 0:
            raise Failed("GTI has no row")
        if not np.isfinite(intervals).all() or (intervals[:, 0] >= intervals[:, 1]).any():
            raise Failed("GTI has an interval that does not end after it starts")
        if (intervals[1:, 0] < intervals[:-1, 1]).any():
            raise Failed("GTI has intervals that overlap or are out of order")
        return intervals

    def known(self) -> Observation:
        """Return what DL0 says, or skip the check."""
        if self.observation is None:
            raise Skipped("no metadata of the observation (--observation)")
        return self.observation


def read_subject(path: Path, observation: Observation | None, limits: Limits) -> Subject:
    """Read a DL3 file completely.

    Raises
    ------
    ctabatch.errors.InputError
        The file is absent, truncated or not FITS.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"truncated or corrupt gzip file ({error})", str(path)) from None
    if not data.startswith(b"SIMPLE  ="):
        raise InputError("not a FITS file", str(path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            hdus = fits.open(io.BytesIO(data), checksum=True, lazy_load_hdus=False)
            for hdu in hdus:
                info = hdu.fileinfo()
                if info["datLoc"] + info["datSpan"] > len(data):
                    raise InputError(f"truncated in HDU {hdu.name!r}", str(path))
                _ = hdu.data
        except (OSError, ValueError, TypeError, KeyError, IndexError, fits.VerifyError) as error:
            text = " ".join(str(error).split())[:200]
            raise InputError(f"corrupt FITS file ({text})", str(path)) from None
    texts = [" ".join(str(warning.message).split()) for warning in caught]
    faults = tuple(text for text in texts if "erification failed" in text)
    truncated = next((text for text in texts if "truncated" in text.lower()), None)
    if truncated:
        raise InputError(f"truncated FITS file ({truncated})", str(path))
    return Subject(Path(path), hdus, sha256, faults, observation, limits)
