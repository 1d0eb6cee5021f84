"""Where the conditions database is (section ``conditions``)."""

from pathlib import Path

from pydantic import field_validator

from ctabatch.config.base import Section


class ConditionsSettings(Section):
    """The conditions database: atmosphere, night sky, telescopes, throughput by site and time."""

    url: str | None = None
    """SQLAlchemy URL of a PostgreSQL or SQLite database, without a password (take it from the
    environment or ``~/.pgpass``); left out: an embedded SQLite filled from `folder`."""
    folder: Path = Path("config/conditions")
    """Folder with the versioned YAML files that fill the embedded database."""
    version: str | None = None
    """Version of the conditions; the newest when left out."""

    @field_validator("url")
    @classmethod
    def _no_password(cls, value):
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        if not separator or scheme.partition("+")[0] not in ("sqlite", "postgresql"):
            raise ValueError("must start with 'sqlite:///' or 'postgresql://'")
        user, at, _ = rest.rpartition("@")
        if at and ":" in user:
            raise ValueError("a password must not stand in the configuration")
        return value
