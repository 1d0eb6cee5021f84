"""Reprocessing from simulated DL0 on tape to verified DL3 in the lake, as in the guided tour."""

import json

import pytest
import yaml

from tour import play

# the first waits for the production, which another process may be making
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

CONFIG = "config/tour.yaml"
RESULTS = "results/reprocessing/tour"


@pytest.fixture(scope="module")
def reprocessed(production):
    """The lake with the small IRF; the tour's observation is put on tape and reprocessed."""
    play(production, "Reprocessing")
    return production


def read(checkout, name):
    return json.loads((checkout.folder / RESULTS / name).read_text())


def search(checkout, query):
    done = checkout.run("cta-batch", "search", query, "--json", "--config", CONFIG)
    return json.loads(done.stdout)


def test_dl3_is_verified_found_and_opens_in_gammapy(reprocessed):
    from gammapy.data import DataStore

    (row,) = search(reprocessed, "data__level = DL3 and proposal_id = TOUR")
    assert row["did"] == read(reprocessed, "summary.json")["made"]["ob0000001001"]
    assert row["dl3__status"] == "valid"
    report = read(reprocessed, "verification/ob0000001001.json")
    assert report["passed"]
    assert {check["name"] for check in report["files"][0]["checks"]} >= {"livetime", "event_count"}
    store = DataStore.from_dir(reprocessed.folder / RESULTS / "dl3")
    (observation,) = store.get_observations([1001])
    assert len(observation.events.table) == row["dl3__events"] > 0
    assert observation.observation_live_time_duration.to_value("s") == pytest.approx(20, rel=0.05)
    assert observation.aeff is not None
    assert observation.bkg is not None


def test_lineage_goes_both_ways(reprocessed):
    (row,) = search(reprocessed, "data__level = DL3 and proposal_id = TOUR")
    raw = search(reprocessed, "data__level = DL0 and instance__obs_id = 1001")
    assert {item["dl0__dl3"] for item in raw} == {row["did"]}
    assert set(row["activity__inputs"].split()) == {item["instance__id"] for item in raw}
    (irf,) = search(reprocessed, "data__type = GridIRF and irf__variant = nominal")
    assert row["dl3__irf"] == irf["did"]
    assert row["dl3__irf_id"] == irf["instance__id"]


def test_ran_in_waves_and_caches_are_empty(reprocessed):
    plan = read(reprocessed, "plan.json")
    assert [len(wave["files"]) for wave in plan["waves"]] == [1, 1]
    clean = read(reprocessed, "clean.json")
    assert (clean["staging_requests"], clean["temporary_files"], clean["copies_left"]) == (0, 0, [])
    done = reprocessed.run("cta-batch", "lake", "requests", "--config", CONFIG)
    assert "no request is held" in done.stdout
    for name in ("dl0", "dl2", "models"):
        assert not [p for p in (reprocessed.folder / RESULTS / name).rglob("*") if p.is_file()]


def test_second_run_does_nothing(reprocessed):
    before = read(reprocessed, "summary.json")
    done = reprocessed.snakemake("reprocessing", config=CONFIG)
    assert "stage wave" not in done.stdout + done.stderr
    assert read(reprocessed, "summary.json") == before


def test_same_request_elsewhere_fetches_what_exists(reprocessed):
    content = yaml.safe_load((reprocessed.folder / CONFIG).read_text())
    content["reprocessing"]["name"] = "another"
    (reprocessed.folder / "another.yaml").write_text(yaml.safe_dump(content))
    done = reprocessed.snakemake("reprocessing", config="another.yaml")
    assert "nothing had to be processed" in done.stdout
    folder = reprocessed.folder / "results/reprocessing/another/dl3"
    original = reprocessed.folder / RESULTS / "dl3/ob0000001001.dl3.fits.gz"
    assert (folder / "ob0000001001.dl3.fits.gz").read_bytes() == original.read_bytes()
    assert (folder / "obs-index.fits.gz").exists()


def test_tour_goes_on_to_the_analysis(reprocessed, tmp_path):
    reprocessed.environment["XDG_STATE_HOME"] = str(tmp_path)  # no baskets, no logins
    play(reprocessed, "PI analysis")
