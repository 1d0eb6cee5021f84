"""Observations whose off regions hold no event at all, as short ones of a bright source do."""

import numpy as np
import pytest

from ctabatch.analysis.archive import pack
from ctabatch.analysis.counts import on_counts
from ctabatch.analysis.reduce import DATASETS, SUMMARY
from ctabatch.analysis.stack import stack
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.files import write_json

REQUEST = AnalysisRequest.model_validate(
    {
        "name": "test",
        "data": {"project": "P1"},
        "target": {"lon": "83.6 deg", "lat": "22 deg"},
        "models": {"candidates": {"pl": "pl.yaml"}, "source": "crab"},
    }
)


def observation(name, counts, counts_off, regions=6):
    """A dataset of two energy bins, of which the second is not safe."""
    import astropy.units as u
    from astropy.time import Time
    from gammapy.data import GTI
    from gammapy.datasets import SpectrumDatasetOnOff
    from gammapy.maps import MapAxis, RegionGeom

    energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", 2)
    true = MapAxis.from_energy_bounds("0.5 TeV", "20 TeV", 3, name="energy_true")
    geom = RegionGeom.create("icrs;circle(83.6, 22, 0.1)", axes=[energy])
    dataset = SpectrumDatasetOnOff.create(geom, energy_axis_true=true, name=name)
    begin = Time("2026-01-15T22:00:00")
    dataset.gti = GTI.create(0 * u.s, 40 * u.s, begin)
    dataset.counts.data[...] = np.reshape([counts, 5], (2, 1, 1))
    dataset.counts_off.data[...] = np.reshape([counts_off, 3], (2, 1, 1))
    dataset.acceptance.data[...] = 1
    dataset.acceptance_off.data[...] = regions
    dataset.mask_safe.data[...] = np.reshape([True, False], (2, 1, 1))
    return dataset


@pytest.fixture
def stacked(tmp_path):
    """Stack datasets as the workflow does, from the archive of a group."""

    def make(*datasets):
        from gammapy.datasets import Datasets

        folder = tmp_path / "group"
        folder.mkdir()
        Datasets(list(datasets)).write(folder / DATASETS)
        write_json(folder / SUMMARY, {"observations": [], "bad": [], "notes": []})
        pack(folder, tmp_path / "0.tar")
        return stack(REQUEST, [tmp_path / "0.tar"]).dataset

    return make


def test_no_off_count_at_all(stacked):
    total = stacked(observation("a", 40, 0), observation("b", 20, 0, regions=12))
    assert total.acceptance.data.ravel().tolist() == [2, 0]
    assert total.acceptance_off.data.ravel().tolist() == [18, 0]
    found = on_counts(total)
    assert (found["counts"], found["background"], found["excess"]) == (60, 0, 60)
    # without a background, Li & Ma (ApJ 272, 1983, 317) equation 17: sqrt(2 n log((1 + a) / a))
    alpha = 2 / 18
    assert found["sqrt_ts"] == pytest.approx(np.sqrt(120 * np.log((1 + alpha) / alpha)))


def test_single_observation_without_off_counts(stacked):
    found = on_counts(observation("a", 40, 0))
    assert found["excess"] == 40
    assert found["sqrt_ts"] == pytest.approx(np.sqrt(80 * np.log(7)))


def test_with_off_counts_the_stack_is_gammapys(stacked):
    total = stacked(observation("a", 40, 12), observation("b", 20, 0))
    assert total.counts_off.data.ravel()[0] == 12
    assert total.alpha.data.ravel()[0] == pytest.approx(1 / 6)
    found = on_counts(total)
    assert found["background"] == pytest.approx(2)
    assert found["excess"] == pytest.approx(58)
