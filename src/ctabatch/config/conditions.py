"""Where the conditions database is (section ``conditions``)."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from ctabatch.config.base import SafePath, Section
from ctabatch.config.irf import Version


class ConditionsSettings(Section):
    """The conditions database: atmosphere, night sky, telescopes, throughput by site and time."""

    url: str | None = Field(None, examples=["postgresql://user@host/conditions"])
    """SQLAlchemy URL of a PostgreSQL or SQLite database, without a password (take it from the
    environment or ``~/.pgpass``); left out: an embedded SQLite filled from `folder`."""
    folder: SafePath = Path("config/conditions")
    """Folder with the versioned YAML files that fill the embedded database."""
    version: Version | None = Field(None, examples=["2026.1"])
    """Version of the conditions; the newest when left out."""

    @field_validator("url")
    @classmethod
    def _no_password(cls, value):
        if value is None:
            return None
        if not value.isprintable() or not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with 'sqlite:///' or 'postgresql://'")
        try:
            parts = urlsplit(value)
        except ValueError:
            raise ValueError("must start with 'sqlite:///' or 'postgresql://'") from None
        if ":" in parts.netloc.rpartition("@")[0] or "password" in parts.query.lower():
            raise ValueError(
                "a password must not stand in the configuration; it comes from PGPASSWORD or "
                "~/.pgpass"
            )
        return value
