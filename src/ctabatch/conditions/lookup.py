"""Look up the conditions of a site for a period."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import Engine, Row, select

from ctabatch.conditions.database import call, open_database
from ctabatch.conditions.model import Atmosphere, Conditions, interval_text
from ctabatch.conditions.tables import atmospheres, periods, validity, versions
from ctabatch.config.base import shorten
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.config.irf import parse_interval
from ctabatch.errors import BatchError, InputError
from ctabatch.simulation.card import AtmosphereCard


@dataclass(frozen=True)
class Period:
    """A name for an interval (UTC, end excluded); `site` is empty where it holds for all sites."""

    site: str
    name: str
    start: datetime
    end: datetime

    def __str__(self):
        return f"{self.name} ({interval_text(self.start, self.end)})"


def lookup_conditions(
    settings: ConditionsSettings,
    site: str,
    period: str,
    version: str | None = None,
    *,
    where: str = "irf",
) -> Conditions:
    """Find the conditions that held at a site during all of a period.

    Parameters
    ----------
    settings : ctabatch.config.conditions.ConditionsSettings
        Where the database is.
    site : str
        Name of the site, such as ``CTAO-North``.
    period : str
        ISO interval in UTC, or the name of a period of the database.
    version : str, optional
        Version of the conditions; by default that of the settings, else the newest.
    where : str
        Section of `site` and `period`, for messages.

    Returns
    -------
    Conditions
        The conditions, with the version that was used.

    Raises
    ------
    ctabatch.errors.InputError
        Unknown site, version or period; a gap, an overlap, or several conditions in the period.
        The message lists what there is.
    ctabatch.errors.BatchError
        The database can't be reached.
    """
    engine = open_database(settings)
    version = version or settings.version
    release = _version(engine, site, version, where)
    entries = _rows(
        engine,
        select(validity).where(validity.c.version_id == release.id).order_by(validity.c.start),
    )
    start, end = _interval(engine, site, period, entries, where)
    entry = _single(entries, start, end, f"{site}, version {release.version}", f"{where}.period")
    content = dict(entry.content)
    return Conditions(
        site=site,
        start=start,
        end=end,
        valid_from=entry.start,
        valid_to=entry.end,
        version=release.version,
        atmosphere=entry.atmosphere,
        nsb=content["nsb"],
        telescopes_unavailable=sorted(content["telescopes_unavailable"]),
        optical_throughput=content["optical_throughput"],
        status=content["status"],
        source=content["source"],
    )


def lookup_atmosphere(settings: ConditionsSettings, name: str) -> AtmosphereCard:
    """Find the parameters of a named atmosphere, as the simulator's run card takes them.

    Parameters
    ----------
    settings : ctabatch.config.conditions.ConditionsSettings
        Where the database is.
    name : str
        Name of the atmosphere.

    Raises
    ------
    ctabatch.errors.InputError
        Unknown atmosphere; the message lists those that there are.
    """
    return describe_atmosphere(settings, name).parameters


def describe_atmosphere(settings: ConditionsSettings, name: str) -> Atmosphere:
    """Find a named atmosphere with its description, status and source; see `lookup_atmosphere`."""
    engine = open_database(settings)
    rows = _rows(engine, select(atmospheres.c.content).where(atmospheres.c.name == name))
    if not rows:
        known = _rows(engine, select(atmospheres.c.name).order_by(atmospheres.c.name))
        raise InputError(
            f"unknown atmosphere {shorten(name)}",
            "conditions",
            ", ".join(row.name for row in known),
        )
    return Atmosphere.model_validate(rows[0].content)


def list_periods(settings: ConditionsSettings, site: str | None = None) -> list[Period]:
    """List the named periods, of one site or of all, by site and start."""
    return _periods(open_database(settings), site)


def list_conditions(settings: ConditionsSettings, site: str | None = None) -> list[Conditions]:
    """List the conditions of every version, interval and site, by site, version and start."""
    joined = select(validity, versions.c.site, versions.c.version).join(versions)
    if site is not None:
        joined = joined.where(versions.c.site == site)
    ordered = joined.order_by(versions.c.site, versions.c.released, validity.c.start)
    return [
        Conditions(
            site=row.site,
            version=row.version,
            start=row.start,
            end=row.end,
            valid_from=row.start,
            valid_to=row.end,
            **row.content,
        )
        for row in _rows(open_database(settings), ordered)
    ]


def _rows(engine: Engine, query) -> list[Row]:
    def read():
        with engine.connect() as connection:
            return list(connection.execute(query))

    return call(read, engine)


def _version(engine: Engine, site: str, version: str | None, where: str) -> Row:
    columns = select(versions.c.id, versions.c.site, versions.c.version)
    rows = _rows(engine, columns.order_by(versions.c.released.desc()))
    known = [row for row in rows if row.site == site]
    if not known:
        sites = ", ".join(sorted({row.site for row in rows}))
        raise InputError(
            f"there are no conditions of site {shorten(site)}", f"{where}.site", sites or "none"
        )
    if version is None:
        return known[0]
    found = next((row for row in known if row.version == version), None)
    if found is None:
        raise InputError(
            f"{site} has no conditions of version {shorten(version)}",
            "conditions.version",
            ", ".join(row.version for row in known),
        )
    return found


def _periods(engine: Engine, site: str | None = None) -> list[Period]:
    query = select(periods)
    if site is not None:
        query = query.where(periods.c.site.in_(("", site)))
    ordered = query.order_by(periods.c.site, periods.c.start, periods.c.name)
    return [Period(row.site, row.name, row.start, row.end) for row in _rows(engine, ordered)]


def _interval(
    engine: Engine, site: str, period: str, entries, where: str
) -> tuple[datetime, datetime]:
    try:
        interval = parse_interval(period)
    except ValueError as error:
        raise InputError(str(error), f"{where}.period") from None
    if interval is not None:
        return interval
    named = _periods(engine, site)
    for item in named:
        if item.name == period:
            return item.start, item.end
    raise InputError(
        f"{site} has no period {shorten(period)}",
        f"{where}.period",
        f"{', '.join(map(str, named)) or 'no names'}; or an ISO interval within "
        + ", ".join(interval_text(row.start, row.end) for row in entries),
    )


def _single(entries: list[Row], start: datetime, end: datetime, what: str, where: str) -> Row:
    """Find the one entry that covers an interval; `entries` are sorted by start."""
    touched = [row for row in entries if row.start < end and row.end > start]
    wanted = interval_text(start, end)
    there_is = ", ".join(interval_text(row.start, row.end) for row in entries)
    allowed = f"an interval within one of {there_is}"
    for first, second in pairwise(touched):
        if second.start < first.end:
            raise BatchError(
                f"{where}: the conditions of {what} overlap from {second.start.isoformat()}",
                f"the database must be mended; there is: {there_is}",
            )
    gaps, covered = [], start
    for row in touched:
        if row.start > covered:
            gaps.append(interval_text(covered, row.start))
        covered = row.end
    if covered < end:
        gaps.append(interval_text(covered, end))
    if gaps:
        raise InputError(
            f"{wanted} is not covered by the conditions of {what}: there is nothing for "
            + " and ".join(gaps),
            where,
            allowed,
        )
    if len(touched) > 1:
        spanned = ", ".join(interval_text(row.start, row.end) for row in touched)
        raise InputError(
            f"{wanted} spans {len(touched)} conditions of {what} ({spanned}); ask for one product "
            "for each",
            where,
            allowed,
        )
    return touched[0]
