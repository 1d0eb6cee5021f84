"""The analysis workflow as a person runs it, on real 1DC observations around the Galactic Centre.

The numbers are those of a bare Gammapy script on the same data.
"""

import json
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.data]

RESULTS = Path("results/analysis/centre")
MODEL = """\
components:
- name: gc
  type: SkyModel
  spectral:
    type: {type}
    parameters:
    - {{name: index, value: 2.2}}
    - {{name: amplitude, value: 2.0e-12, unit: TeV-1 s-1 cm-2}}
    - {{name: reference, value: 1.0, unit: TeV, frozen: true}}
{more}"""
REQUEST = {
    "name": "centre",
    "data": {"project": "GPS"},
    "target": {"frame": "galactic", "lon": "0 deg", "lat": "0 deg"},
    "models": {"candidates": {"pl": "pl.yaml", "ecpl": "ecpl.yaml"}, "source": "gc"},
    "n_jobs": 1,
    "save": "both",
}


def write_request(checkout, file="request.yaml", **changes):
    (checkout.folder / file).write_text(yaml.safe_dump({"analysis": REQUEST | changes}))
    return file


@pytest.fixture(scope="module")
def analysed(new_checkout, test_data):
    """A checkout with the 1DC observations in its lake, and the analysis done."""
    checkout = new_checkout()
    folder = checkout.folder
    (folder / "pl.yaml").write_text(MODEL.format(type="PowerLawSpectralModel", more=""))
    cut = "    - {name: lambda_, value: 0.1, unit: TeV-1}\n"
    (folder / "ecpl.yaml").write_text(MODEL.format(type="ExpCutoffPowerLawSpectralModel", more=cut))
    config = ["--config", write_request(checkout)]
    checkout.run(
        "cta-batch", "analysis", "import", test_data / "cta-1dc/index/gps", "--site", "CTAO-South",
        "--subarray", "baseline", "--project", "GPS", "--release", "cta-1dc", "--output", "dl3",
        *config,
    )  # fmt: skip
    files = sorted((folder / "dl3").glob("*.fits.gz"))
    checkout.run("cta-batch", "lake", "ingest", *files, *config)
    checkout.done = checkout.snakemake("analysis", config="request.yaml")
    return checkout


def read(checkout, name):
    return json.loads((checkout.folder / RESULTS / name).read_text())


@pytest.fixture(scope="module")
def bare(test_data):
    """The same by Gammapy alone."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from gammapy.data import DataStore
    from gammapy.datasets import Datasets, SpectrumDataset
    from gammapy.estimators import FluxPointsEstimator
    from gammapy.makers import (
        ReflectedRegionsBackgroundMaker,
        SafeMaskMaker,
        SpectrumDatasetMaker,
    )
    from gammapy.maps import MapAxis, RegionGeom
    from gammapy.modeling import Fit
    from gammapy.modeling.models import PowerLawSpectralModel, SkyModel
    from regions import CircleSkyRegion

    region = CircleSkyRegion(SkyCoord(0, 0, unit="deg", frame="galactic"), 0.11 * u.deg)
    energy = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", 10)
    true = MapAxis.from_energy_bounds("0.03 TeV", "30 TeV", 24, name="energy_true")
    empty = SpectrumDataset.create(RegionGeom.create(region, axes=[energy]), energy_axis_true=true)
    maker = SpectrumDatasetMaker(
        containment_correction=True, selection=["counts", "exposure", "edisp"]
    )
    safe = SafeMaskMaker(methods=["offset-max"], offset_max="2.5 deg")
    datasets = Datasets()
    for observation in DataStore.from_dir(test_data / "cta-1dc/index/gps").get_observations():
        dataset = maker.run(empty.copy(), observation)
        dataset = ReflectedRegionsBackgroundMaker().run(dataset, observation)
        datasets.append(safe.run(dataset, observation))
    stacked = datasets.stack_reduce(name="stacked")
    model = SkyModel(PowerLawSpectralModel(amplitude="2e-12 cm-2 s-1 TeV-1", index=2.2), name="gc")
    stacked.models = [model]
    fit = Fit().run([stacked])
    points = FluxPointsEstimator(
        energy.edges[::2], source="gc", selection_optional=["errn-errp", "ul"]
    ).run([stacked])
    return {
        "counts": [int(dataset.info_dict()["counts"]) for dataset in datasets],
        "counts_off": [int(dataset.info_dict()["counts_off"]) for dataset in datasets],
        "excess": float(stacked.info_dict()["excess"]),
        "index": model.spectral_model.index.value,
        "index_error": model.spectral_model.index.error,
        "amplitude": model.spectral_model.amplitude.value,
        "stat": fit.total_stat,
        "dnde": points.dnde.data.ravel(),
    }


def test_numbers_are_those_of_a_bare_script(analysed, bare):
    summary = read(analysed, "summary.json")
    rows = summary["observations"]
    assert [row["counts"] for row in rows] == bare["counts"]
    assert [row["counts_off"] for row in rows] == bare["counts_off"]
    assert summary["on_region"]["counts"] == sum(bare["counts"])
    assert summary["on_region"]["excess"] == pytest.approx(bare["excess"], rel=1e-6)
    assert summary["best"] == "pl"
    assert summary["candidates"]["pl"]["stat"] == pytest.approx(bare["stat"], abs=1e-3)
    values = {row["name"]: row for row in summary["parameters"]}
    assert values["index"]["value"] == pytest.approx(bare["index"], abs=1e-3)
    assert values["index"]["error"] == pytest.approx(bare["index_error"], rel=1e-2)
    assert values["amplitude"]["value"] == pytest.approx(bare["amplitude"], rel=1e-3)
    found = [row["dnde"] for row in summary["flux_points"]]
    assert found == pytest.approx(bare["dnde"], rel=2e-3)


CUBE = {
    "name": "cube",
    "dimension": "3d",
    "energy": {
        "reco": {"min": "0.1 TeV", "max": "10 TeV", "bins": 5},
        "true": {"min": "0.03 TeV", "max": "30 TeV", "bins": 12},
    },
    "geometry": {"width": "2 deg", "bin_size": "0.05 deg", "bin_size_irf": "0.2 deg"},
    "background": {
        "exclusion": [{"frame": "galactic", "lon": "0 deg", "lat": "0 deg", "radius": "0.5 deg"}]
    },
    "models": {"candidates": {"point": "point.yaml"}, "source": "gc"},
    "products": {"flux_points": {"bins": 5}, "light_curve": None, "maps": None, "theta2": None},
}
POINT = """\
  spatial:
    type: PointSpatialModel
    frame: galactic
    parameters:
    - {name: lon_0, value: 0.0, unit: deg, frozen: true}
    - {name: lat_0, value: 0.0, unit: deg, frozen: true}
"""


def bare_cube(folder, model_file):
    """The analysis of `CUBE` by Gammapy alone."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from gammapy.data import DataStore
    from gammapy.datasets import MapDataset
    from gammapy.estimators import FluxPointsEstimator
    from gammapy.makers import DatasetsMaker, FoVBackgroundMaker, MapDatasetMaker, SafeMaskMaker
    from gammapy.maps import MapAxis, WcsGeom
    from gammapy.modeling import Fit
    from gammapy.modeling.models import FoVBackgroundModel, Models
    from regions import CircleSkyRegion

    centre = SkyCoord(0, 0, unit="deg", frame="galactic")
    energy = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", 5)
    true = MapAxis.from_energy_bounds("0.03 TeV", "30 TeV", 12, name="energy_true")
    grid = {"skydir": centre, "frame": "galactic", "binsz": 0.05}
    stacked = MapDataset.create(
        WcsGeom.create(width=(2, 2), axes=[energy], **grid),
        energy_axis_true=true,
        name="stacked",
        binsz_irf=0.2,
    )
    mask = WcsGeom.create(width=10, **grid).region_mask(
        [CircleSkyRegion(centre, 0.5 * u.deg)], inside=False
    )
    makers = [
        MapDatasetMaker(),
        SafeMaskMaker(methods=["offset-max"], offset_max="2.5 deg"),
        FoVBackgroundMaker(method="scale", exclusion_mask=mask),
    ]
    maker = DatasetsMaker(makers, cutout_mode="trim", cutout_width=5 * u.deg)
    (stacked,) = maker.run(stacked, DataStore.from_dir(folder).get_observations())
    region = CircleSkyRegion(centre, 0.11 * u.deg)
    on = stacked.to_spectrum_dataset(region, containment_correction=False)  # before the fit
    stacked.models = Models([*Models.read(model_file), FoVBackgroundModel(dataset_name="stacked")])
    fit = Fit().run([stacked])
    points = FluxPointsEstimator(energy.edges, source="gc", selection_optional=[]).run([stacked])
    return stacked.models["gc"], fit, points, on.info_dict()


def test_numbers_in_three_dimensions(analysed, test_data):
    (analysed.folder / "point.yaml").write_text(
        MODEL.format(type="PowerLawSpectralModel", more=POINT)
    )
    analysed.snakemake("analysis", config=write_request(analysed, "cube.yaml", **CUBE))
    summary = json.loads((analysed.folder / "results/analysis/cube/summary.json").read_text())
    model, fit, points, on = bare_cube(
        test_data / "cta-1dc/index/gps", analysed.folder / "point.yaml"
    )
    values = {row["name"]: row for row in summary["parameters"]}
    assert summary["on_region"]["counts"] == int(on["counts"])
    assert summary["on_region"]["excess"] == pytest.approx(float(on["excess"]), rel=1e-3)
    assert summary["candidates"]["point"]["stat"] == pytest.approx(fit.total_stat, abs=0.01)
    for name in ("index", "amplitude"):
        parameter = getattr(model.spectral_model, name)
        assert values[name]["value"] == pytest.approx(parameter.value, rel=1e-3)
        assert values[name]["error"] == pytest.approx(parameter.error, rel=1e-2)
    found = [row["dnde"] for row in summary["flux_points"]]
    assert found == pytest.approx(points.dnde.data.ravel(), rel=2e-3)


def test_results_are_in_the_lake_with_their_lineage(analysed):
    saved = read(analysed, "saved.json")
    done = analysed.run(
        "cta-batch", "search", "data__level = DL5 and analysis__name = centre", "--json",
        "--config", "request.yaml",
    )  # fmt: skip
    rows = {row["analysis__product"]: row for row in json.loads(done.stdout)}
    assert {"flux-points", "light-curve", "models", "summary", "report"} <= set(rows)
    assert {row["did"] for row in rows.values()} <= set(saved["products"].values())
    plan = read(analysed, "plan.json")
    inputs = rows["flux-points"]["activity__inputs"].split()
    assert inputs == [item["id"] for item in plan["observations"]]
    assert rows["flux-points"]["proposal_id"] == "GPS"
    assert saved["products"]["stacked.fits.gz"].count("/DL4/") == 1
    downloaded = {path.name for path in (analysed.folder / "download/centre").iterdir()}
    assert downloaded == set(saved["products"])


def test_products_open_in_gammapy(analysed):
    from gammapy.datasets import SpectrumDatasetOnOff
    from gammapy.estimators import FluxPoints
    from gammapy.modeling.models import Models

    folder = analysed.folder / RESULTS
    points = FluxPoints.read(folder / "flux-points.fits")
    assert points.dnde.data.size == 5
    curve = FluxPoints.read(folder / "light-curve.fits", format="lightcurve")
    assert curve.geom.axes["time"].nbin == 2
    models = Models.read(folder / "models.yaml")
    assert models.covariance.data[0, 0] > 0
    dataset = SpectrumDatasetOnOff.read(folder / "stacked.fits.gz")
    assert dataset.counts.data.sum() == read(analysed, "summary.json")["on_region"]["counts"]


def test_report_and_closing_lines(analysed):
    text = (analysed.folder / RESULTS / "report.html").read_text()
    assert text.count("data:image/png;base64") >= 4
    assert "gc detected" in text
    assert "<script" not in text
    for word in ("best model pl", "index = 2.2", "in lake", "report"):
        assert word in analysed.done.stdout


def test_cache_is_released_and_nothing_runs_again(analysed):
    assert not list((analysed.folder / RESULTS / "cache").glob("*"))
    assert not list((analysed.folder / RESULTS / "work/reduced").glob("*"))
    assert read(analysed, "released.json")["checked"] is True
    done = analysed.snakemake("analysis", "--dry-run", config="request.yaml")
    assert "analysis reduce" not in done.stdout + done.stderr


def test_bad_request_stops_before_anything_runs(analysed):
    config = write_request(analysed, "bad.yaml", dimension="3d", background={"method": "reflected"})
    done = analysed.snakemake("analysis", config=config, check=False)
    assert done.returncode == 1
    assert "reflected goes with 1d, fov with 3d" in done.stdout + done.stderr
