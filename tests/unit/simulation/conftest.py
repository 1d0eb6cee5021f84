import numpy as np
import pytest

from ctabatch.simulation.card import RunCard
from ctabatch.simulation.subarrays import load_subarray


@pytest.fixture(scope="session")
def make_card():
    """Card of CTAO-North; any field can be given."""
    layout = load_subarray("CTAO-North")

    def make(**fields):
        content = {
            "sample": "test",
            "particle": "gamma",
            "energy_min": "0.1 TeV",
            "energy_max": "10 TeV",
            "scatter_radius": "300 m",
            "showers_per_run": 200,
            "zenith": "20 deg",
            "azimuth": "180 deg",
            "site": layout.site,
            "telescopes": layout.telescopes,
        }
        return RunCard(**{**content, **fields})

    return make


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)
