import numpy as np
import pytest

from ctabatch.irf.statistics import (
    energy_fraction,
    offset_fraction,
    relative_uncertainty,
    showers_for_effective_area,
)


@pytest.mark.parametrize("index", [-2.0, -1.0, -2.7])
def test_energy_shares_add_up_to_one(index):
    edges = np.geomspace(0.01, 100, 21)
    assert energy_fraction(edges[:-1], edges[1:], 0.01, 100, index).sum() == pytest.approx(1)


def test_energy_share_agrees_with_pyirf():
    import astropy.units as u
    from pyirf.simulations import SimulatedEventsInfo

    info = SimulatedEventsInfo(
        n_showers=1_000_000,
        energy_min=0.01 * u.TeV,
        energy_max=100 * u.TeV,
        max_impact=800 * u.m,
        spectral_index=-2.0,
        viewcone_min=0 * u.deg,
        viewcone_max=4 * u.deg,
    )
    edges = np.geomspace(0.1, 10, 6)
    expected = info.calculate_n_showers_per_energy(edges * u.TeV) / 1_000_000
    assert energy_fraction(edges[:-1], edges[1:], 0.01, 100, -2.0) == pytest.approx(expected)


def test_energy_outside_the_sample_counts_nothing():
    assert energy_fraction(0.001, 0.01, 0.01, 100, -2.0) == 0


def test_offset_shares_are_solid_angles():
    edges = np.radians([0, 1, 2, 4])
    shares = offset_fraction(edges[:-1], edges[1:], np.radians(4))
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx((1 - np.cos(edges[1])) / (1 - np.cos(edges[3])))


def test_point_source_lies_in_the_innermost_ring():
    assert list(offset_fraction(np.array([0.0, 0.1]), np.array([0.1, 0.2]), 0.0)) == [1, 0]


def test_number_of_showers_reaches_the_uncertainty():
    efficiency, share = np.array([[0.01, 0.05]]), np.array([[0.1, 0.02]])
    needed = showers_for_effective_area(efficiency, 0.05, share, 1.0)
    assert relative_uncertainty(efficiency, needed * share) == pytest.approx(0.05)


def test_toy_experiment_has_the_predicted_spread():
    showers, efficiency = 2000, 0.05
    selected = np.random.default_rng(1).binomial(showers, efficiency, 20_000)
    spread = selected.std() / selected.mean()
    assert spread == pytest.approx(float(relative_uncertainty(efficiency, showers)), rel=0.02)


def test_bin_without_efficiency_needs_infinitely_many():
    assert np.isinf(showers_for_effective_area(0.0, 0.1, 0.5, 0.5))
    assert np.isinf(relative_uncertainty(0.0, 100))
