"""What is known about an observation, from the flat metadata of its DL0 files.

Every DL0 file (a *chunk* of the observation) describes its own time span: ``obs__start``,
``obs__end``, ``obs__ontime_s``, ``obs__livetime_s``, ``obs__triggers``, ``obs__zenith_deg`` and
``obs__azimuth_deg`` are those of the chunk. `combine` makes the observation of them; where a chunk is
absent the observation has a gap, not a longer live time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from ctabatch.errors import InputError
from ctabatch.files import read_json

#: Keys that must be the same in all chunks of an observation.
SAME = (
    "instance__obs_id", "instance__site_id", "instance__subarray_id", "obs__object", "obs__ra_deg",
    "obs__dec_deg", "obs__nsb", "obs__subarray", "obs__chunks", "proposal_id", "release_date",
)  # fmt: skip
#: Shorter gaps between chunks than this are none, s.
NO_GAP = 1e-6
#: Differences of times that count as none, s.
TIME_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Observation:
    """An observation; times are UTC, angles in deg, durations in s."""

    obs_id: int
    site: str
    object: str
    ra: float  #: right ascension of the pointing, ICRS
    dec: float  #: declination of the pointing, ICRS
    start: datetime
    end: datetime
    zenith: float  #: mean zenith angle
    azimuth: float  #: mean azimuth, north over east
    nsb: str  #: level of the night-sky background
    ontime: float
    livetime: float
    subarray: str  #: name of the layout
    gti: tuple[tuple[datetime, datetime], ...]  #: intervals in which data were taken
    triggers: int | None = None  #: events that the telescopes stored
    dead_time: float | None = None  #: dead time after each stored event, s
    target: tuple[float, float] | None = None  #: position of the object, ICRS
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: all flat keys

    @classmethod
    def from_metadata(cls, content: Any, where: str = "observation") -> "Observation":
        """Make an observation of flat metadata.

        Parameters
        ----------
        content : mapping or sequence of mapping
            Metadata of the observation, or of each of its DL0 files.
        where : str
            Where they come from, for messages.

        Raises
        ------
        ctabatch.errors.InputError
            A key is missing or wrong; chunks do not belong together.
        """
        if isinstance(content, Sequence) and not isinstance(content, str):
            content = combine(content, where)
        if not isinstance(content, Mapping):
            raise InputError("is no metadata", where, "an object of flat keys, or a list of them")
        read = _Reader(content, where)
        start, end = read.time("obs__start"), read.time("obs__end")
        if end <= start:
            raise InputError("is not after obs__start", f"{where}: obs__end")
        ontime, livetime = read.number("obs__ontime_s", 0), read.number("obs__livetime_s", 0)
        if livetime > ontime:
            raise InputError(
                f"{livetime:g} s is longer than obs__ontime_s, {ontime:g} s",
                f"{where}: obs__livetime_s",
            )
        gti = _intervals(content.get("obs__gti"), start, end, f"{where}: obs__gti")
        total = sum((b - a).total_seconds() for a, b in gti)
        if abs(total - ontime) > TIME_TOLERANCE:
            raise InputError(
                f"{ontime:g} s is not the length of the time intervals, {total:g} s",
                f"{where}: obs__ontime_s",
            )
        target = None
        if "obs__target_ra_deg" in content:
            target = (
                read.number("obs__target_ra_deg", 0, 360),
                read.number("obs__target_dec_deg", -90, 90),
            )
        return cls(
            obs_id=read.whole("instance__obs_id"),
            site=read.text("instance__site_id"),
            object=read.text("obs__object"),
            ra=read.number("obs__ra_deg", 0, 360),
            dec=read.number("obs__dec_deg", -90, 90),
            start=start,
            end=end,
            zenith=read.number("obs__zenith_deg", 0, 90),
            azimuth=read.number("obs__azimuth_deg", 0, 360),
            nsb=read.text("obs__nsb"),
            ontime=ontime,
            livetime=livetime,
            subarray=read.text("obs__subarray"),
            gti=gti,
            triggers=read.whole("obs__triggers") if "obs__triggers" in content else None,
            dead_time=(
                read.number("obs__dead_time_s", 0, 1) if "obs__dead_time_s" in content else None
            ),
            target=target,
            metadata=dict(content),
        )

    @classmethod
    def read(cls, path: Path) -> "Observation":
        """Read the metadata of an observation, or the list of those of its chunks, from JSON."""
        return cls.from_metadata(read_json(path), str(path))


def combine(chunks: Sequence[Mapping[str, Any]], where: str = "observation") -> dict[str, Any]:
    """Make the flat metadata of an observation of those of its DL0 files.

    Parameters
    ----------
    chunks : sequence of mapping
        Flat metadata of each file, in any order. Chunks may be missing; none may be there twice.
    where : str
        Where they come from, for messages.

    Returns
    -------
    dict
        Keys of the first chunk, with the span, times, triggers and mean direction of all,
        ``obs__gti`` with the intervals in which data were taken, and ``dl0__ids`` with the ids of
        the files.

    Raises
    ------
    ctabatch.errors.InputError
        No chunk, chunks of different observations, a chunk twice or chunks that overlap.
    """
    if not chunks or not all(isinstance(chunk, Mapping) for chunk in chunks):
        raise InputError("holds no metadata of a DL0 file", where, "a list of objects of flat keys")
    readers = [_Reader(chunk, f"{where}[{i}]") for i, chunk in enumerate(chunks)]
    readers.sort(key=lambda reader: reader.time("obs__start"))
    first = readers[0].content
    for reader in readers[1:]:
        for key in SAME:
            if reader.content.get(key) != first.get(key):
                raise InputError(
                    f"is {reader.content.get(key)!r}, and {first.get(key)!r} in another chunk",
                    f"{reader.where}: {key}",
                )
    numbers = [reader.content.get("obs__chunk") for reader in readers]
    double = next((n for n in numbers if n is not None and numbers.count(n) > 1), None)
    if double is not None:
        raise InputError(f"chunk {double} is there twice", f"{where}: obs__chunk")
    spans = [(reader.time("obs__start"), reader.time("obs__end")) for reader in readers]
    gti: list = []
    for begin, end in spans:
        if gti and begin < gti[-1][1]:
            raise InputError(f"the chunk that starts at {begin:%FT%T} overlaps another", where)
        if gti and (begin - gti[-1][1]).total_seconds() < NO_GAP:
            gti[-1] = (gti[-1][0], end)
        else:
            gti.append((begin, end))
    ontimes = [reader.number("obs__ontime_s", 0) for reader in readers]
    total = math.fsum(ontimes)
    result = dict(first) | {
        "obs__start": time_text(spans[0][0]),
        "obs__end": time_text(spans[-1][1]),
        "obs__gti": " ".join(f"{time_text(a)}/{time_text(b)}" for a, b in gti),
        "obs__ontime_s": total,
        "obs__livetime_s": math.fsum(reader.number("obs__livetime_s", 0) for reader in readers),
        "obs__zenith_deg": _mean([r.number("obs__zenith_deg", 0, 90) for r in readers], ontimes),
        "obs__azimuth_deg": _mean_angle(
            [r.number("obs__azimuth_deg", 0, 360) for r in readers], ontimes
        ),
    }
    if all("obs__triggers" in reader.content for reader in readers):
        result["obs__triggers"] = sum(reader.whole("obs__triggers") for reader in readers)
    ids = [str(chunk["instance__id"]) for chunk in chunks if chunk.get("instance__id")]
    if ids:
        result["dl0__ids"] = " ".join(sorted(ids))
    result.pop("instance__id", None)
    result.pop("obs__chunk", None)
    result.pop("instance__chunk_id", None)
    return result


def time_text(moment: datetime) -> str:
    """Write a time as in metadata: ISO 8601, UTC, without a zone."""
    return moment.replace(tzinfo=None).isoformat()


class _Reader:
    """Typed access to flat metadata; every mistake is an `InputError` that names the key."""

    def __init__(self, content, where):
        self.content, self.where = content, where

    def value(self, key):
        if self.content.get(key) is None:
            raise InputError("is missing", f"{self.where}: {key}")
        return self.content[key]

    def text(self, key):
        value = self.value(key)
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"{value!r} is no text", f"{self.where}: {key}")
        return value

    def number(self, key, low=-math.inf, high=math.inf):
        value = self.value(key)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not low <= value <= high:
            raise InputError(
                f"{value!r} is no number in range", f"{self.where}: {key}", f"{low:g} to {high:g}"
            )
        return float(value)

    def whole(self, key):
        value = self.number(key, 0)
        if value != int(value):
            raise InputError(f"{value!r} is not a whole number", f"{self.where}: {key}")
        return int(value)

    def time(self, key):
        return _time(self.text(key), f"{self.where}: {key}")


def _time(text, where):
    try:
        moment = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        raise InputError(
            f"{text!r} is no time", where, "YYYY-MM-DDTHH:MM:SS, which counts as UTC"
        ) from None
    if moment.tzinfo is not None:
        raise InputError(f"{text!r} has a time zone", where, "UTC without a zone")
    return moment.replace(tzinfo=UTC)


def _intervals(text, start, end, where):
    if text is None:
        return ((start, end),)
    found = []
    for item in str(text).split():
        first, slash, last = item.partition("/")
        if not slash:
            raise InputError(f"{item!r} is no interval", where, "START/END separated by blanks")
        found.append((_time(first, where), _time(last, where)))
    ordered = all(a < b for a, b in found)
    apart = all(a[1] <= b[0] for a, b in pairwise(found))
    if not found or not ordered or not apart or found[0][0] != start or found[-1][1] != end:
        raise InputError(
            "are no ascending intervals from obs__start to obs__end", where, "START/END ..."
        )
    return tuple(found)


def _mean(values, weights):
    total = math.fsum(weights)
    if total <= 0:
        return math.fsum(values) / len(values)
    return math.fsum(v * w for v, w in zip(values, weights, strict=True)) / total


def _mean_angle(values, weights):
    sines = [math.sin(math.radians(value)) for value in values]
    cosines = [math.cos(math.radians(value)) for value in values]
    angle = math.degrees(math.atan2(_mean(sines, weights), _mean(cosines, weights)))
    return round(angle % 360, 9)
