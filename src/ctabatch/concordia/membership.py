"""Who may submit: groups in the claims of a login token against those that a back end demands."""

import base64
import binascii
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctabatch.config.concordia import Membership
<<<<<<< HEAD
from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError, InputError

#: Names in the configuration that mean a back end; EGI is reached through DIRAC.
ALIASES = {"dirac": ("dirac", "egi"), "egi": ("egi", "dirac")}
=======
from ctabatch.errors import BatchError
from ctabatch.iam.claims import groups, is_member

__all__ = ["NotAMember", "check_membership", "groups"]
>>>>>>> f663b87 (Logins by OpenID: device code, browser, services, renewal; identity provider in the stack)


class NotAMember(BatchError):  # noqa: N818 - names the state
    """The person is in none of the groups that may submit."""


<<<<<<< HEAD
def groups(claims: Mapping[str, Any], claim: str) -> list[str]:
    """Return the groups in the claims of a token.

    Parameters
    ----------
    claims : mapping
        Claims, as decoded from a token.
    claim : str
        Name of the claim, such as ``wlcg.groups``; looked for as it stands, then as nested.

    Returns
    -------
    list of str
        Empty where the claim is absent. A text counts as words separated by blanks or commas.
    """
    value: Any = claims.get(claim)
    if value is None:
        value = claims
        for part in claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return value.replace(",", " ").split()
    return [item for item in value or () if isinstance(item, str)]


def asks(settings: Membership, backend: str) -> bool:
    """Tell whether a back end asks for any membership."""
    names = ALIASES.get(backend, (backend,))
    return bool(set(names) & set(settings.backends)) and bool(settings.all_of or settings.any_of)


def check_login(config: Configuration, backend: str) -> None:
    """Refuse early who may not submit to a back end, by the login token of this session.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        Its ``concordia.membership`` says who may.
    backend : str
        Name of the back end.

    Raises
    ------
    NotAMember
        Nobody is logged in, or the person is in none of the groups.
    """
    settings = config.concordia.membership
    if not asks(settings, backend):
        return
    token = bearer_token()
    if token is None:
        wanted = ", ".join((*settings.all_of, *settings.any_of))
        raise NotAMember(
            f"submitting to {backend} needs membership in {wanted}, and nobody is logged in",
            "log in with 'cta-batch login'; or name a token file in BEARER_TOKEN_FILE",
        )
    claims = claims_of(token)
    if claims.get("exp", time.time() + 1) <= time.time():
        raise NotAMember("the login has expired", "log in again")
    check_membership(claims, settings, backend)


def bearer_token() -> str | None:
    """Find the login token as WLCG's bearer token discovery does; None if there is none.

    ``BEARER_TOKEN``, the file named by ``BEARER_TOKEN_FILE``, then ``bt_u<uid>`` in
    ``XDG_RUNTIME_DIR`` or in the temporary folder, which must be the user's own.
    """
    if token := os.environ.get("BEARER_TOKEN", "").strip():
        return token
    name = f"bt_u{os.getuid()}"
    named = os.environ.get("BEARER_TOKEN_FILE")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    places = [Path(named)] if named else [Path(runtime or "/tmp") / name, Path("/tmp") / name]
    for path in places:
        try:
            state = path.stat()
            if state.st_uid == os.getuid() and (token := path.read_text().strip()):
                return token
        except OSError:
            if named:
                raise InputError(
                    f"can't read {path}", "BEARER_TOKEN_FILE", "a file with a token"
                ) from None
    return None


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token; its signature is the server's to check, not ours."""
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error):
        claims = None
    if not isinstance(claims, dict):
        raise NotAMember("the login token can't be read", "log in again")
    return claims


=======
>>>>>>> f663b87 (Logins by OpenID: device code, browser, services, renewal; identity provider in the stack)
def check_membership(claims: Mapping[str, Any], settings: Membership, backend: str) -> None:
    """Refuse a person whose groups don't suffice for a back end; the server decides in the end.

    Parameters
    ----------
    claims : mapping
        Claims of the person's token.
    settings : ctabatch.config.concordia.Membership
        What is demanded.
    backend : str
        Name of the back end.

    Raises
    ------
    NotAMember
        Names the groups that would be needed.
    """
    if not asks(settings, backend):
        return
    own = groups(claims, settings.claim)
    missing = [group for group in settings.all_of if not is_member(own, group)]
    if missing:
        raise _refused(backend, settings.claim, " and ".join(missing), own)
    if settings.any_of and not any(is_member(own, group) for group in settings.any_of):
        raise _refused(backend, settings.claim, " or ".join(settings.any_of), own)


def _refused(backend: str, claim: str, wanted: str, own: list[str]) -> NotAMember:
    return NotAMember(
        f"submitting to {backend} needs membership in {wanted}; your login's {claim} has "
        f"{', '.join(own) or 'no groups'}",
        "apply for the group, then log in again; or use the back end 'local'",
    )
