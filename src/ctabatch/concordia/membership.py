"""Who may submit: groups in the claims of a login token against those that a back end demands."""

from collections.abc import Mapping
from typing import Any

from ctabatch.config.concordia import Membership
from ctabatch.errors import BatchError


class NotAMember(BatchError):  # noqa: N818 - names the state
    """The person is in none of the groups that may submit."""


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
    if backend not in settings.backends:
        return
    own = groups(claims, settings.claim)
    missing = [group for group in settings.all_of if not _inside(own, group)]
    if missing:
        raise _refused(backend, settings.claim, " and ".join(missing), own)
    if settings.any_of and not any(_inside(own, group) for group in settings.any_of):
        raise _refused(backend, settings.claim, " or ".join(settings.any_of), own)


def _inside(own: list[str], group: str) -> bool:
    """Tell whether somebody is in a group or in one of its subgroups."""
    wanted = group.strip("/")
    return any(f"{item.strip('/')}/".startswith(f"{wanted}/") for item in own)


def _refused(backend: str, claim: str, wanted: str, own: list[str]) -> NotAMember:
    return NotAMember(
        f"submitting to {backend} needs membership in {wanted}; your login's {claim} has "
        f"{', '.join(own) or 'no groups'}",
        "apply for the group, then log in again; or use the back end 'local'",
    )
