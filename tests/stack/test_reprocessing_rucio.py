"""Reprocessing against a real Rucio server: waves that fit the account's limit, release, lineage."""

import time
import uuid

import pytest

from ctabatch.config.load import parse_config
from ctabatch.errors import InputError, LakeError, LimitError
from ctabatch.lake.rucio import RucioLake
from ctabatch.reprocessing.cleaning import check_clean, clean
from ctabatch.reprocessing.inputs import fetch_dl0, fetch_models
from ctabatch.reprocessing.plan import make_plan, write_plan
from ctabatch.reprocessing.products import record
from ctabatch.reprocessing.staging import copies_left, held_waves, release_wave, stage_wave
from reprocessing_lake import Filler
from rucio_tools import DISK, ROOT, TAPE, lake_settings, path_of, set_faults

pytestmark = pytest.mark.xdist_group("rucio")

#: Longest wait for Rucio's daemons, seconds.
PATIENCE = 600


@pytest.fixture(scope="module")
def lake(rucio):
    return RucioLake(lake_settings(rucio))


@pytest.fixture
def place(rucio, lake, tmp_path):
    """A `Filler` with files of this test only, whose ``plan()`` makes the plan for them."""
    set_faults(rucio)
    tag = f"T{uuid.uuid4().hex[:10]}"
    fill = Filler(lake, f"dpps:{ROOT}/{tag}", tmp_path / "incoming", tape=TAPE)
    fill.tag, fill.path = tag, tmp_path / "results" / "plan.json"
    # of this test only: a query selects whole observations, whatever else is on the server
    fill.obs_id = int(tag[1:8], 16)
    fill.key = f"ob{fill.obs_id:010d}"
    settings = lake_settings(rucio).model_dump(mode="json")

    def plan(**changes):
        request = {"name": "test", "query": f"proposal_id = {tag}", **changes}
        found = make_plan(parse_config({"reprocessing": request, "lake": settings}), "test")
        write_plan(found, fill.path)
        return found

    fill.plan = plan
    # a subarray of this test, so that IRFs of other tests do not match
    fill.irf(irf__subarray=tag, irf__request_digest=tag)
    yield fill
    set_faults(rucio)


def dl0(place, **options):
    """DL0 of an observation of this test, on tape, for its IRF."""
    return place.dl0(place.obs_id, proposal_id=place.tag, obs__subarray=place.tag, **options)


@pytest.fixture
def limit(rucio_admin, lake):
    """Limit what the account may have on the disk besides what it has."""

    def used():
        rows = lake.session.call("get_local_account_usage", "operator", DISK)
        return rows[0]["bytes"] if rows else 0

    def allow(count):
        before, end = None, time.monotonic() + PATIENCE
        while before != (before := used()):  # releases of other tests are counted late
            assert time.monotonic() < end, "the account's usage never stands still"
            time.sleep(3)
        rucio_admin.call("set_local_account_limit", "operator", DISK, before + count)

    yield allow
    rucio_admin.call("set_local_account_limit", "operator", DISK, -1)


def test_waves_that_fit_the_account_limit(place, lake, limit, tmp_path):
    """Two files of 1000 bytes where 1500 fit: stage, read, release, next; nothing is left."""
    dids = dl0(place, chunks=2)
    limit(1500)
    plan = place.plan()
    assert [wave["stage"] for wave in plan["waves"]] == [[did] for did in dids]
    (key,) = plan["irfs"]
    fetch_models(lake, plan, key, tmp_path / "models")
    seen = []
    for number, did in enumerate(dids, 1):
        stage_wave(lake, plan, number, tmp_path / f"{number}.json", lambda *a: seen.append(a))
        assert held_waves(lake, plan) == [number]
        (chunk,) = (
            chunk for chunk in plan["observations"][place.key]["chunks"] if chunk["did"] == did
        )
        fetch_dl0(lake, plan, chunk["name"], tmp_path / chunk["name"])
        assert (tmp_path / chunk["name"]).read_bytes() == bytes([number]) * 1000
        assert release_wave(lake, plan, number) is True
        assert release_wave(lake, plan, number) is False
    assert seen[-1] == (1, 1, "on disk")
    assert check_clean(lake, place.path)["staging_requests"] == 0
    end = time.monotonic() + PATIENCE
    while copies_left(lake, plan):
        assert time.monotonic() < end, "the released copies are not deleted"
        time.sleep(0.3)
    assert {item.rse for item in lake.replicas(dids)} == {TAPE}


def test_file_larger_than_the_account_limit(place, limit):
    dl0(place, size=3000)
    limit(2000)
    with pytest.raises(LimitError, match=r"has 3000 bytes, the quota of CTAO-DISK leaves 2000"):
        place.plan()


def test_run_that_fails_leaves_no_rule(place, lake, rucio, tmp_path):
    """A transfer fails for good: the file is named; cleaning up ends the rule."""
    dids = dl0(place, chunks=2)
    set_faults(rucio, fail={f"{place.tag}/dl0/run{place.obs_id}-2": -1})
    plan = place.plan()
    with pytest.raises(LakeError, match=r"1 files can't be staged.*-2\.dl0.*injected failure"):
        stage_wave(lake, plan, 1, tmp_path / "1.json")
    assert not (tmp_path / "1.json").exists()
    assert held_waves(lake, plan) == [1]
    assert clean(lake, place.path) == {"released": [1], "removed": 0, "held": []}
    assert lake.held(dids, rse=DISK) is None
    assert not any(set(dids) & set(request.dids) for request in lake.requests())
    # the next run makes the same request again, and it works
    set_faults(rucio)
    plan = place.plan()
    stage_wave(lake, plan, 1, tmp_path / "1.json")
    assert release_wave(lake, plan, 1) is True


def test_dl0_that_is_truncated_on_tape(place, lake, tmp_path):
    """The copy on tape lost its end: staging fails with the checksum, nothing half is read."""
    (did,) = dl0(place)
    path = path_of(lake.replicas([did])[0])
    path.write_bytes(path.read_bytes()[:500])
    plan = place.plan()
    with pytest.raises(LakeError, match=r"-1\.dl0\.h5 \(CHECKSUM"):
        stage_wave(lake, plan, 1, tmp_path / "1.json")
    clean(lake, place.path)
    assert held_waves(lake, plan) == []


def test_observation_without_an_irf(place):
    dl0(place, obs__zenith_deg=50.0)
    with pytest.raises(InputError, match=r"no valid IRF .*observation .*zenith 30 deg away"):
        place.plan()


def test_existing_dl3_and_lineage(place, lake):
    """Valid DL3 of the same identity is not made again; older ones are marked, DL0 notes it."""
    (raw,) = dl0(place)
    (item,) = place.plan()["observations"].values()
    common = {
        "data__level": "DL3",
        "instance__obs_id": place.obs_id,
        "instance__site_id": "CTAO-North",
        "dl3__status": "valid",
        "proposal_id": place.tag,
    }
    times = {"creation_time": "2026-01-20T00:00:00"}, {"creation_time": "2026-01-21T00:00:00"}
    older = place.put("older.fits.gz", b"old", common | times[0] | {"obs_tag": place.tag})
    made = place.put(
        "made.fits.gz",
        b"new",
        common | times[1] | {"dl3__request_digest": item["request_digest"]},
    )
    found = place.plan()
    assert found["action"] == "nothing"
    assert found["existing"][place.key]["existing"] == made
    assert older in record(lake, {made: found["existing"][place.key]})["superseded"]
    assert record(lake, {made: found["existing"][place.key]}) == {"superseded": []}
    known = lake.metadata([raw, older, made])
    assert known[raw]["dl0__dl3"] == made
    assert known[older]["dl3__status"] == "superseded"
    query = f"proposal_id = {place.tag} and data__level = DL3 and dl3__status = valid"
    assert list(lake.search(query)["did"]) == [made]
