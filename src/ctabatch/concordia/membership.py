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
from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError, InputError
from ctabatch.iam.claims import groups, is_member

__all__ = ["NotAMember", "asks", "check_login", "check_membership", "groups"]

#: Names in the configuration that mean a back end; EGI is reached through DIRAC.
ALIASES = {"dirac": ("dirac", "egi"), "egi": ("egi", "dirac")}


class NotAMember(BatchError):  # noqa: N818 - names the state
    """The person is in none of the groups that may submit."""


def asks(settings: Membership, backend: str) -> bool:
    """Tell whether a back end asks for any membership."""
    names = ALIASES.get(backend, (backend,))
    return bool(set(names) & set(settings.backends)) and bool(settings.all_of or settings.any_of)


def check_login(config: Configuration, backend: str) -> None:
    """Refuse early who may not submit to a back end, by the login of this session.

    A bearer token (`bearer_token`) goes before the login of ``cta-batch login``.

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
    claims = login_claims(config)
    if claims is None:
        wanted = ", ".join((*settings.all_of, *settings.any_of))
        raise NotAMember(
            f"submitting to {backend} needs membership in {wanted}, and nobody is logged in",
            "log in with 'cta-batch login'; or name a token file in BEARER_TOKEN_FILE",
        )
    check_membership(claims, settings, backend)


def login_claims(config: Configuration) -> Mapping[str, Any] | None:
    """Return the claims of the bearer token, else of ``cta-batch login``; None without either."""
    if token := bearer_token():
        claims = claims_of(token)
        if claims.get("exp", time.time() + 1) <= time.time():
            raise NotAMember("the login has expired", "log in again")
        return claims
    if config.iam.default is None:
        return None
    from ctabatch.iam.tokens import choose_provider, renewed

    return renewed(*choose_provider(config.iam)).claims


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
