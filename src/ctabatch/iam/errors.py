"""Failures of logins. No message holds a token: texts of servers pass through `clean`."""

import re

from ctabatch.errors import BatchError

#: Longer runs of such characters may be a secret.
_SECRET = re.compile(r"[A-Za-z0-9_\-.~+/=]{24,}")


class IamError(BatchError):
    """A login, or something about one, failed."""


class NotLoggedIn(IamError):  # noqa: N818 - names the state
    """There is no login, or it has ended."""


class ProviderAway(IamError):  # noqa: N818 - names the state
    """The identity provider does not answer."""


class NoAccess(BatchError):  # noqa: N818 - names the state
    """Nothing there that this person may see; says the same whether or not something exists."""


def clean(text: str) -> str:
    """Shorten a server's text to one line, with everything cut that might be a secret."""
    return _SECRET.sub("...", " ".join(str(text).split()))[:160]
