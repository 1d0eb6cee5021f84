"""What the YAML files of ``config/conditions`` hold, and what a look-up returns."""

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from ctabatch.config.base import Day, Note, Section, shorten
from ctabatch.config.irf import Name, Version, parse_interval
from ctabatch.simulation.card import AtmosphereCard

#: Where a number comes from: ``published`` as it stands in the source; ``derived`` from the source
#: by the method given; ``illustrative`` where there is no published number.
Status = Literal["published", "derived", "illustrative"]

Factor = Annotated[float, Field(strict=True, gt=0, le=100)]
TelescopeClass = Literal["LST", "MST", "SST"]


def _interval(value: Any) -> tuple[datetime, datetime]:
    if isinstance(value, tuple):
        return value
    found = parse_interval(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{shorten(value)} is no ISO interval such as '2026-01-01/2026-07-01'")
    return found


def interval_text(start: datetime, end: datetime) -> str:
    """Write an interval as in the YAML files, days without the time of day."""
    return "/".join(
        item.date().isoformat() if item == datetime(*item.timetuple()[:3]) else item.isoformat()
        for item in (start, end)
    )


#: ISO interval in UTC; the start belongs to it, the end does not.
Interval = Annotated[
    tuple[datetime, datetime],
    BeforeValidator(_interval),
    PlainSerializer(lambda item: interval_text(*item), return_type=str),
]


class Atmosphere(Section):
    """A named atmosphere."""

    description: Note
    """What it stands for."""
    status: Status
    """Whether the numbers are published, derived or illustrative."""
    source: Note
    """Where the numbers come from."""
    parameters: AtmosphereCard
    """Density profile and extinction, as the run card of the simulator takes them."""


class Validity(Section):
    """What held at a site during an interval."""

    interval: Interval
    """From when (included) to when (excluded), UTC."""
    atmosphere: Name
    """Name of the atmosphere."""
    nsb: dict[Name, Factor]
    """Level -> night-sky background relative to the dark sky that the simulator is set up for."""
    telescopes_unavailable: tuple[Annotated[int, Field(strict=True, ge=1, le=32767)], ...] = ()
    """Ids of the telescopes that did not take part."""
    optical_throughput: dict[TelescopeClass, Factor]
    """Light that reaches the photon counters relative to the design, by class of telescope."""
    status: Status
    """Whether the numbers are published, derived or illustrative."""
    source: Note
    """Where the numbers come from."""


class ConditionsVersion(Section):
    """One version of the conditions of a site; what is released is not changed any more."""

    version: Version
    """Name of the version."""
    released: Day
    """Day of the release; of several versions the newest is the default."""
    description: Note
    """What is new."""
    validity: Annotated[tuple[Validity, ...], Field(min_length=1)]
    """Conditions by time; intervals must not overlap, and may leave gaps."""

    @model_validator(mode="after")
    def _no_overlap(self):
        ordered = sorted(self.validity, key=lambda item: item.interval)
        for first, second in pairwise(ordered):
            if second.interval[0] < first.interval[1]:
                raise ValueError(
                    f"{interval_text(*first.interval)} and {interval_text(*second.interval)} of "
                    f"version {self.version!r} overlap"
                )
        return self


class SiteFile(Section):
    """A file with the conditions of one site."""

    site: Name
    """Name of the site."""
    periods: dict[Name, Interval] = Field(default_factory=dict)
    """Names for intervals, which requests may use."""
    versions: Annotated[tuple[ConditionsVersion, ...], Field(min_length=1)]
    """Versions of the conditions."""

    @model_validator(mode="after")
    def _distinct(self):
        for what in ("version", "released"):
            values = [str(getattr(item, what)) for item in self.versions]
            double = next((item for item in values if values.count(item) > 1), None)
            if double:
                raise ValueError(f"two versions have the same {what} ({double})")
        return self


class AtmosphereFile(Section):
    """A file with named atmospheres."""

    atmospheres: Annotated[dict[Name, Atmosphere], Field(min_length=1)]
    """Atmospheres by name."""


class PeriodFile(Section):
    """A file with names of intervals that hold for all sites."""

    periods: Annotated[dict[Name, Interval], Field(min_length=1)]
    """Intervals by name."""


class Conditions(Section):
    """The conditions of a site that hold for a request."""

    site: str
    """Name of the site."""
    start: datetime
    """Start of the requested interval, UTC."""
    end: datetime
    """End of the requested interval, UTC, excluded."""
    valid_from: datetime
    """Start of the interval for which the conditions hold, UTC."""
    valid_to: datetime
    """End of the interval for which the conditions hold, UTC, excluded."""
    version: str
    """Version of the conditions."""
    atmosphere: str
    """Name of the atmosphere."""
    nsb: dict[str, float]
    """Level -> night-sky background relative to a dark sky."""
    telescopes_unavailable: tuple[int, ...]
    """Ids of telescopes that did not take part, ascending."""
    optical_throughput: dict[str, float]
    """``LST``, ``MST``, ``SST`` -> light relative to the design."""
    status: Status
    """Whether the numbers are published, derived or illustrative."""
    source: str
    """Where the numbers come from."""
