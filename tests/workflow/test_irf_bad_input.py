"""What a person sees who asks for something that can't be done; no simulation is started."""

import json

import pytest
import yaml


def request(checkout, **changes):
    """Write a changed copy of the test's configuration; keys are joined by ``__``."""
    content = yaml.safe_load((checkout.folder / "config/test/irf.yaml").read_text())
    for key, value in changes.items():
        *sections, last = key.split("__")
        part = content
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = value
    (checkout.folder / "changed.yaml").write_text(yaml.safe_dump(content))
    return "changed.yaml"


@pytest.fixture(scope="module")
def checkout(new_checkout):
    return new_checkout()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"irf__pointing__zenith": "95 deg"}, ["irf.pointing.zenith", "95"]),
        ({"irf__pointing__zenith": "20 m"}, ["irf.pointing.zenith"]),
        ({"irf__sight": "CTAO-North"}, ["irf.sight"]),
        ({"irf__site": "CTAO-West"}, ["irf.site", "CTAO-North"]),
        ({"irf__precision__energy_max": "0.1 TeV"}, ["irf.precision"]),
    ],
)
def test_mistake_in_the_configuration_stops_before_the_dag(checkout, changes, words):
    done = checkout.snakemake("irf", config=request(checkout, **changes), check=False)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    for word in ("changed.yaml", *words):
        assert word in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"irf__subarray": "CTAO-East"}, ["CTAO-East", "CTAO-North"]),
        ({"irf__period": "1990-01-01/1990-02-01"}, ["1990"]),
        ({"irf__period": "no-such-period"}, ["no-such-period", "2026-winter"]),
        ({"limits__cpu_hours": 0.001}, ["limits.cpu_hours", "raise the limit"]),
        ({"irf__precision__reference": "config/config.yaml"}, ["is not an IRF in FITS"]),
    ],
)
def test_request_that_cannot_be_planned(checkout, changes, words):
    done = checkout.snakemake("irf", config=request(checkout, **changes), check=False)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    for word in words:
        assert word in text
    assert "Traceback" not in text
    assert not (checkout.folder / "results/irf/small/plan.json").exists()


def test_same_name_with_other_content(new_checkout):
    checkout = new_checkout()
    checkout.snakemake("irf_plan")
    other = request(checkout, irf__pointing__zenith="30 deg")
    done = checkout.snakemake("irf_plan", config=other, check=False)
    assert done.returncode == 1
    assert "another request of the name 'small'" in done.stdout + done.stderr


def test_plan_target_prints_and_stops(new_checkout):
    checkout = new_checkout()
    for _ in range(2):
        done = checkout.snakemake("irf_plan")
        assert "CPU hours" in done.stdout
    plan = json.loads((checkout.folder / "results/irf/small/plan.json").read_text())
    assert plan["action"] == "simulate"
    assert not (checkout.folder / "results/irf/small/runs").exists()


def test_results_folder_that_is_a_file(new_checkout):
    checkout = new_checkout()
    (checkout.folder / "blocked").write_text("a file")
    config = request(checkout, results="blocked")
    done = checkout.snakemake("irf_plan", config=config, check=False)
    assert done.returncode == 1
    assert "blocked" in done.stdout + done.stderr


def test_corrupt_model_is_named(new_checkout):
    """A model file that is no model stops the run before anything is applied, in one clear line."""
    checkout = new_checkout()
    checkout.snakemake("irf_plan")
    models = checkout.folder / "results/irf/small/models"
    models.mkdir()
    (models / "energy.pkl").write_bytes(b"not a model")
    target = "results/irf/small/models/energy.json"
    done = checkout.snakemake(target, "--allowed-rules", "irf_check_model", check=False)
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert "results/irf/small/models/energy.pkl is no model of ctapipe" in text
    assert "remove it and run again" in text
    assert "Traceback" not in text
    assert not (models / "energy.json").exists()
