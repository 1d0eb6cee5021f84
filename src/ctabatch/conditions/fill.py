"""Fill a conditions database from the YAML files of ``config/conditions``."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, insert, select

from ctabatch.conditions.model import Atmosphere, AtmosphereFile, Interval, PeriodFile, SiteFile
from ctabatch.conditions.tables import atmospheres, periods, tables, validity, versions
from ctabatch.config.load import parse_section, read_yaml
from ctabatch.errors import ConflictError, InputError

#: Number of the PostgreSQL advisory lock that lets one process fill at a time.
_LOCK = 0x43544143


@dataclass(frozen=True)
class Content:
    """All that the YAML files hold."""

    sites: dict[str, SiteFile]
    atmospheres: dict[str, Atmosphere]
    periods: dict[str, Interval]


@dataclass
class Filled:
    """What a fill did, as names of atmospheres, periods and versions."""

    added: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)


def read_files(files: Iterable[Path]) -> Content:
    """Read and check the YAML files.

    Raises
    ------
    ctabatch.errors.InputError
        Names file and key of the first mistake.
    """
    sites: dict[str, tuple[Path, SiteFile]] = {}
    found: dict[str, Atmosphere] = {}
    general: dict[str, Interval] = {}
    for path in files:
        content = read_yaml(path)
        if "site" in content:
            item = parse_section(SiteFile, content, str(path))
            if item.site in sites:
                raise InputError(
                    f"{item.site!r} is in {sites[item.site][0].name} already", f"{path}: site"
                )
            sites[item.site] = path, item
        elif "atmospheres" in content:
            new = parse_section(AtmosphereFile, content, str(path)).atmospheres
            _no_doubles(f"{path}: atmospheres", found, new)
            found |= new
        else:
            new = parse_section(PeriodFile, content, str(path)).periods
            _no_doubles(f"{path}: periods", general, new)
            general |= new
    for path, item in sites.values():
        _no_doubles(f"{path}: periods", general, item.periods)
        for i, release in enumerate(item.versions):
            for j, entry in enumerate(release.validity):
                if entry.atmosphere not in found:
                    raise InputError(
                        f"unknown atmosphere {entry.atmosphere!r}",
                        f"{path}: versions.{i}.validity.{j}.atmosphere",
                        ", ".join(sorted(found)) or "none is defined",
                    )
    return Content({name: item for name, (_, item) in sites.items()}, found, general)


def _no_doubles(where: str, known: Iterable[str], new: Iterable[str]) -> None:
    for name in new:
        if name in known:
            raise InputError(f"{name!r} is defined twice", where)


def fill(engine: Engine, content: Content, *, replace: bool = False) -> Filled:
    """Write `content` into a database, in one transaction; what is there already stays.

    Parameters
    ----------
    engine : sqlalchemy.Engine
        The database; tables are made where they are absent.
    content : Content
        What the YAML files hold.
    replace : bool
        Whether a version, atmosphere or period that is there with other content is replaced.

    Raises
    ------
    ctabatch.errors.ConflictError
        Something is there with other content and `replace` is False; nothing is changed.
    """
    done = Filled()
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("begin immediate")
        else:
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")
        tables.create_all(connection)
        for name, item in content.atmospheres.items():
            row = {"name": name, "content": item.model_dump(mode="json")}
            _put(connection, atmospheres, row, ("name",), f"atmosphere {name}", done, replace)
        for site in ("", *content.sites):
            named = content.sites[site].periods if site else content.periods
            for name, (start, end) in named.items():
                row = {"site": site, "name": name, "start": start, "end": end}
                what = f"period {name} of {site or 'all sites'}"
                _put(connection, periods, row, ("site", "name"), what, done, replace)
        for site, item in content.sites.items():
            for release in item.versions:
                _put_version(connection, site, release, done, replace)
        connection.commit()
    return done


def _put_version(connection: Connection, site: str, release, done: Filled, replace: bool) -> None:
    row = {
        "site": site,
        "version": release.version,
        "released": release.released,
        "content": release.model_dump(mode="json"),
    }
    what = f"version {release.version} of {site}"
    if not _put(connection, versions, row, ("site", "version"), what, done, replace):
        return
    number = connection.scalar(
        select(versions.c.id).where(versions.c.site == site, versions.c.version == release.version)
    )
    connection.execute(delete(validity).where(validity.c.version_id == number))
    connection.execute(
        insert(validity),
        [
            {
                "version_id": number,
                "start": entry.interval[0],
                "end": entry.interval[1],
                "atmosphere": entry.atmosphere,
                "content": entry.model_dump(mode="json", exclude={"interval"}),
            }
            for entry in release.validity
        ],
    )


def _put(connection, table, row, keys, what: str, done: Filled, replace: bool) -> bool:
    """Insert `row`, or update it; False if it is there already with the same content."""
    match = [table.c[key] == row[key] for key in keys]
    present = connection.execute(select(table).where(*match)).mappings().first()
    if present is None:
        connection.execute(insert(table).values(row))
        done.added.append(what)
        return True
    if all(present[key] == value for key, value in row.items()):
        done.present.append(what)
        return False
    if not replace:
        raise ConflictError(
            f"{what} is in the database with other content",
            "release the change under a new name or version, or fill with --replace",
        )
    connection.execute(table.update().where(*match).values(row))
    done.replaced.append(what)
    return True
