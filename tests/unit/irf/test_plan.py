import json

import numpy as np
import pytest

from ctabatch.cli.main import run
from ctabatch.config.load import parse_config
from ctabatch.errors import InputError, LimitError
from ctabatch.irf.plan import make_plan, write_plan
from ctabatch.irf.production import showers_needed, variant_efficiency
from ctabatch.irf.reference import read_pilot
from ctabatch.irf.resolve import resolve
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake


def ingest(config, folder, plan, variant, status="valid"):
    """Put a stand-in of a product into the lake: only its metadata matter for the look-up."""
    path = folder / f"{variant}-{status}.fits.gz"
    path.write_text(variant + status)
    metadata = {
        "data__type": "GridIRF",
        "irf__request_digest": plan["digest"],
        "irf__status": status,
        "irf__variant": variant,
    }
    did = f"{config.lake.scope}:/{config.lake.vo}/test/{path.name}"
    open_lake(config.lake).ingest([NewFile(path, did, metadata)])
    return did


def test_plan_counts_whole_runs_for_the_wanted_precision(config):
    plan = make_plan(config)
    assert plan["action"] == "simulate"
    assert set(plan["products"]) == {"nominal", "throughput-low"}
    gamma = plan["production"]["nominal"]["gamma"]["irf"]
    needed = plan["statistics"]["needs"]["nominal"]["gamma"]["showers"]
    assert 0 <= gamma["runs"] * gamma["showers_per_run"] - needed < gamma["showers_per_run"]
    expected = plan["statistics"]["expected_uncertainty"]
    assert set(expected) == {"nominal", "throughput-low"}
    assert max(expected.values()) <= config.irf.precision.effective_area
    assert plan["cost"]["jobs"] > 0
    assert plan["resources"][0]["cpus"] >= 1
    assert "train" not in plan["production"]["throughput-low"]["gamma"]


def test_the_south_is_planned_with_its_own_pilot_table(content):
    content["irf"] |= {"site": "CTAO-South", "subarray": "CTAO-South"}
    content["irf"]["precision"] |= {"energy_min": "0.708 TeV", "energy_max": "7.08 TeV"}
    content["limits"] = {}
    plan = make_plan(parse_config(content))
    assert plan["statistics"]["efficiency_from"] == "pilot CTAO-South"
    assert plan["production"]["nominal"]["gamma"]["irf"]["runs"] > 0
    assert len(plan["cards"]["nominal_gamma_irf"]["telescopes"]) == 51


@pytest.mark.parametrize("subarray", ["CTAO-North", "CTAO-South"])
def test_pilot_tables_are_smooth_enough_to_plan_with(checkout, subarray):
    table = read_pilot(checkout / "config" / "pilot" / f"{subarray}.ecsv")
    energy = np.geomspace(0.5, 20, 12)
    for offset in (0.5, 1.5, 2.5):
        area = table.effective_area("gamma", energy, offset)
        assert (area > 1e4).all()
        assert (area < np.pi * 1500**2).all()
        assert np.abs(np.diff(np.log(area))).max() < np.log(2.5)
    assert (table.effective_area("proton", [1.0, 3.0], 0.5) > 0).all()


def test_half_the_uncertainty_needs_four_times_the_events(content):
    coarse = make_plan(parse_config(content))["statistics"]["needs"]["nominal"]["gamma"]["showers"]
    content["irf"]["precision"]["effective_area"] /= 2
    content["limits"] = {}
    fine = make_plan(parse_config(content))["statistics"]["needs"]["nominal"]["gamma"]["showers"]
    assert fine == pytest.approx(4 * coarse, rel=1e-3)


def test_variation_with_less_light_never_needs_fewer_showers(config):
    needs = showers_needed(resolve(config))
    for particle, need in needs["throughput-low"].items():
        assert need.showers >= needs["nominal"][particle].showers


def test_less_light_reaches_the_same_efficiency_at_higher_energy(config):
    resolved = resolve(config)
    variant = resolved.request.systematics[0]
    dim = variant_efficiency(resolved.efficiency, variant)
    assert dim.effective_area("gamma", [1 / 0.9], 0.5) == pytest.approx(
        resolved.efficiency.effective_area("gamma", [1.0], 0.5)
    )


def test_variation_changes_its_cards_only(config):
    cards = make_plan(config)["cards"]
    assert cards["nominal_gamma_irf"]["optical_throughput"] == 1
    assert cards["throughput-low_gamma_irf"]["optical_throughput"] == pytest.approx(0.9)
    assert cards["throughput-low_gamma_irf"]["nsb"] == cards["nominal_gamma_irf"]["nsb"]


def test_valid_products_are_fetched(config, tmp_path):
    plan = make_plan(config)
    dids = {name: ingest(config, tmp_path, plan, name) for name in plan["products"]}
    again = make_plan(config)
    assert again["action"] == "fetch"
    assert again["existing"] == dids
    assert "production" not in again


def test_invalid_product_is_listed_and_not_used(config, tmp_path):
    plan = make_plan(config)
    for name in plan["products"]:
        ingest(config, tmp_path, plan, name, status="invalid")
    again = make_plan(config)
    assert again["action"] == "simulate"
    assert {item["status"] for item in again["not_used"]} == {"invalid"}
    assert again["revision"] == 2


def test_incomplete_set_of_variants_is_not_used(config, tmp_path):
    plan = make_plan(config)
    ingest(config, tmp_path, plan, "nominal")
    again = make_plan(config)
    assert again["action"] == "simulate"
    assert again["not_used"][0]["status"] == "incomplete"


@pytest.mark.parametrize("limit", ["cpu_hours", "storage", "jobs", "showers"])
def test_limit_is_refused_with_a_precision_that_fits(content, limit):
    cost = make_plan(parse_config(content))["cost"]
    content["limits"] = {
        "cpu_hours": {"cpu_hours": 0.9 * cost["cpu_hours"]},
        "storage": {"storage": f"{0.8 * cost['storage_bytes'] / 1e6} MB"},
        "jobs": {"jobs": cost["jobs"] - 3},
        "showers": {"showers": int(0.8 * cost["showers"])},
    }[limit]
    with pytest.raises(LimitError, match=rf"limits\.{limit} is .*would fit: effective_area"):
        make_plan(parse_config(content))


def test_limit_below_the_smallest_production(content):
    content["limits"] = {"jobs": 2}
    with pytest.raises(LimitError, match=r"limits\.jobs is 2 \(even one run of each sample"):
        make_plan(parse_config(content))


def test_proposed_precision_fits(content):
    content["irf"]["systematics"] = []
    content["limits"] = {"showers": make_plan(parse_config(content))["cost"]["showers"] * 3 // 4}
    with pytest.raises(LimitError) as caught:
        make_plan(parse_config(content))
    words = caught.value.hint.replace(",", "").split()
    content["irf"]["precision"]["effective_area"] = float(words[3])
    content["irf"]["precision"]["background"] = min(1.0, float(words[6]))
    assert make_plan(parse_config(content))["cost"]["showers"] <= content["limits"]["showers"]


def test_same_name_with_other_content_is_refused(content, tmp_path):
    path = tmp_path / "results" / "irf" / "demo" / "plan.json"
    write_plan(make_plan(parse_config(content)), path)
    write_plan(make_plan(parse_config(content)), path)
    content["irf"]["pointing"]["zenith"] = "30 deg"
    other = make_plan(parse_config(content))
    with pytest.raises(InputError, match=r"irf\.name: .*another request of the name 'demo'"):
        write_plan(other, path)
    assert json.loads(path.read_text())["digest"] != other["digest"]


def test_command_prints_the_plan(config, capsys):
    run(["irf", "plan"])
    out = capsys.readouterr().out
    assert "Open1-CTAO-North-20deg" in out
    assert "CPU hours" in out
    assert "Approximate" in out


def test_command_writes_plan_and_bins(config, tmp_path):
    run(["irf", "plan", "--output", "out/plan.json"])
    import yaml

    bins = yaml.safe_load((tmp_path / "out" / "binning.yaml").read_text())
    assert bins["DefaultFoVOffsetBins"]["fov_offset_n_bins"] == config.irf.binning.offset_bins


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("zenith: 20 deg", "zenith: 95 deg", "irf.pointing.zenith"),
        ("zenith: 20 deg", "zenith: 20 m", "irf.pointing.zenith"),
        ("  nsb: dark", "  nsbb: dark", "irf.nsbb"),
        ("site: CTAO-North", "site: CTAO-West", "irf.site"),
        ("energy_max: 1.26 TeV", "energy_max: 0.1 TeV", "irf.precision"),
        ("effective_area: 0.15", "effective_area: 0.005", "limits"),
    ],
)
def test_bad_request_is_one_line_with_the_key(checkout, capsys, old, new, message):
    path = checkout / "config" / "config.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SystemExit) as caught:
        run(["irf", "plan"])
    assert caught.value.code in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in lines[0]
