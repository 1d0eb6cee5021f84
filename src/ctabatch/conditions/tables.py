"""Tables of the conditions database."""

from sqlalchemy import (
    JSON,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

#: Raised when the tables change; part of the digest of the embedded database.
SCHEMA_VERSION = 2

tables = MetaData()

atmospheres = Table(
    "conditions_atmosphere",
    tables,
    Column("name", String(48), primary_key=True),
    Column("content", JSON, nullable=False),
)
periods = Table(
    "conditions_period",
    tables,
    Column("site", String(48), primary_key=True),  # empty: all sites
    Column("name", String(48), primary_key=True),
    Column("start", DateTime, nullable=False),
    Column("end", DateTime, nullable=False),
)
versions = Table(
    "conditions_version",
    tables,
    Column("id", Integer, primary_key=True),
    Column("site", String(48), nullable=False),
    Column("version", String(32), nullable=False),
    Column("released", Date, nullable=False),
    Column("content", JSON, nullable=False),
    UniqueConstraint("site", "version"),
)
validity = Table(
    "conditions_validity",
    tables,
    Column("id", Integer, primary_key=True),
    Column("version_id", ForeignKey(versions.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("start", DateTime, nullable=False, index=True),
    Column("end", DateTime, nullable=False),
    Column("atmosphere", ForeignKey(atmospheres.c.name), nullable=False),
    Column("content", JSON, nullable=False),
)
