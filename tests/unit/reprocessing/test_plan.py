"""What a reprocessing plans, and what it refuses."""

import json

import pytest

from ctabatch.cli.main import run
from ctabatch.config.load import parse_config
from ctabatch.errors import InputError, LimitError
from ctabatch.reprocessing.plan import make_plan, write_plan


@pytest.fixture
def plan(content):
    """Make the plan of a changed request: ``plan(query=...)``."""

    def make(lake=None, limits=None, **changes):
        request = {**content["reprocessing"], **changes}
        whole = content | {"reprocessing": {k: v for k, v in request.items() if v is not None}}
        if lake:
            whole["lake"] = content["lake"] | lake
        if limits:
            whole["limits"] = limits
        return make_plan(parse_config(whole), "config.yaml")

    return make


def test_plan_has_files_models_waves_and_cost(fill, plan):
    irf = fill.irf()
    dids = fill.dl0(42, chunks=2) + fill.dl0(43)
    found = plan()
    assert found["action"] == "process"
    assert list(found["observations"]) == ["ob0000000042", "ob0000000043"]
    first = found["observations"]["ob0000000042"]
    assert [chunk["did"] for chunk in first["chunks"]] == dids[:2]
    assert [chunk["key"] for chunk in first["chunks"]] == ["ob0000000042-0001", "ob0000000042-0002"]
    assert first["match"]["zenith_deg"] == pytest.approx(1)
    (models,) = found["irfs"].values()
    assert models["files"]["irf"]["did"] == irf
    assert set(models["files"]) == {"irf", "energy", "classifier", "cuts"}
    assert [wave["stage"] for wave in found["waves"]] == [dids]
    assert found["volume"] == {"files": 3, "bytes": 3000}
    assert found["staging"]["bytes"] == 3000
    assert found["cost"]["events"] == 3000
    assert found["cost"]["cpu_hours"] > 0
    assert found["resources"]


def test_observation_has_the_times_of_all_its_chunks(fill, plan):
    """Chunks may arrive in any order, and a query that matches one takes all."""
    fill.irf()
    fill.dl0(42, chunks=3, only=(3, 1, 2))
    found = plan(query="obs__start >= 2026-01-15T22:05:00")
    (item,) = found["observations"].values()
    assert [chunk["metadata"]["obs__chunk"] for chunk in item["chunks"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ({"observations": [43]}, [43]),
        ({"observations": [44, 42]}, [42, 44]),
        ({"period": "2026-01-15T21:00/2026-01-15T22:00:01"}, [42, 43, 44]),
        ({"period": "2026-01-16/2026-01-17"}, []),
        ({"query": "obs__object = Vela"}, [44]),
        ({"query": "obs__object = Vela", "observations": [42]}, []),
        ({"query": "obs__object = Vela or instance__obs_id = 42"}, [42, 44]),
    ],
)
def test_selection(fill, plan, selection, found):
    fill.irf()
    fill.dl0(42)
    fill.dl0(43)
    fill.dl0(44, obs__object="Vela")
    selection = {"query": None} | selection
    if not found:
        with pytest.raises(InputError, match="no DL0"):
            plan(**selection)
        return
    made = plan(**selection)
    assert [item["obs_id"] for item in made["observations"].values()] == found


def test_observation_that_is_not_there_is_named(fill, plan):
    fill.irf()
    fill.dl0(42)
    with pytest.raises(InputError, match="no DL0 of observation 77, 78"):
        plan(observations=[42, 77, 78])


def test_missing_chunk(fill, plan):
    fill.irf()
    fill.dl0(42, chunks=3, only=(1, 3))
    with pytest.raises(InputError, match=r"observation 42: 2 of its 3 DL0 files .*chunk 2 is abs"):
        plan()


def test_chunk_that_is_there_twice(fill, plan):
    fill.irf()
    fill.dl0(42)
    fill.put("again.h5", b"x", fill.lake.metadata(fill.dl0(42))[fill.dl0(42)[0]], rse="TAPE")
    with pytest.raises(InputError, match=r"chunk 1 is .*again.h5 and .*run42-1"):
        plan()


@pytest.mark.parametrize("key", ["obs__ra_deg", "obs__zenith_deg", "obs__livetime_s", "obs__nsb"])
def test_missing_metadata(fill, plan, key):
    fill.irf()
    fill.dl0(42, **{key: None})
    with pytest.raises(InputError, match=rf"run42-1\.dl0\.h5 lacks the metadata {key}"):
        plan()


def test_chunks_that_disagree(fill, plan):
    fill.irf()
    fill.dl0(42, chunks=2, only=(1,))
    fill.dl0(42, chunks=2, only=(2,), obs__ra_deg=90.0)
    with pytest.raises(InputError, match="obs__ra_deg"):
        plan()


def test_obs_id_that_two_sites_use(fill, plan):
    fill.irf()
    fill.dl0(42, chunks=2, only=(1,))
    fill.dl0(42, chunks=2, only=(2,), instance__site_id="CTAO-South")
    with pytest.raises(InputError, match="42 exists at CTAO-North and CTAO-South"):
        plan()


def test_file_without_an_observation(fill, plan):
    fill.put(
        "odd.h5", b"x", {"data__level": "DL0", "data__division": "Event", "proposal_id": "P42"}
    )
    with pytest.raises(InputError, match=r"odd\.h5 has no instance__obs_id"):
        plan()


def test_observation_without_an_irf(fill, plan):
    fill.irf()
    fill.dl0(42, obs__zenith_deg=45.0)
    with pytest.raises(InputError, match=r"no valid IRF .*observation 42.*zenith 25 deg away"):
        plan()
    assert plan(matching={"zenith": "25 deg"})["action"] == "process"


def test_irf_of_other_configurations_is_not_used(fill, plan, checkout):
    fill.irf()
    fill.dl0(42)
    path = checkout / "config" / "pipeline" / "process.yaml"
    path.write_text(
        path.read_text().replace("min_picture_neighbors: 2", "min_picture_neighbors: 1")
    )
    with pytest.raises(InputError, match="made with other ctapipe configurations"):
        plan()


def test_irf_of_another_ctapipe_is_not_used(fill, plan):
    fill.irf(software__ctapipe="0.1.0")
    fill.dl0(42)
    with pytest.raises(InputError, match=r"ctapipe 0\.1\.0, not"):
        plan()


def test_irf_whose_models_are_absent(fill, plan):
    fill.irf(models=("energy", "cuts"))
    fill.dl0(42)
    with pytest.raises(InputError, match="no valid model classifier"):
        plan()


def test_incomplete_observations_are_left_out_on_request(fill, plan):
    fill.irf()
    fill.dl0(42)
    fill.dl0(43, chunks=2, only=(1,))
    fill.dl0(44, obs__zenith_deg=60.0)
    with pytest.raises(InputError, match=r"observation 43.*and 1 more observations.*skip"):
        plan()
    found = plan(incomplete="skip")
    assert list(found["observations"]) == ["ob0000000042"]
    assert [item["obs_id"] for item in found["skipped"]] == [43, 44]
    with pytest.raises(InputError, match="observation 44"):
        plan(incomplete="skip", observations=[44])


def test_waves_fit_the_quota(fill, plan):
    fill.irf()
    for obs_id in (42, 43, 44):
        fill.dl0(obs_id, chunks=2, size=1000)
    used = fill.lake.usage("DISK").used
    rses = {"DISK": {"quota": used + 2500}, "TAPE": {"tier": "TAPE"}}
    found = plan(lake={"local": {"folder": "lake", "rses": rses}})
    assert [len(wave["files"]) for wave in found["waves"]] == [2, 2, 2]
    assert [wave["bytes"] for wave in found["waves"]] == [2000] * 3
    assert found["staging"]["quota_left"] == 2500
    keys = [key for wave in found["waves"] for key in wave["files"]]
    assert len(set(keys)) == 6


def test_waves_by_configured_volume(fill, plan):
    fill.irf()
    fill.dl0(42, chunks=3, size=2000)
    found = plan(staging={"wave_volume": "0.000004 GB"})
    assert [len(wave["files"]) for wave in found["waves"]] == [2, 1]


def test_file_larger_than_the_quota(fill, plan):
    fill.irf()
    fill.dl0(42, size=5000)
    used = fill.lake.usage("DISK").used
    rses = {"DISK": {"quota": used + 2500}, "TAPE": {"tier": "TAPE"}}
    with pytest.raises(
        LimitError, match=r"run42-1.* has 5000 bytes, the quota of DISK leaves 2500"
    ):
        plan(lake={"local": {"folder": "lake", "rses": rses}})
    with pytest.raises(LimitError, match=r"wave_volume allows 2000: not even this one file"):
        plan(staging={"wave_volume": "0.000002 GB"})


def test_files_on_disk_are_not_staged(fill, plan):
    fill.irf()
    fill.tape = "DISK"
    fill.dl0(42)
    fill.tape = "TAPE"
    (taped,) = fill.dl0(43)
    (wave,) = plan()["waves"]
    assert (len(wave["files"]), wave["stage"], wave["bytes"]) == (2, [taped], 1000)


def test_limits(fill, plan):
    fill.irf()
    fill.dl0(42)
    with pytest.raises(LimitError, match=r"limits\.jobs is 1"):
        plan(limits={"jobs": 1})


def existing(fill, plan, status="valid", **changes):
    """Put the DL3 of the only observation that a plan has."""
    (item,) = plan()["observations"].values()
    metadata = {
        "data__level": "DL3",
        "data__type": "Observation",
        "instance__obs_id": item["obs_id"],
        "instance__site_id": "CTAO-North",
        "dl3__request_digest": item["request_digest"],
        "dl3__status": status,
    }
    return fill.put(f"dl3-{status}.fits.gz", status.encode(), metadata | changes)


def test_existing_dl3_is_not_made_again(fill, plan):
    fill.irf()
    fill.dl0(42)
    did = existing(fill, plan)
    found = plan()
    assert found["action"] == "nothing"
    assert found["observations"] == {} == found["irfs"]
    assert found["waves"] == []
    assert found["existing"]["ob0000000042"]["existing"] == did


@pytest.mark.parametrize("status", ["invalid", "superseded"])
def test_dl3_that_is_not_valid_is_made_again_as_a_revision(fill, plan, status):
    fill.irf()
    fill.dl0(42)
    existing(fill, plan, status)
    found = plan()
    assert found["action"] == "process"
    assert found["observations"]["ob0000000042"]["revision"] == 2


def test_what_changes_the_product_changes_its_digest(fill, plan, monkeypatch):
    fill.irf()
    fill.dl0(42)

    def digest():
        (item,) = plan()["observations"].values()
        return item["request_digest"]

    first = digest()
    assert digest() == first
    monkeypatch.setattr("ctabatch.reprocessing.plan.__version__", "9.9.9")
    assert digest() != first
    monkeypatch.undo()
    assert digest() == first
    fill.irf("nearer", irf__zenith_deg=21.0, curation__release="two", irf__request_digest="d2")
    assert digest() != first


def test_same_name_for_another_selection_is_refused(fill, plan, tmp_path):
    fill.irf()
    fill.dl0(42)
    fill.dl0(43)
    path = tmp_path / "results" / "plan.json"
    write_plan(plan(), path)
    write_plan(plan(), path)
    with pytest.raises(
        InputError, match=r"reprocessing\.name: .*another request of the name 'test'"
    ):
        write_plan(plan(observations=[42]), path)


def test_command_prints_the_plan(fill, content, checkout, capsys):
    fill.irf()
    fill.dl0(42, chunks=2)
    (checkout / "c.yaml").write_text(json.dumps(content))
    run(["reprocessing", "plan", "--config", "c.yaml", "--output", "out/plan.json"])
    run(["reprocessing", "show", "--plan", "out/plan.json"])
    out = capsys.readouterr().out
    for words in ("observation 42: 2 files", "irf.fits.gz", "2 kB to stage to DISK", "CPU hours"):
        assert out.count(words) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": None}, "observations, period or query"),
        ({"query": "proposal_id =="}, "position"),
        ({"period": "yesterday"}, "reprocessing.period"),
        ({"observations": [1, 1]}, "observation 1 is there twice"),
        ({"observations": ["one"]}, "reprocessing.observations"),
        ({"staging": {"lifetime": "2 m"}}, "reprocessing.staging.lifetime"),
        ({"matching": {"zenit": "2 deg"}}, "reprocessing.matching.zenit"),
        ({"staging": {"rse": "NOWHERE"}}, "NOWHERE"),
    ],
)
def test_bad_request_is_one_line_with_the_key(fill, content, checkout, capsys, changes, message):
    fill.irf()
    fill.dl0(42)
    content["reprocessing"] |= changes
    (checkout / "c.yaml").write_text(json.dumps(content))
    with pytest.raises(SystemExit) as caught:
        run(["reprocessing", "plan", "--config", "c.yaml"])
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_no_request(checkout, capsys):
    (checkout / "c.yaml").write_text("{}")
    with pytest.raises(SystemExit):
        run(["reprocessing", "plan", "--config", "c.yaml"])
    assert "c.yaml: reprocessing: is missing" in capsys.readouterr().err
