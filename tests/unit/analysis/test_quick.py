"""The quicker likelihood is Gammapy's own, to the last digit."""

import json
import subprocess
import sys

import numpy as np
import pytest

# Gammapy's own, before anything replaces it: in a process where nothing is quicker
REFERENCE = """
import json, sys
from test_quick import datasets_with_priors
from gammapy.datasets import Datasets
assert Datasets.stat_sum.__module__ == "gammapy.datasets.core"
print(json.dumps([datasets_with_priors(*case).stat_sum() for case in {cases}]))
"""
#: Prior on the index, penalty on the amplitude.
CASES = [(False, False), (True, False), (False, True), (True, True)]


def datasets_with_priors(prior, penalty):
    """Two spectrum datasets that share a model; its prior counts once."""
    import astropy.units as u
    from gammapy.datasets import Datasets, SpectrumDataset
    from gammapy.maps import MapAxis, RegionGeom
    from gammapy.modeling import Parameters
    from gammapy.modeling.models import GaussianPrior, Models, PowerLawSpectralModel, SkyModel
    from gammapy.stats import GaussianPriorPenalty

    energy = MapAxis.from_energy_bounds("1 TeV", "10 TeV", 4)
    true = MapAxis.from_energy_bounds("1 TeV", "10 TeV", 6, name="energy_true")
    geom = RegionGeom.create("icrs;circle(0, 0, 0.1)", axes=[energy])
    datasets = Datasets()
    for number in (1, 2):
        dataset = SpectrumDataset.create(geom, energy_axis_true=true, name=f"d{number}")
        dataset.counts.data[...] = np.array([9, 5, 3, 1])[:, None, None] * number
        dataset.background.data[...] = 1.0
        dataset.exposure.quantity = np.ones(dataset.exposure.data.shape) * 1e13 * u.Unit("cm2 s")
        dataset.mask_safe.data[...] = True
        datasets.append(dataset)
    spectral = PowerLawSpectralModel(index=2.3, amplitude="1e-12 cm-2 s-1 TeV-1")
    if prior:
        spectral.index.prior = GaussianPrior(mu=2.0, sigma=0.1)
    models = Models([SkyModel(spectral, name="source")])
    if penalty:
        shape = Parameters([spectral.index])
        models.set_penalties([GaussianPriorPenalty.L2_penalty(shape, mean=[1.5])])
    datasets.models = models
    return datasets


@pytest.fixture(scope="module")
def reference(request):
    command = [sys.executable, "-c", REFERENCE.format(cases=CASES)]
    done = subprocess.run(
        command, cwd=request.path.parent, capture_output=True, text=True, check=True
    )
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_sum_is_that_of_gammapy(case, reference):
    from gammapy.datasets import Datasets

    from ctabatch.analysis.quick import quicken, stat_sum

    quicken()
    assert Datasets.stat_sum is stat_sum
    assert datasets_with_priors(*case).stat_sum() == pytest.approx(reference[case], rel=1e-14)


def test_priors_and_penalties_matter(reference):
    assert len({round(value, 6) for value in reference.values()}) == len(CASES)


def test_a_missing_ray_is_still_missing():
    from gammapy.utils.parallel import is_ray_available, is_ray_initialized

    from ctabatch.analysis.quick import quicken

    quicken()
    assert not is_ray_available()
    assert not is_ray_initialized()
