"""Configuration of the data lake: the embedded one, or Rucio."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from ctabatch.config.base import SafePath, Section, Url, shorten

Scope = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-_]{0,24}$",
        json_schema_extra={"x-allowed": "up to 25 letters, digits, '.', '-' and '_'"},
    ),
]
RseName = Annotated[
    str,
    Field(
        pattern=r"^[A-Z0-9][A-Z0-9\-_]{0,254}$",
        json_schema_extra={"x-allowed": "capital letters, digits, '-' and '_'"},
    ),
]


class RseSettings(Section):
    """A storage element of the embedded lake."""

    tier: Literal["DISK", "TAPE"] = "DISK"
    """`DISK` can be read at once; files on `TAPE` must be staged to a disk first."""

    quota: int | None = Field(default=None, gt=0, strict=True)
    """Most bytes that it may hold; no limit by default."""

    latency: float = Field(default=0, ge=0, le=3600, strict=True)
    """Seconds that recalling a file from this tape takes, to demonstrate staging."""

    throughput: float | None = Field(default=None, gt=0, strict=True)
    """Bytes per second at which this tape is read, to demonstrate staging; as fast as it goes by
    default."""


class LocalLakeSettings(Section):
    """The embedded lake: an SQLite catalogue and folders, no service needed."""

    folder: SafePath = Path("lake")
    """Where catalogue and files are; relative to the working directory. A file system with working
    locks (not every network file system has them)."""

    rses: dict[RseName, RseSettings] = Field(
        default={"DISK": RseSettings(), "TAPE": RseSettings(tier="TAPE")}, min_length=1
    )
    """Storage elements by name, each a folder."""


class RucioSettings(Section):
    """A Rucio server."""

    host: Url
    """URL of the server."""

    auth_host: Url | None = None
    """URL of the authentication server; that of `host` by default."""

    account: str = Field(min_length=1, max_length=25)
    """Rucio account to work as."""

    auth_type: Literal["userpass", "oidc"] = "userpass"
    """How to log in. The password or the token comes from a file that only its owner may read, or
    from the environment, never from here."""

    username: str | None = Field(default=None, min_length=1)
    """User name for `userpass`; that of the account by default."""

    password_file: SafePath | None = None
    """File with the password for `userpass`; the variable `RUCIO_PASSWORD` by default."""

    token_file: SafePath | None = None
    """File with the access token for `oidc`, read anew when the server refuses the last one; by
    default the file that the variable `BEARER_TOKEN_FILE` names, or the variable `BEARER_TOKEN`."""

    login: str | None = Field(default=None, min_length=1)
    """Service of `iam.providers` whose token is used for `oidc` where no token file is given: that
    of `cta-batch login`, renewed when needed."""

    _login_provider: tuple | None = PrivateAttr(default=None)

    @property
    def login_provider(self) -> tuple | None:
        """Name and settings of the identity provider that `login` belongs to."""
        return self._login_provider

    def use_login_of(self, name: str, provider) -> None:
        """Note the identity provider that the whole configuration names for `login`."""
        self._login_provider = (name, provider)

    ca_cert: SafePath | None = None
    """Certificate authority of the server, as PEM file; those of the system by default."""

    search_scopes: tuple[Scope, ...] = ()
    """Scopes that are searched besides `lake.scope`, such as that of the DL0 data."""

    staging_activity: str = Field(default="Staging", min_length=1)
    """Activity under which tape recalls are made; the server's policy lists those there are."""

    boosts: int = Field(default=3, ge=0, le=100, strict=True)
    """How often transfers that failed for good are asked for again while waiting."""

    timeout: float = Field(default=120, gt=0, le=3600, strict=True)
    """Seconds to wait for an answer of the server."""

    patience: float = Field(default=300, ge=0, le=86400, strict=True)
    """Seconds during which a server that is away or overloaded is asked again."""

    room_patience: float = Field(default=120, ge=0, le=86400, strict=True)
    """Seconds that staging waits for room: Rucio counts a release some time after it was made."""


class LakeSettings(Section):
    """The data lake that inputs are searched in and products are ingested into."""

    backend: Literal["local", "rucio"] = "local"
    """`local` is the embedded lake, `rucio` a Rucio server."""

    scope: Scope = "test"
    """Scope of the products' DIDs, and second part of their logical file names
    `/<vo>/<scope>/...`; the scope `user.<name>` of a person gives `/<vo>/user/<n>/<name>/...`."""

    vo: Scope = "ctao.dpps.test"
    """Virtual organisation: first part of the logical file names."""

    default_rse: RseName = "DISK"
    """Storage element that products are ingested to."""

    staging_rse: RseName = "DISK"
    """Storage element on disk that files are staged to from tape."""

    local: LocalLakeSettings = LocalLakeSettings()
    """Settings of the back end `local`."""

    rucio: RucioSettings | None = None
    """Settings of the back end `rucio`."""

    @model_validator(mode="after")
    def _check_backend(self):
        if self.backend == "rucio" and self.rucio is None:
            raise ValueError("backend 'rucio' needs the section lake.rucio with host and account")
        if self.backend == "local":
            names = ", ".join(self.local.rses)
            for field in ("default_rse", "staging_rse"):
                if getattr(self, field) not in self.local.rses:
                    raise ValueError(
                        f"{field} {shorten(getattr(self, field))} is not one of {names}"
                    )
            if self.local.rses[self.staging_rse].tier != "DISK":
                raise ValueError(f"staging_rse {self.staging_rse!r} is not of tier DISK")
        return self
