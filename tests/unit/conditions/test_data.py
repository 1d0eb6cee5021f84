"""The conditions that come with the workflow."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ctabatch.conditions import database
from ctabatch.conditions.fill import read_files
from ctabatch.simulation.subarrays import load_subarray

FOLDER = Path(__file__).resolve().parents[3] / "config" / "conditions"
SITES = ("CTAO-North", "CTAO-South")


@pytest.fixture(scope="module")
def content():
    return read_files(database.yaml_files(FOLDER))


@pytest.mark.parametrize("site", SITES)
def test_2025_to_2027_without_a_gap(content, site):
    for version in content.sites[site].versions:
        intervals = [item.interval for item in version.validity]
        assert intervals[0][0] == datetime(2025, 1, 1)
        assert intervals[-1][1] == datetime(2028, 1, 1)
        assert all(first[1] == second[0] for first, second in pairwise(intervals))


@pytest.mark.parametrize("site", SITES)
def test_named_periods_are_those_of_the_conditions(content, site):
    newest = max(content.sites[site].versions, key=lambda item: item.released)
    assert set(content.sites[site].periods.values()) == {item.interval for item in newest.validity}


@pytest.mark.parametrize("site", SITES)
def test_conditions_fit_the_layout(content, site):
    layout = load_subarray(site)
    classes = {telescope.type.partition("-")[0] for telescope in layout.telescopes}
    ids = {telescope.id for telescope in layout.telescopes}
    for version in content.sites[site].versions:
        for item in version.validity:
            assert set(item.optical_throughput) >= classes
            assert set(item.telescopes_unavailable) <= ids
            assert item.nsb["dark"] == 1.0
            assert {"dark", "halfmoon"} <= set(item.nsb)


def overburden(layers, height):
    """Overburden (g/cm2) at heights (m)."""
    bottoms = [layer.bottom.value for layer in layers]
    index = np.clip(np.searchsorted(bottoms, height, side="right") - 1, 0, 4)
    a, b, c = (np.array([getattr(layer, name).value for layer in layers])[index] for name in "abc")
    exponential = a + b * np.exp(-height / c)
    return np.where(index < 4, exponential, a - b * height / c)


def test_atmospheres_are_physical(content):
    for name, atmosphere in content.atmospheres.items():
        layers = atmosphere.parameters.layers
        height = np.linspace(0, 99_000, 2000)
        depth = overburden(layers, height)
        assert depth[0] == pytest.approx(1030, abs=10), name
        assert (np.diff(depth) < 0).all(), name
        for layer in layers[1:]:
            edge = layer.bottom.value
            below, above = overburden(layers, np.array([edge - 1e-3, edge + 1e-3]))
            assert below == pytest.approx(above, rel=2e-3, abs=1e-5), name
        assert len(atmosphere.source) > 40


def test_summer_air_is_expanded(content):
    """At 10 km more air is above a site in summer than in winter, by some per cent."""
    for site in ("la-palma", "paranal"):
        summer, winter = (
            overburden(content.atmospheres[f"{site}-{season}"].parameters.layers, np.array([1e4]))
            for season in ("summer", "winter")
        )
        assert 1.002 < (summer / winter).item() < 1.06
