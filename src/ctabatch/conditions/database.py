"""The ways to reach the conditions database.

The embedded database is an SQLite file in the user's cache folder whose name holds the digest of
the YAML files that fill it: changed files give another database, and a database is never written
to after it has its name. A shared database (PostgreSQL, or an SQLite file) is filled by an operator
with ``cta-batch conditions fill``.
"""

import hashlib
import logging
import os
import sqlite3
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool
from tenacity import (
    retry,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from ctabatch.conditions.fill import fill, read_files
from ctabatch.conditions.tables import SCHEMA_VERSION, versions
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.errors import BatchError, InputError
from ctabatch.files import replacing

log = logging.getLogger(__name__)

#: Seconds to wait for another process that fills the same SQLite file.
SQLITE_WAIT = 60


def yaml_files(folder: Path) -> list[Path]:
    """List the YAML files of a conditions folder, sorted.

    The default folder is looked for in the working directory, then in the checkout that the package
    is installed from.

    Raises
    ------
    ctabatch.errors.InputError
        There is no such folder, or no YAML file in it.
    """
    folder = Path(folder)
    if not folder.is_dir() and folder == ConditionsSettings().folder:
        folder = Path(__file__).resolve().parents[3] / folder
    files = sorted(folder.glob("*.yaml"))
    if not files:
        problem = "has no YAML files" if folder.is_dir() else "is no folder"
        raise InputError(
            f"{str(folder)!r} {problem}", "conditions.folder", "a folder as config/conditions"
        )
    return files


def files_digest(files: list[Path]) -> str:
    """Digest of the names and bytes of files and of the version of the tables, 16 digits."""
    total = hashlib.sha256(f"tables {SCHEMA_VERSION}".encode())
    for path in files:
        content = path.read_bytes()
        total.update(f"\0{path.name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:16]


def cache_folder() -> Path:
    """Folder of the embedded databases."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("ctabatch"))


def open_database(settings: ConditionsSettings) -> Engine:
    """Open the conditions database for reading.

    Parameters
    ----------
    settings : ctabatch.config.conditions.ConditionsSettings
        Where the database is. Without a URL: the embedded one, made where it is absent.

    Raises
    ------
    ctabatch.errors.InputError
        The YAML files have a mistake, or the URL is wrong.
    ctabatch.errors.BatchError
        The database can't be reached or has no conditions.
    """
    if settings.url is None:
        return _embedded(tuple(yaml_files(settings.folder)))
    engine = connect(settings.url)
    if not call(lambda: inspect(engine).has_table(versions.name), engine):
        raise BatchError(
            f"the database {shown(engine)} has no table of conditions",
            f"fill it with: cta-batch conditions fill --url {shown(engine)}",
        )
    return engine


def connect(url: str, *, create: bool = False) -> Engine:
    """Make the engine of a shared database.

    Parameters
    ----------
    url : str
        ``postgresql://...`` or ``sqlite:///...``.
    create : bool
        Whether a missing SQLite file is to be made.
    """
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError) as error:
        raise InputError(f"is no database URL: {error}", "conditions.url") from None
    if parsed.get_backend_name() == "sqlite":
        path = Path(parsed.database or "")
        if not parsed.database or parsed.database == ":memory:":
            raise InputError("needs the path of a file", "conditions.url", "sqlite:///FILE")
        if not create and not path.is_file():
            raise InputError(f"there is no database file {str(path)!r}", "conditions.url")
        return create_engine(
            f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": SQLITE_WAIT}
        )
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        return create_engine(
            parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10}, pool_size=2
        )
    except ModuleNotFoundError as error:
        raise BatchError(
            f"PostgreSQL needs the Python package {error.name!r}",
            "install ctabatch with its extra 'postgresql'",
        ) from None


def shown(engine: Engine) -> str:
    """Write the URL of an engine as the user gave it, never with a password."""
    return str(engine.url.set(drivername=engine.url.get_backend_name(), password=None))


def _first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, OperationalError) and "authentication" not in str(error.orig)


def _report(state) -> None:
    log.warning(
        "the conditions database does not answer, asking again: %s",
        _first_line(state.outcome.exception()),
    )


@retry(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(4),
    wait=wait_random_exponential(multiplier=0.5, max=5),
    before_sleep=_report,
    reraise=True,
)
def _patiently(action):
    return action()


def call(action, engine: Engine):
    """Run `action`; a database that does not answer is asked again, then a `BatchError`."""
    try:
        return _patiently(action)
    except DBAPIError as error:
        raise BatchError(
            f"the conditions database {shown(engine)} does not answer: {_first_line(error)}",
            "check conditions.url, the server, and the password in PGPASSWORD or ~/.pgpass",
        ) from error


@lru_cache(maxsize=8)
def _embedded_by_digest(digest: str, files: tuple[Path, ...]) -> Engine:
    path = cache_folder() / f"conditions-{digest}.sqlite"
    try:
        if not _intact(path):
            with replacing(path) as temporary:
                fill(create_engine(f"sqlite:///{temporary}", poolclass=NullPool), read_files(files))
    except OSError as error:
        log.warning(
            "%s is not usable (%s): the conditions database is kept in memory", path, error.strerror
        )
        engine = create_engine("sqlite://", poolclass=StaticPool)
        fill(engine, read_files(files))
        return engine
    return create_engine(
        f"sqlite:///file:{_quoted(path)}?mode=ro&immutable=1&uri=true", poolclass=NullPool
    )


def _embedded(files: tuple[Path, ...]) -> Engine:
    return _embedded_by_digest(files_digest(list(files)), files)


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(os.fspath(path))


_COUNT = f"select count(*) from {versions.name}"


def _intact(path: Path) -> bool:
    """Whether a database of the cache can be read; a damaged one is made anew."""
    if not path.is_file():
        return False
    try:
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro&immutable=1", uri=True)
        try:
            sound = connection.execute("pragma quick_check").fetchone() == ("ok",)
            return sound and connection.execute(_COUNT).fetchone() != (0,)
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        log.warning("%s is damaged and is made anew", path)
        return False
