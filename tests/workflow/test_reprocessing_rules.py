"""Rules of the reprocessing: real files up to DL2, and what is left when a run fails."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from ctabatch.config.load import parse_config
from ctabatch.lake.base import NewFile
from ctabatch.lake.open import open_lake
from reprocessing_lake import Filler, dl0_metadata

RESULTS = "results/reprocessing/test"


@pytest.fixture
def place(new_checkout, monkeypatch):
    """A checkout whose lake has an IRF; with its `Filler` and a function that writes the request."""
    checkout = new_checkout()
    content = {
        "reprocessing": {"name": "test", "query": "proposal_id = P42"},
        "lake": {"local": {"folder": "lake"}},
    }

    def request(**changes):
        content["reprocessing"] |= changes
        (checkout.folder / "request.yaml").write_text(yaml.safe_dump(content))

    request()
    monkeypatch.chdir(checkout.folder)
    lake = open_lake(parse_config(content).lake)
    checkout.fill = Filler(lake, "test:/ctao.dpps.test/test/in", checkout.folder / "incoming")
    checkout.fill.irf()
    checkout.request = request
    # compiling numba's functions beforehand is for many jobs, not for one
    (checkout.folder / "results/irf").mkdir(parents=True)
    (checkout.folder / "results/irf/compiled.json").write_text("{}")
    return checkout


def put(checkout, path, obs_id, **changes):
    """Ingest a file as DL0 of an observation, on tape."""
    did = f"{checkout.fill.root}/{path.name}"
    metadata = dl0_metadata(obs_id, **changes)
    checkout.fill.lake.ingest([NewFile(path, did, metadata)], rse="TAPE")
    return did


def temporary_files(checkout):
    """Files below the temporary folders of the results."""
    return [
        path
        for name in ("dl0", "dl2", "models", "waves")
        for path in (checkout.folder / RESULTS / name).rglob("*")
        if path.is_file()
    ]


@pytest.mark.data
@pytest.mark.slow
def test_real_events_pass_up_to_dl2(place, test_data):
    name = "gamma_prod6_tel_event_header_v4.simtel.zst"
    shutil.copy(test_data / "simtel" / name, place.folder / name)
    did = put(place, place.folder / name, 42)
    target = f"{RESULTS}/dl2/ob0000000042-0001.geometry.dl2.h5"
    place.snakemake(target, "--notemp", config="request.yaml")
    import tables

    with tables.open_file(place.folder / target) as file:
        assert len(file.root.dl2.event.subarray.geometry.HillasReconstructor) > 0
        assert len(file.root.dl1.event.telescope.parameters._v_children) > 0
    assert {item.rse for item in place.fill.lake.replicas([did])} == {"DISK", "TAPE"}
    fetched = place.folder / RESULTS / "dl0" / name
    assert fetched.read_bytes() == (place.folder / name).read_bytes()


def run_that_fails(place, name):
    """Run the request; it fails at that file of DL0 and leaves neither DL3 nor staging."""
    done = place.snakemake("reprocessing", "--retries", "0", config="request.yaml", check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "FAILED reprocessing_process" in text
    assert name in text
    assert place.fill.lake.requests() == []
    assert temporary_files(place) == []
    assert not list((place.folder / RESULTS).glob("dl3/*"))
    assert len(place.fill.lake.search("data__type = AirShower and data__level = DL3")) == 0


@pytest.mark.slow
def test_dl0_that_was_truncated_before_ingest(place):
    """The lake's checksum is that of the damaged file: the job that reads it fails, and names it."""
    demo = yaml.safe_load((place.folder / "config/demo-reprocessing.yaml").read_text())
    observation = demo["observation"] | {"observations": 1, "duration": "5 s", "chunk": "5 s"}
    (place.folder / "observe.yaml").write_text(yaml.safe_dump({"observation": observation}))
    place.run("cta-batch", "observe", "--config", "observe.yaml", "--output", "dl0")
    (path,) = (place.folder / "dl0").glob("*.h5")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    did = put(place, path, 42)
    run_that_fails(place, path.name)
    assert {item.rse for item in place.fill.lake.replicas([did])} == {"TAPE"}


@pytest.mark.data
@pytest.mark.slow
def test_real_events_that_were_truncated_before_ingest(place, test_data):
    name = "gamma_prod6_tel_event_header_v4.simtel.zst"
    content = (test_data / "simtel" / name).read_bytes()
    (place.folder / name).write_bytes(content[: len(content) * 2 // 3])
    put(place, place.folder / name, 42)
    run_that_fails(place, name)


@pytest.mark.slow
def test_failure_releases_staging_and_removes_temporary_files(place):
    """The second of two waves has a file that is no DL0."""
    dids = place.fill.dl0(42, chunks=2)
    place.request(staging={"wave_volume": "0.000001 GB"})
    done = place.snakemake("reprocessing", "--retries", "0", config="request.yaml", check=False)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "stage wave 1 of 2: 1 of 1 files" in text
    assert "run42-1.dl0.h5" in text
    assert "released waves: 1" in text
    assert place.fill.lake.requests() == []
    assert {item.rse for item in place.fill.lake.replicas(dids)} == {"TAPE"}
    assert temporary_files(place) == []
    assert not (place.folder / RESULTS / "plan.json").exists()
    failed = json.loads((place.folder / RESULTS / "plan.failed.json").read_text())
    assert len(failed["waves"]) == 2


def test_interrupted_run_releases_staging(place):
    """Ctrl-C while the tape is slow."""
    place.fill.dl0(42)
    content = yaml.safe_load((place.folder / "request.yaml").read_text())
    content["lake"]["local"]["rses"] = {"DISK": {}, "TAPE": {"tier": "TAPE", "latency": 600}}
    (place.folder / "request.yaml").write_text(yaml.safe_dump(content))
    command = ["snakemake", "reprocessing", "--configfile", "request.yaml"]
    process = subprocess.Popen(
        [*command, "--workflow-profile", "profiles/local"],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 300
    while not place.fill.lake.requests():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    text = process.communicate(timeout=300)[0]
    assert "released waves: 1" in text, text
    assert process.returncode != 0
    assert place.fill.lake.requests() == []
    assert temporary_files(place) == []
