"""Who somebody is: from the claims of a login, or this machine's user where there is no login."""

import getpass
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ctabatch.config.iam import Provider
from ctabatch.iam.claims import find_claim, given_by, groups

#: Issuer of the local identity, which nobody vouches for.
LOCAL = "local"
#: Stands for all projects.
ALL = "*"


@dataclass(frozen=True)
class Identity:
    """A person, and what he may see.

    Parameters
    ----------
    name, subject, issuer : str
        How people call him, how the issuer does, and who vouches for it; issuer `LOCAL`: nobody.
    groups, roles, projects : tuple of str
        Groups as in the claims; roles and projects that the configuration gives to them.
        Project `ALL` stands for all projects.
    expires : datetime.datetime or None
        When the token ends that the claims came with; None: never.
    provider : str or None
        Name of the provider in the configuration.
    """

    name: str
    subject: str
    issuer: str
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    expires: datetime | None = None
    provider: str | None = None

    @property
    def local(self) -> bool:
        """Whether this is the local identity."""
        return self.issuer == LOCAL

    def __str__(self):
        if self.local:
            return f"local identity {self.name} (no login, nobody vouches for it)"
        return f"{self.name} ({self.subject} at {self.issuer})"

    def has_project(self, project: str) -> bool:
        """Tell whether the person belongs to a project."""
        return ALL in self.projects or project in self.projects


def local_identity(config) -> Identity:
    """Return the user of this machine, as which one works without a login.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        Its section ``iam`` may name projects.
    """
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    projects = config.iam.local_projects
    if projects is None:
        # The embedded lake is a folder of this machine: its permissions decide, not we.
        projects = (ALL,) if config.lake.backend == "local" else ()
    return Identity(name, name, LOCAL, projects=tuple(projects))


def of_claims(
    claims: dict[str, Any], provider: Provider, name: str, expires: datetime | None
) -> Identity:
    """Return the person whom claims speak of.

    Parameters
    ----------
    claims : dict
        Of a verified login.
    provider : ctabatch.config.iam.Provider
        What the claims mean.
    name : str
        Of the provider.
    expires : datetime.datetime or None
        End of the token.
    """
    rules = provider.claims
    own = tuple(groups(claims, rules.groups))
    names = (find_claim(claims, path) for path in rules.name)
    return Identity(
        name=next((text for text in names if isinstance(text, str) and text), claims["sub"]),
        subject=claims["sub"],
        issuer=claims.get("iss", provider.issuer),
        groups=own,
        roles=given_by(own, rules.roles),
        projects=given_by(own, rules.projects),
        expires=expires,
        provider=name,
    )


def lacks_groups(claims: dict[str, Any], provider: Provider) -> str | None:
    """Say what is missing where the claim with the groups is; None where it is there."""
    path = provider.claims.groups
    if find_claim(claims, path) is not None:
        return None
    return (
        f"the login has no claim {path}, so no groups, roles or projects are known (ask for its "
        "scope in iam.providers.*.scopes, or correct claims.groups)"
    )


def current_identity(config, provider: str | None = None) -> Identity:
    """Return who works: the person logged in, or the local identity without a provider.

    A login that has ended is renewed; while the provider is away a cached token that is still good
    counts, with a warning.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration.
    provider : str, optional
        Name of the provider; the configuration's by default.

    Returns
    -------
    Identity

    Raises
    ------
    ctabatch.iam.errors.NotLoggedIn
        There is a provider, but no login; says how to log in.
    """
    from ctabatch.iam.tokens import OWN, choose_provider, renewed, utc

    if provider is None and config.iam.default is None:
        return local_identity(config)
    name, settings = choose_provider(config.iam, provider)
    login = renewed(name, settings)
    return of_claims(login.claims, settings, name, utc(login.tokens[OWN].expires))
