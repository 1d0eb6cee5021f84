"""Planning: which observations, why not the others, models, IRFs; nothing is reduced."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ctabatch.analysis.plan import make_plan, write_plan
from ctabatch.config.load import parse_config
from ctabatch.errors import BatchError, InputError, LimitError
from ctabatch.iam.errors import NoAccess
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake


@pytest.fixture
def fake(here):
    """Ingest small files with the metadata of observations: a plan does not open them."""

    def run(obs_id, **changes):
        path = here / f"ob{obs_id}.fits"
        path.write_bytes(f"observation {obs_id}".encode())
        content = {
            "data__level": "DL3",
            "instance__obs_id": obs_id,
            "instance__site_id": "CTAO-North",
            "obs__ra_deg": 83.633,
            "obs__dec_deg": 22.514,
            "obs__start": f"2026-01-10T22:{obs_id % 60:02d}:00",
            "obs__end": f"2026-01-10T23:{obs_id % 60:02d}:00",
            "obs__zenith_deg": 20.0,
            "obs__livetime_s": 1000.0,
            "proposal_id": "P1",
            "dl3__status": "valid",
            "dl3__irf_digest": "0" * 64,
        }
        content = {key: value for key, value in (content | changes).items() if value is not None}
        did = f"test:/ctao.dpps.test/test/fake/{path.name}"
        open_lake(parse_config({}).lake).ingest([NewFile(path, did, content)])
        return did

    return run


def plan_of(content):
    return make_plan(parse_config(content), "test.yaml")


def test_selection_keeps_what_fits_and_says_why_not(content, fake):
    kept = fake(1)
    fake(2, obs__dec_deg=52.0)
    fake(3, obs__zenith_deg=75.0)
    fake(4, obs__livetime_s=10.0)
    fake(5, obs__start="2025-01-01T00:00:00")
    fake(6, dl3__status="superseded")
    fake(7, proposal_id="P2")
    fake(8, obs__ra_deg=None)
    content["analysis"]["selection"] = {"livetime_min": "1 min", "start": "2026-01-01"}
    plan = plan_of(content)
    assert [row["did"] for row in plan["observations"]] == [kept]
    assert plan["observations"][0]["offset_deg"] == pytest.approx(0.5, abs=1e-3)
    reasons = {item["obs_id"]: item["reason"] for item in plan["left_out"]}
    assert set(reasons) == {2, 3, 4, 5}
    assert "29.99 deg from the target" in reasons[2]
    assert "zenith" in reasons[3]
    assert "livetime" in reasons[4]
    assert "before 2026-01-01" in reasons[5]
    assert plan["volume"] == {"files": 1, "bytes": len("observation 1"), "on_tape": 0}


def test_groups_are_of_equal_size_in_order_of_time(content, fake):
    for number in (5, 3, 1, 2, 4):
        fake(number)
    content["analysis"]["group_size"] = 2
    plan = plan_of(content)
    assert plan["groups"] == 3
    assert [row["obs_id"] for row in plan["observations"]] == [1, 2, 3, 4, 5]
    sizes = [sum(row["group"] == group for row in plan["observations"]) for group in range(3)]
    assert sorted(sizes) == [1, 2, 2]


def test_identity_ignores_names_and_spelling_and_sees_the_rest(content, fake):
    fake(1)
    first = plan_of(content)["digest"]
    content["analysis"] |= {"name": "other", "group_size": 3, "n_jobs": 4, "save": "download"}
    content["analysis"]["target"]["lon"] = "301078.8 arcsec"
    assert plan_of(content)["digest"] == first
    Path("model.yaml").write_text(Path("model.yaml").read_text().replace("2.0", "2.1"))
    changed = plan_of(content)["digest"]
    assert changed != first
    fake(2)
    assert plan_of(content)["digest"] != changed


def test_results_of_another_request_are_not_overwritten(content, fake):
    fake(1)
    write_plan(plan_of(content), Path("r/plan.json"))
    fake(2)
    with pytest.raises(InputError, match="another request of the name 'test'"):
        write_plan(plan_of(content), Path("r/plan.json"))


def test_vanished_did_is_named(content, fake):
    here, gone = fake(1), "test:/ctao.dpps.test/test/fake/gone.fits"
    content["analysis"]["data"] = {"dids": [here, gone]}
    with pytest.raises(BatchError, match=r"gone\.fits is not in the data lake") as caught:
        plan_of(content)
    assert caught.value.exit_code == 1
    content["analysis"]["on_bad_observation"] = "skip"
    plan = plan_of(content)
    assert [row["did"] for row in plan["observations"]] == [here]
    assert [item["did"] for item in plan["bad"]] == [gone]


def test_observation_without_irf_is_listed_with_the_nearest(content, fake):
    fake(1)
    fake(2, dl3__irf_digest=None, obs__subarray="alpha", obs__azimuth_deg=180.0, obs__nsb="dark")
    with pytest.raises(BatchError, match="1 of the observations can't be used: 2 has no IRF"):
        plan_of(content)
    content["analysis"]["on_bad_observation"] = "skip"
    assert [item["obs_id"] for item in plan_of(content)["bad"]] == [2]


def test_irf_of_the_lake_is_matched(content, fake):
    fake(1, dl3__irf_digest=None, obs__subarray="alpha", obs__azimuth_deg=170.0, obs__nsb="1.0")
    irfs = {
        zenith: fake(
            zenith, data__type="GridIRF", instance__obs_id=None, obs__ra_deg=None, proposal_id=None,
            irf__status="valid", irf__variant="nominal", irf__subarray="alpha", irf__nsb="1.0",
            irf__zenith_deg=float(zenith), irf__azimuth_deg=180.0, simulation__node__nsb_factor=1.0,
        )
        for zenith in (22, 40)
    }  # fmt: skip
    irf = plan_of(content)["observations"][0]["irf"]
    assert irf["source"] == "lake"
    assert irf["did"] == irfs[22]


def test_nothing_found_and_nothing_left(content, fake):
    with pytest.raises(NoAccess, match="there is no data of project P1"):
        plan_of(content)
    fake(1, obs__dec_deg=-60.0)
    with pytest.raises(InputError, match="no observation is left of 1") as caught:
        plan_of(content)
    assert "pointed" in str(caught.value)


def test_both_sites_can_only_be_downloaded(content, fake):
    fake(1)
    fake(2, instance__site_id="CTAO-South")
    with pytest.raises(InputError, match="CTAO-North and CTAO-South"):
        plan_of(content)
    content["analysis"]["save"] = "download"
    assert len(plan_of(content)["observations"]) == 2


def test_limit_of_storage(content, fake):
    fake(1)
    content["limits"] = {"storage": "1 byte"}
    with pytest.raises(LimitError, match=r"limits\.storage"):
        plan_of(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": [{"name": "indx", "value": 2}]}, "has no parameter 'indx'"),
        ({"type": "PowrLaw"}, "unknown model type 'PowrLaw'"),
        ({"parameters": [{"value": 2}]}, "parameter without a name"),
    ],
)
def test_mistake_in_a_model_file(content, fake, change, message):
    fake(1)
    model = yaml.safe_load(Path("model.yaml").read_text())
    model["components"][0]["spectral"] |= change
    Path("model.yaml").write_text(yaml.safe_dump(model))
    with pytest.raises(InputError, match=message) as caught:
        plan_of(content)
    assert "model.yaml: crab.spectral" in str(caught.value)


def test_other_mistakes_in_model_files(content, fake):
    fake(1)
    content["analysis"]["models"]["source"] = "m87"
    with pytest.raises(InputError, match="has no model 'm87'"):
        plan_of(content)
    Path("model.yaml").write_text("components: []\n")
    with pytest.raises(InputError, match="has no models"):
        plan_of(content)
    Path("model.yaml").unlink()
    with pytest.raises(InputError, match=r"model\.yaml: no such file"):
        plan_of(content)


def test_known_parameters_come_from_gammapy(here, monkeypatch):
    from ctabatch.analysis.models import known_parameters

    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    known = known_parameters()
    assert known["spectral"]["pl"] == ["index", "amplitude", "reference"]
    assert known_parameters() == known  # now from the cache
    assert list((here / "cache").rglob("gammapy-models-*.json"))


def test_command_prints_one_line_for_a_mistake(content, fake):
    fake(1)
    content["analysis"]["data"] = {"project": "P1", "basket": "mine"}
    Path("bad.yaml").write_text(yaml.safe_dump(content))
    code = "import sys; from ctabatch.cli.main import run; run(sys.argv[1:])"
    command = [sys.executable, "-c", code, "analysis", "plan", "--config", "bad.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give exactly one of project, query, basket and dids" in done.stderr
    assert done.stderr.count("\n") == 1
    content["analysis"]["data"] = {"project": "P1"}
    Path("good.yaml").write_text(yaml.safe_dump(content))
    command[-1] = "good.yaml"
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["observations"][0]["obs_id"] == 1


def test_project_of_another_pi_is_denied_like_one_that_does_not_exist(content, fake):
    """The identity decides; nothing leaks about what is there."""
    secret = fake(1, proposal_id="P2", release_date="2999-01-01")
    public = fake(2, proposal_id="P2", release_date="2020-01-01")
    content["iam"] = {"local_projects": ["P1"]}
    content["analysis"]["data"] = {"project": "P2"}
    assert [row["did"] for row in plan_of(content)["observations"]] == [public]
    messages = []
    fake(3, proposal_id="P3", release_date="2999-01-01")
    for project in ("P3", "P4"):
        content["analysis"]["data"] = {"project": project}
        with pytest.raises(NoAccess) as caught:
            plan_of(content)
        messages.append(str(caught.value).replace(project, "X"))
    assert messages[0] == messages[1]
    content["analysis"]["data"] = {"dids": [secret, public]}
    with pytest.raises(BatchError, match="not for you to see"):
        plan_of(content)
    content["analysis"]["data"] = {"query": "proposal_id = P2"}
    assert [row["did"] for row in plan_of(content)["observations"]] == [public]


def test_basket(content, fake, monkeypatch):
    from ctabatch.basket.store import changing, item_of, lake_name

    monkeypatch.setenv("XDG_DATA_HOME", str(Path("data").absolute()))
    content["analysis"]["data"] = {"basket": "mine"}
    with pytest.raises(InputError, match="basket 'mine' is empty"):
        plan_of(content)
    did = fake(1)
    fake(2)
    lake = parse_config({}).lake
    rows = open_lake(lake).search("instance__obs_id = 1").to_dict("records")
    with changing("mine") as held:
        held[0] = held[0].with_items([item_of(row, lake_name(lake)) for row in rows])[0]
    assert [row["did"] for row in plan_of(content)["observations"]] == [did]
    with changing("mine") as held:
        held[0] = held[0].with_items([item_of(rows[0], "rucio:https://elsewhere.example")])[0]
    with pytest.raises(BatchError, match="is in another data lake"):
        plan_of(content)


@pytest.mark.parametrize(
    ("projects", "message"),
    [
        (
            ["P2"],
            r"no valid DL3 observation matches query .*look with: cta-batch search 'data.*'\)$",
        ),
        ([], r"without a login you see released data only, see iam\.local_projects"),
    ],
)
def test_query_for_data_of_others_finds_nothing_and_says_what_may_be_missing(
    content, fake, projects, message
):
    fake(1)
    content["analysis"]["data"] = {"query": "instance__obs_id = 1"}
    with pytest.raises(InputError, match=message):
        plan_of(content | {"iam": {"local_projects": projects}})
