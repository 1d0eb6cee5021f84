"""Configuration of logins: identity providers, what their claims mean, tokens by service."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ctabatch.config.base import SafePath, Section, Switch, Url, shorten

#: Hosts of this machine, where plain HTTP is no risk.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _issuer(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(
            f"{shorten(text)} is no address such as https://iam.example.org/"
        ) from None
    if "@" in parts.netloc:
        raise ValueError("an address must not hold a user or a password (before an '@')")
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{shorten(text)} is no address such as https://iam.example.org/")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError(
            f"{shorten(text)}: tokens are sent over https only, except on this machine"
        )
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{shorten(text)} is no regular expression: {error}") from None
    return text


Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,63}$",
        json_schema_extra={"x-allowed": "up to 64 letters, digits, '.', '_' and '-'"},
    ),
]
Issuer = Annotated[
    str,
    Field(json_schema_extra={"x-allowed": "an address that starts with https://"}),
    AfterValidator(_issuer),
]
Pattern = Annotated[
    str,
    Field(
        min_length=1, max_length=300, json_schema_extra={"x-allowed": "a Python regular expression"}
    ),
    AfterValidator(_pattern),
]
ClaimPath = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.:/\-]{1,200}$",
        json_schema_extra={"x-allowed": "name of a claim, such as wlcg.groups"},
    ),
]
#: A word of a scope list (RFC 6749).
Scope = Annotated[
    str,
    Field(
        pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,200}$",
        json_schema_extra={"x-allowed": "one word without blanks, quotes and backslashes"},
    ),
]


class Rule(Section):
    """What membership in a group means."""

    group: Pattern
    """Regular expression that the whole name of the group must match, with its leading slash."""
    gives: Annotated[str, Field(min_length=1, max_length=64)]
    """What the member has then; ``\\1`` stands for the first bracket of the expression. Among
    `projects`, ``*`` stands for all projects."""

    @model_validator(mode="after")
    def _template_fits(self):
        groups = re.compile(self.group).groups
        asked = [int(number) for number in re.findall(r"\\(\d+)", self.gives)]
        if any(number > groups for number in asked):
            raise ValueError(
                f"gives {self.gives!r} asks for bracket {max(asked)}, but group "
                f"{shorten(self.group)} has only {groups}"
            )
        if "\\" in re.sub(r"\\\d+", "", self.gives):
            raise ValueError(f"gives {self.gives!r}: after a backslash only a number may come")
        return self


class Claims(Section):
    """What the claims of a login mean. Groups of a VO are its own affair: none is built in."""

    name: tuple[ClaimPath, ...] = ("name", "preferred_username", "sub")
    """Claims with the name of the person; the first that is there counts."""
    groups: ClaimPath = "wlcg.groups"
    """Claim that lists the groups; a dotted name is looked for as such, then as nested."""
    roles: tuple[Rule, ...] = ()
    """Groups that give a role, such as ``operator``."""
    projects: tuple[Rule, ...] = ()
    """Groups whose members may see the data of a project, such as
    ``{group: '/escape/cta/projects/(P[0-9]+)', gives: '\\1'}``."""


class ServiceToken(Section):
    """The token that a service wants to see."""

    audience: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    """Audience to ask for by the parameter ``audience`` (INDIGO IAM, token exchange)."""
    resource: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.\-]*:\S+$")] | None = None
    """Resource to ask for by the parameter ``resource`` (RFC 8707), an absolute URI."""
    scopes: tuple[Scope, ...] = ("openid",)
    """Scopes of this service's token, part of those of the provider."""
    exchange: Switch = False
    """Get it by token exchange (RFC 8693) instead of the refresh token."""

    @model_validator(mode="after")
    def _exchange_needs_a_target(self):
        if self.exchange and not (self.audience or self.resource):
            raise ValueError("exchange needs an audience or a resource to ask for")
        return self


class Provider(Section):
    """An OpenID provider, such as the INDIGO IAM of a virtual organisation."""

    issuer: Issuer
    """Its address; all others are discovered from it."""
    client_id: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of the client that its administrator registered for `cta-batch`."""
    client_secret_file: SafePath | None = None
    """File, readable by its owner only, with the secret of a confidential client; public clients
    have none."""
    scopes: tuple[Scope, ...] = ("openid", "profile", "offline_access", "wlcg.groups")
    """Scopes of a login; ``offline_access`` gives the token that renews the others."""
    claims: Claims = Field(default_factory=Claims)
    """What the claims mean."""
    services: dict[Name, ServiceToken] = Field(default_factory=dict)
    """Tokens by service, such as ``lake``."""
    ca_cert: SafePath | None = None
    """Certificate authority of the provider, as PEM file; those of the system by default."""
    callback_port: Annotated[int, Field(ge=0, le=65535, strict=True)] = 0
    """Port on this machine that the browser comes back to; 0 takes a free one, which providers must
    allow for native clients (RFC 8252) but INDIGO IAM may want to know."""
    clock_tolerance: Annotated[float, Field(ge=0, le=3600, strict=True)] = 60
    """Seconds by which the clocks of provider and this machine may differ."""
    patience: Annotated[float, Field(ge=0, le=3600, strict=True)] = 20
    """Seconds during which a provider that is away is asked again."""

    @model_validator(mode="after")
    def _scopes_fit(self):
        if "openid" not in self.scopes:
            raise ValueError("scopes must hold openid: without it nobody is identified")
        for name, service in self.services.items():
            if beyond := sorted(set(service.scopes) - set(self.scopes)):
                raise ValueError(
                    f"services.{name}.scopes: {shorten(', '.join(beyond))} is not one of the "
                    f"scopes of the provider ({', '.join(self.scopes)})"
                )
        return self


class DiracLogin(Section):
    """Login of DIRAC, by DiracX's own flow (``cta-batch login --service dirac``)."""

    url: Url | None = None
    """Address of the DiracX server; the variable ``DIRACX_URL`` by default."""
    vo: Name | None = None
    """Virtual organisation; needed unless the command names it."""
    group: Name | None = None
    """DIRAC group; that of the VO by default."""


class IamSettings(Section):
    """Logins. Without a provider everybody is a local identity, which nobody vouches for."""

    provider: Name | None = None
    """Provider that is meant where none is named; the only one by default."""
    providers: dict[Name, Provider] = Field(default_factory=dict)
    """Identity providers by name, several virtual organisations side by side."""
    local_projects: tuple[str, ...] | None = None
    """Projects that the local identity may see without a login; all by default in the embedded
    lake, which is a folder of this machine, and none in another."""
    dirac: DiracLogin = Field(default_factory=DiracLogin)
    """Login of DIRAC."""

    @property
    def default(self) -> str | None:
        """Name of the provider that is meant where none is named."""
        return self.provider or (next(iter(self.providers)) if len(self.providers) == 1 else None)

    @model_validator(mode="after")
    def _provider_exists(self):
        if self.provider is not None and self.provider not in self.providers:
            known = ", ".join(self.providers) or "none"
            raise ValueError(f"provider {shorten(self.provider)} is not one of providers ({known})")
        if "dirac" in {name for item in self.providers.values() for name in item.services}:
            raise ValueError("services: dirac has its own login, see iam.dirac")
        return self
