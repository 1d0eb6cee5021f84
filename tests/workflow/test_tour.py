"""The guided tour of the documentation, as it is written."""

import pytest

from tour import play, sections

# the first waits for the production, which another process may be making
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

PRODUCTION = "snakemake irf --workflow-profile profiles/local --configfile config/test/irf.yaml"


@pytest.fixture(scope="module")
def visited(production, tmp_path_factory):
    """The checkout with the IRF, and a home without baskets and logins."""
    production.environment["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    return production


def test_irf(visited):
    play(visited, "An IRF", {PRODUCTION: visited.first})


def test_reprocessing_and_analysis(visited):
    play(visited, "Reprocessing")
    play(visited, "PI analysis")


def test_every_section_is_played():
    assert set(sections()) == {"An IRF", "Reprocessing", "PI analysis", "CONCORDIA"}
