import logging
from pathlib import Path

import pytest
import yaml

import dl3_tools
from ctabatch.config.load import parse_config
from ctabatch.lake.open import open_lake

PROD5 = "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"

MODEL = """\
components:
- name: crab
  type: SkyModel
  spectral:
    type: PowerLawSpectralModel
    parameters:
    - {name: index, value: 2.0}
    - {name: amplitude, value: 1.0e-11, unit: TeV-1 s-1 cm-2}
    - {name: reference, value: 1.0, unit: TeV, frozen: true}
  spatial:
    type: PointSpatialModel
    frame: icrs
    parameters:
    - {name: lon_0, value: 83.633, unit: deg, frozen: true}
    - {name: lat_0, value: 22.014, unit: deg, frozen: true}
"""


@pytest.fixture(autouse=True)
def _quiet():
    """Gammapy's workflow sets the level of the root logger."""
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


@pytest.fixture(scope="session")
def simulated(test_data, tmp_path_factory):
    """Ten observations: two simulated ones, and later copies of them."""
    folder = tmp_path_factory.mktemp("dl3")
    paths = dl3_tools.simulate(folder, test_data / PROD5, 2)
    for number in range(2, 10):
        target = folder / f"obs_{number + 1}.fits"
        paths.append(dl3_tools.clone(paths[number % 2], target, number + 1, 800.0 * (number // 2)))
    return paths


@pytest.fixture(scope="session")
def empty_sky(simulated, tmp_path_factory):
    """Two observations without a source."""
    folder = tmp_path_factory.mktemp("empty")
    return [
        dl3_tools.clone(path, folder / f"obs_{number}.fits", number, 0.0, source=False)
        for number, path in enumerate(simulated[:2], 101)
    ]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory with a model file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.yaml").write_text(MODEL)
    return tmp_path


@pytest.fixture
def content(here):
    """A small 1-D request, to be changed by a test."""
    return {
        "analysis": {
            "name": "test",
            "data": {"project": "P1"},
            "target": {"lon": "83.633 deg", "lat": "22.014 deg"},
            "energy": {
                "reco": {"min": "1 TeV", "max": "10 TeV", "bins": 4},
                "true": {"min": "0.7 TeV", "max": "30 TeV", "bins": 12},
            },
            "models": {"candidates": {"pl": "model.yaml"}, "source": "crab"},
            "products": {"flux_points": {"bins": 2}},
            "n_jobs": 1,
        }
    }


@pytest.fixture
def ingest(here):
    """Ingest simulated observations into the embedded lake of the working directory."""

    def run(paths, **changes):
        files = [dl3_tools.new_file(path, **changes) for path in paths]
        open_lake(parse_config({}).lake).ingest(files)
        return [file.did for file in files]

    return run


@pytest.fixture
def run_steps(here):
    """Run the steps up to the fit, as the workflow does; returns configuration and fit."""
    from ctabatch.analysis.plan import make_plan, write_plan
    from ctabatch.analysis.reduce import reduce_group
    from ctabatch.analysis.steps import fit
    from ctabatch.analysis.transfer import transfer

    def run(content):
        config = parse_config(content)
        plan = make_plan(config)
        write_plan(plan, Path("r/plan.json"))
        reduced = []
        for group in range(plan["groups"]):
            archive = Path(f"r/cache/{group}.tar")
            transfer(config, Path("r/plan.json"), group, archive)
            reduced.append(Path(f"r/reduced/{group}.tar"))
            reduce_group(Path("r/plan.json"), group, archive, reduced[-1])
        result = fit(Path("r/plan.json"), reduced, Path("r/stacked.fits.gz"), Path("r/fit.json"))
        return config, result, reduced

    return run


def write_model(path, **changes):
    """Write the model with changed entries of its spectral part."""
    content = yaml.safe_load(MODEL)
    content["components"][0]["spectral"] |= changes
    Path(path).write_text(yaml.safe_dump(content))
