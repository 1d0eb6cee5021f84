"""What the claims of a token say: groups, and the roles and projects that follow from them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ctabatch.config.iam import Rule


def find_claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim, or None.

    Parameters
    ----------
    claims : mapping
        Claims, as decoded from a token.
    path : str
        Name, such as ``wlcg.groups``; looked for as it stands, then as nested.
    """
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def groups(claims: Mapping[str, Any], claim: str) -> list[str]:
    """Return the groups in the claims of a token.

    Parameters
    ----------
    claims : mapping
        Claims, as decoded from a token.
    claim : str
        Name of the claim, see `find_claim`.

    Returns
    -------
    list of str
        Empty where the claim is absent. A text counts as words separated by blanks or commas.
    """
    value = find_claim(claims, claim)
    if isinstance(value, str):
        return value.replace(",", " ").split()
    if not isinstance(value, list | tuple):
        return []
    return [item for item in value if isinstance(item, str)]


def is_member(own: Iterable[str], group: str) -> bool:
    """Tell whether somebody is in a group or in one of its subgroups."""
    wanted = group.strip("/")
    return any(f"{item.strip('/')}/".startswith(f"{wanted}/") for item in own)


def given_by(own: Iterable[str], rules: Iterable[Rule]) -> tuple[str, ...]:
    """Return what groups give (roles or projects), sorted, each once.

    Parameters
    ----------
    own : iterable of str
        Groups of a person.
    rules : iterable of ctabatch.config.iam.Rule
        The mapping of the configuration.
    """
    given = set()
    for group in own:
        for rule in rules:
            if match := re.fullmatch(rule.group, group):
                given.add(match.expand(rule.gives))
    return tuple(sorted(given))
