"""The steps of a reprocessing: staging in waves, models, ingest, cleaning up."""

import json

import pytest

from ctabatch.checks import FAILED, PASSED
from ctabatch.cli.main import run
from ctabatch.config.load import parse_config
from ctabatch.errors import BatchError, IntegrityError, LakeError, ValidationFailed
from ctabatch.lake.metadata import build_product_metadata, write_sidecar
from ctabatch.reprocessing.cleaning import check_clean, clean, temporary_files
from ctabatch.reprocessing.inputs import fetch_dl0, fetch_models, write_observation
from ctabatch.reprocessing.plan import make_plan, write_plan
from ctabatch.reprocessing.products import ingest_observation
from ctabatch.reprocessing.staging import held_waves, release_wave, stage_wave


@pytest.fixture
def planned(fill, content, tmp_path):
    """Make a plan of two waves: configuration, plan and its path."""
    fill.irf()
    fill.dl0(42, chunks=2)
    content["reprocessing"]["staging"] = {"wave_volume": "0.000001 GB"}
    config = parse_config(content)
    path = tmp_path / "results" / "plan.json"
    plan = make_plan(config)
    write_plan(plan, path)
    return config, plan, path


def copies(fill, plan):
    """Disk copies of DL0."""
    dids = [chunk["did"] for item in plan["observations"].values() for chunk in item["chunks"]]
    return [item.did for item in fill.lake.replicas(dids) if item.rse == "DISK"]


def test_waves_are_staged_and_released_one_after_the_other(fill, planned, tmp_path):
    _, plan, path = planned
    first, second = (wave["stage"] for wave in plan["waves"])
    seen = []
    for _ in range(2):  # again is the same request
        stage_wave(fill.lake, plan, 1, tmp_path / "1.json", lambda *args: seen.append(args))
    assert copies(fill, plan) == first
    assert held_waves(fill.lake, plan) == [1]
    assert seen[-1][:2] == (1, 1)
    chunk = plan["observations"]["ob0000000042"]["chunks"][0]
    fetch_dl0(fill.lake, plan, chunk["name"], tmp_path / "x" / chunk["name"])
    assert (tmp_path / "x" / chunk["name"]).read_bytes() == b"\x01" * 1000
    assert release_wave(fill.lake, plan, 1) is True
    assert release_wave(fill.lake, plan, 1) is False
    assert copies(fill, plan) == []
    stage_wave(fill.lake, plan, 2, tmp_path / "2.json")
    assert copies(fill, plan) == second
    release_wave(fill.lake, plan, 2)
    assert check_clean(fill.lake, path)["copies_left"] == []


def test_file_that_is_not_staged_says_so(fill, planned, tmp_path):
    _, plan, _ = planned
    name = plan["observations"]["ob0000000042"]["chunks"][0]["name"]
    with pytest.raises(LakeError, match="on tape only"):
        fetch_dl0(fill.lake, plan, name, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_models_are_used_with_their_planned_bytes_only(fill, planned, tmp_path):
    _, plan, _ = planned
    (key,) = plan["irfs"]
    fetch_models(fill.lake, plan, key, tmp_path / "models")
    names = {"energy.pkl", "classifier.pkl", "cuts.fits", "irf.fits.gz"}
    assert {path.name for path in (tmp_path / "models").iterdir()} == names
    energy = plan["irfs"][key]["files"]["energy"]
    energy["models__sha256"] = "0" * 64
    with pytest.raises(IntegrityError, match=r"energy\.pkl does not have the SHA-256 0000"):
        fetch_models(fill.lake, plan, key, tmp_path / "other")
    assert not (tmp_path / "other" / "energy.pkl").exists()
    energy |= {"adler32": "00000001", "models__sha256": None}
    with pytest.raises(IntegrityError, match="planned were"):
        fetch_models(fill.lake, plan, key, tmp_path / "third")
    assert not (tmp_path / "third" / "energy.pkl").exists()


def test_model_without_a_digest_in_its_metadata_is_refused(fill, planned, tmp_path):
    _, plan, _ = planned
    (key,) = plan["irfs"]
    plan["irfs"][key]["files"]["energy"]["models__sha256"] = None
    with pytest.raises(IntegrityError, match=r"energy\.pkl has no models__sha256"):
        fetch_models(fill.lake, plan, key, tmp_path / "models")
    assert not (tmp_path / "models" / "energy.pkl").exists()


def test_model_that_was_tampered_with_is_refused(fill, planned, tmp_path):
    _, plan, _ = planned
    (key,) = plan["irfs"]
    did = plan["irfs"][key]["files"]["classifier"]["did"]
    uri = fill.lake.replicas([did])[0].uri
    path = tmp_path / "lake" / uri.partition("/lake/")[2]
    path.write_bytes(b"X" + path.read_bytes()[1:])
    with pytest.raises(IntegrityError, match=r"classifier\.pkl"):
        fetch_models(fill.lake, plan, key, tmp_path / "models")
    assert not (tmp_path / "models" / "classifier.pkl").exists()


def test_metadata_for_dl3_names_its_sources(planned, tmp_path):
    _, plan, _ = planned
    write_observation(plan, "ob0000000042", tmp_path / "o.json", tmp_path / "l.json")
    chunks = json.loads((tmp_path / "o.json").read_text())
    assert [chunk["obs__chunk"] for chunk in chunks] == [1, 2]
    lineage = json.loads((tmp_path / "l.json").read_text())
    item = plan["observations"]["ob0000000042"]
    assert lineage["dl3__request_digest"] == item["request_digest"]
    assert lineage["dl3__irf"].endswith("irf.fits.gz")
    assert lineage["dl3__models"].count(" ") == 2


def dl3(folder, obs_id=42, content=b"events"):
    """Write a stand-in of a DL3 product with a sidecar, and a verification that passed."""
    folder.mkdir(exist_ok=True)
    path = folder / f"ob{obs_id:010d}.dl3.fits.gz"
    path.write_bytes(content)
    metadata = build_product_metadata(
        description="DL3",
        data={
            "level": "DL3",
            "division": "Event",
            "association": "Subarray",
            "type": "Observation",
        },
        instance={"site_id": "CTAO-North", "obs_id": obs_id},
        curation={"release": "observations"},
        model={"name": "GADF", "version": "v0.2"},
        contact={"name": "T", "organization": "none", "email": "t@example.org"},
        activity={"name": "dl3-create", "start": "2026-02-01T00:00:00", "configuration_id": "x"},
        extra={"dl3__status": "valid", "dl3__events": 7, "obs__livetime_s": 588.0},
    )
    write_sidecar(path, metadata)
    import hashlib

    sha256 = hashlib.sha256(content).hexdigest()
    check = {"name": "event_count", "status": PASSED, "message": "7 events"}
    report = {"passed": True, "files": [{"sha256": sha256, "checks": [check]}]}
    path.with_suffix(".json").write_text(json.dumps(report))
    return path, path.with_suffix(".json")


def test_ingest_notes_dl0_and_marks_older_dl3(fill, planned, tmp_path):
    config, plan, _ = planned
    old = {
        "data__level": "DL3",
        "instance__obs_id": 42,
        "instance__site_id": "CTAO-North",
        "dl3__status": "valid",
        "creation_time": "2026-01-20T00:00:00.000",
    }
    older = fill.put("older.fits.gz", b"old", old)
    south = fill.put("south.fits.gz", b"south", old | {"instance__site_id": "CTAO-South"})
    other = fill.put("other.fits.gz", b"other", old | {"instance__obs_id": 41})
    path, report = dl3(tmp_path / "dl3")
    for _ in range(2):
        made = ingest_observation(
            config, fill.lake, plan, "ob0000000042", path, report, tmp_path / "ingest.json"
        )
    digest = plan["observations"]["ob0000000042"]["request_digest"]
    assert made["did"].endswith(f"/dl3_evt_sub_Observation_ob0000000042_{digest[:12]}.fits.gz")
    known = fill.lake.metadata([older, south, other, made["did"]])
    assert known[older]["dl3__status"] == "superseded"
    assert known[older]["dl3__superseded_by"] == made["did"]
    assert known[south]["dl3__status"] == known[other]["dl3__status"] == "valid"
    assert known[made["did"]]["dl3__status"] == "valid"
    dids = [chunk["did"] for chunk in plan["observations"]["ob0000000042"]["chunks"]]
    assert {keys["dl0__dl3"] for keys in fill.lake.metadata(dids).values()} == {made["did"]}
    assert list(fill.lake.search("dl3__status = valid and instance__obs_id = 42")["did"]) == sorted(
        [south, made["did"]]
    )
    assert fill.lake.verify([older]) == {}


def test_failed_check_is_not_ingested(fill, planned, tmp_path):
    config, plan, _ = planned
    path, report = dl3(tmp_path / "dl3")
    content = json.loads(report.read_text())
    content["passed"] = False
    content["files"][0]["checks"][0] |= {"status": FAILED, "message": "9 events, triggers 7"}
    report.write_text(json.dumps(content))
    with pytest.raises(ValidationFailed, match="event_count: 9 events, triggers 7"):
        ingest_observation(config, fill.lake, plan, "ob0000000042", path, report, tmp_path / "i")
    assert len(fill.lake.search("data__division = Event and data__level = DL3")) == 0


def test_verification_of_other_bytes_is_refused(fill, planned, tmp_path):
    config, plan, _ = planned
    _, report = dl3(tmp_path / "dl3")
    path, _ = dl3(tmp_path / "new", content=b"others")
    with pytest.raises(ValidationFailed, match="another one"):
        ingest_observation(config, fill.lake, plan, "ob0000000042", path, report, tmp_path / "i")


def test_second_software_makes_a_second_product(fill, planned, tmp_path, monkeypatch):
    """The new one is valid, the older superseded, and DL0 knows both."""
    config, plan, _ = planned
    made = []
    for number, version in enumerate(("1.0", "2.0")):
        monkeypatch.setattr("ctabatch.reprocessing.plan.__version__", version)
        plan = make_plan(config)
        path, report = dl3(tmp_path / f"dl3-{number}", content=version.encode())
        made.append(
            ingest_observation(
                config, fill.lake, plan, "ob0000000042", path, report, tmp_path / "i.json"
            )
        )
    first, second = (item["did"] for item in made)
    assert made[1]["superseded"] == [first]
    dids = [chunk["did"] for chunk in plan["observations"]["ob0000000042"]["chunks"]]
    for keys in fill.lake.metadata(dids).values():
        assert keys["dl0__dl3"].split() == [first, second]


def test_clean_after_a_failure_leaves_nothing(fill, planned, tmp_path):
    _, plan, path = planned
    folder = path.parent
    stage_wave(fill.lake, plan, 1, folder / "waves" / "1.staged.json")
    for name in ("dl0/run.h5", "dl2/a.dl2.h5", "models/k/energy.pkl", "dl3/.ob.half.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "dl3" / "ob.dl3.fits.gz").write_text("a product")
    with pytest.raises(BatchError, match=r"disk copies of wave 1 are still held"):
        check_clean(fill.lake, path)
    release_wave(fill.lake, plan, 1)
    with pytest.raises(BatchError, match=r"temporary files are left: .* and 3 more"):
        check_clean(fill.lake, path)
    left = {path: path.read_text() for path in temporary_files(folder)}
    end = check_clean(fill.lake, path, folder / "clean.json")
    assert end["temporary_files_removed"] == 4
    assert temporary_files(folder) == []
    assert (folder / "dl3" / "ob.dl3.fits.gz").exists()
    for place, text in left.items():
        place.write_text(text)
    stage_wave(fill.lake, plan, 1, folder / "waves" / "1.staged.json")
    assert clean(fill.lake, path) == {"released": [1], "removed": 4, "held": []}
    assert fill.lake.requests() == []
    assert copies(fill, plan) == []
    assert temporary_files(folder) == []
    assert not (folder / "waves").exists()
    assert (folder / "dl3" / "ob.dl3.fits.gz").exists()
    assert not path.exists()
    assert clean(fill.lake, path) == {"released": [], "removed": 0, "held": []}


def test_commands(fill, content, planned, checkout, capsys):
    _, _, path = planned
    (checkout / "c.yaml").write_text(json.dumps(content))
    common = ["--config", "c.yaml", "--plan", str(path)]
    run(["reprocessing", "stage", *common, "--wave", "1", "--output", "w.json"])
    assert "stage wave 1 of 2: 1 of 1 files" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run(["reprocessing", "clean", "--check", *common])
    assert caught.value.code == 1
    run(["reprocessing", "release", *common, "--wave", "1", "--output", "w.json"])
    assert json.loads((checkout / "w.json").read_text()) == {"wave": 1, "held": True}
    run(["reprocessing", "clean", "--check", *common, "--output", "clean.json"])
    assert "no staging request and no temporary file is left" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        run(["reprocessing", "stage", *common, "--wave", "3", "--output", "w.json"])
    assert caught.value.code == 2
    assert "no wave 3" in capsys.readouterr().err
