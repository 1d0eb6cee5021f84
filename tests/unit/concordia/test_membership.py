"""Who may submit."""

import pytest

from ctabatch.concordia.membership import NotAMember, check_membership, groups
from ctabatch.config.concordia import Membership

RULES = Membership(all_of=["/escape"], any_of=["/escape/cta", "/escape/km3net"])


@pytest.mark.parametrize(
    "own",
    [["/escape", "/escape/cta"], ["/escape/km3net/users"], ["escape/cta", "/other"]],
)
def test_members_pass(own):
    check_membership({"wlcg.groups": own}, RULES, "egi")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"wlcg.groups": None},
        {"wlcg.groups": ["/escape"]},
        {"wlcg.groups": ["/escape/ctao"]},
        {"wlcg.groups": ["/cta"]},
        {"wlcg.groups": 7 * ["/escape/vir"]},
    ],
)
def test_others_are_refused_with_the_groups_that_help(claims):
    with pytest.raises(NotAMember, match="submitting to egi needs membership in /escape") as error:
        check_membership(claims, RULES, "egi")
    assert "apply for the group" in str(error.value)


def test_other_back_ends_do_not_ask():
    check_membership({}, RULES, "local")


@pytest.mark.parametrize(
    ("claims", "claim", "found"),
    [
        ({"wlcg.groups": ["/a"]}, "wlcg.groups", ["/a"]),
        ({"wlcg": {"groups": ["/a", 3]}}, "wlcg.groups", ["/a"]),
        ({"entitlements": "/a /b,/c"}, "entitlements", ["/a", "/b", "/c"]),
        ({"wlcg": "x"}, "wlcg.groups", []),
    ],
)
def test_forms_of_the_claim(claims, claim, found):
    assert groups(claims, claim) == found
