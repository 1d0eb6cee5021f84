"""Naming, merge trees and the cost table."""

import astropy.units as u
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctabatch.irf.cost import estimate, load_costs, refresh_costs
from ctabatch.irf.naming import azimuth_name, product_name, telescopes_name
from ctabatch.irf.summary import cpu_seconds
from ctabatch.irf.tree import children, levels


def test_names_follow_the_published_scheme(config):
    types = ["LST"] * 4 + ["MST"] * 9
    assert product_name(config.irf, types) == (
        "Open1-CTAO-North-20deg-SouthAz-4LSTs09MSTs-dark-180000s-v0.1"
    )
    assert product_name(config.irf, types, "throughput-low").endswith("-throughput-low-v0.1")


def test_telescopes_of_the_south():
    assert telescopes_name(["MST"] * 14 + ["SST"] * 37) == "14MSTs37SSTs"


@pytest.mark.parametrize(
    ("azimuth", "name"), [(0, "NorthAz"), (360, "NorthAz"), (180, "SouthAz"), (45, "045Az")]
)
def test_azimuth_names(azimuth, name):
    assert azimuth_name(azimuth * u.deg) == name


@given(st.integers(1, 20_000), st.integers(2, 100))
def test_merge_tree_reads_every_file_once(files, width):
    below = files
    for nodes in levels(files, width):
        read = [index for node in range(nodes) for index in children(node, below, width)]
        assert read == list(range(below))
        assert max(len(children(node, below, width)) for node in range(nodes)) <= width
        below = nodes
    assert below == 1


def test_cost_counts_jobs_and_showers(checkout):
    production = {
        "nominal": {
            "gamma": {"train": {"runs": 3, "showers_per_run": 100}},
            "proton": {"irf": {"runs": 120, "showers_per_run": 1000}},
        }
    }
    cost = estimate(production, merge_files=50)
    assert cost["showers"] == 120_300
    # 123 runs; gammas 1 chunk in a tree without upper levels; protons 3 chunks and a top
    assert cost["by_step"]["merge"]["jobs"] == 1 + 3 + 1
    assert cost["by_step"]["apply"]["jobs"] == 1 + 3
    assert cost["jobs"] == 123 + 5 + 4 + 1 + 3
    assert cost["cpu_hours"] > 0


@pytest.mark.parametrize(
    ("wall", "sampled", "expected"),
    [
        (10, 9, 9),  # seen to its end
        (31, 15.5, 31),  # seen for 15.5 s, at full load
        (31, 7.75, 15.5),  # at half load
        (46, 45.5, 46),  # seen again after half a minute
        (0, 0, 0),  # too short to be seen
    ],
)
def test_cpu_time_after_the_last_sample_is_estimated(wall, sampled, expected):
    assert cpu_seconds(wall, sampled) == pytest.approx(expected)


def test_measured_costs_win_over_shipped_ones(checkout):
    before = load_costs()["merge"]["cpu_s"]
    refresh_costs({"merge": {"cpu_s": before * 3}})
    assert load_costs()["merge"]["cpu_s"] == pytest.approx(before * 2)
    assert load_costs()["apply"] == load_costs()["apply"]
