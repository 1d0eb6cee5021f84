"""Login of DIRAC: the flow of DiracX's own command line, which keeps and renews its credentials."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

from ctabatch.config.iam import DiracLogin
from ctabatch.errors import InputError
from ctabatch.iam.errors import IamError, NotLoggedIn, clean

HINT = "log in: cta-batch login --service dirac"


def dirac_login(settings: DiracLogin, vo: str | None = None, group: str | None = None) -> None:
    """Log in by DiracX's device flow; it says where to go, and waits.

    Parameters
    ----------
    settings : ctabatch.config.iam.DiracLogin
        Section ``iam.dirac``.
    vo, group : str, optional
        Instead of those of the configuration.
    """
    _prepare(settings)
    from diracx.cli import auth

    vo, group = vo or settings.vo, group or settings.group
    metadata = _run(auth.installation_metadata(), settings)
    known = metadata.virtual_organizations
    if vo not in known:
        raise InputError(
            f"no virtual organisation {vo!r} at this DiracX server" if vo else "no VO is named",
            where="iam.dirac.vo",
            allowed=", ".join(known) or "none is offered",
        )
    if group and group not in known[vo].groups:
        raise InputError(
            f"no DIRAC group {group!r} in {vo}",
            where="iam.dirac.group",
            allowed=", ".join(known[vo].groups),
        )
    _run(auth.login(vo=vo, group=group, property=None), settings)


def dirac_logout(settings: DiracLogin) -> None:
    """Revoke DiracX's refresh token and forget the credentials."""
    _prepare(settings)
    from diracx.cli import auth

    _run(auth.logout(), settings)


def dirac_whoami(settings: DiracLogin) -> dict[str, Any]:
    """Ask DiracX who is logged in."""
    _prepare(settings)
    from diracx.client.aio import AsyncDiracClient

    async def ask():
        async with AsyncDiracClient() as api:
            return (await api.auth.userinfo()).as_dict()

    return _run(ask(), settings)


def _prepare(settings: DiracLogin) -> None:
    if settings.url:
        os.environ["DIRACX_URL"] = settings.url
    if not os.environ.get("DIRACX_URL"):
        raise InputError(
            "no DiracX server is named",
            where="iam.dirac.url",
            allowed="its address, or the variable DIRACX_URL",
        )
    try:
        from diracx.cli import auth  # noqa: F401
        from diracx.core.preferences import get_diracx_preferences
    except ImportError:
        raise IamError(
            "DiracX's command line is not installed",
            "install the extra: pip install 'ctabatch[dirac]'",
        ) from None
    get_diracx_preferences.cache_clear()


def _run(action: Coroutine, settings: DiracLogin) -> Any:
    """Run a coroutine of DiracX's; its errors, of three libraries, become ours."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
    from httpx2 import HTTPError

    url = os.environ["DIRACX_URL"]
    try:
        return asyncio.run(action)
    except ClientAuthenticationError:
        raise NotLoggedIn("DiracX does not know you", HINT) from None
    except HttpResponseError as error:
        if error.status_code != 403:
            raise IamError(
                f"the DiracX server {url} failed (HTTP {error.status_code})", "try again later"
            ) from None
        raise IamError(
            f"DiracX refuses you: {_detail(error)}", "ask the managers of the virtual organisation"
        ) from None
    except (AzureError, HTTPError) as error:
        raise IamError(
            f"the DiracX server {url} does not answer ({type(error).__name__})", "try again later"
        ) from None
    except RuntimeError as error:
        text = clean(error)
        if "expired" in text:
            raise IamError("nobody approved the login at DiracX in time", HINT) from None
        if "credentials" in text:
            raise NotLoggedIn("you are not logged in to DIRAC", HINT) from None
        raise IamError(f"DiracX refuses the login: {text}", HINT) from None


def _detail(error: Any) -> str:
    """What the server said, without secrets."""
    try:
        return clean(error.response.json()["detail"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return clean(error)
