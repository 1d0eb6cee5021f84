"""The target ``concordia`` on the DIRAC stack and on this machine: images, runs, faults, reruns."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tenacity import wait_none

from checkout import copy_checkout
from concordia_site import LIGHT, chasm_image, copy_image, kept_store, make_key
from ctabatch.concordia import node
from ctabatch.concordia.base import sha256_of
from ctabatch.concordia.job import Job
from ctabatch.concordia.node import image_of
from ctabatch.errors import BatchError, IntegrityError

RESULTS = Path("results/concordia/light")

#: Images are built from the network, on machines that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Person:
    """Somebody with a checkout, a store and a lake of their own."""

    def __init__(self, folder, registry, keys, environment):
        self.folder, self.registry = folder, registry
        self.private, self.public = keys
        self.environment = environment | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(folder / ".cache"),
            "HOME": str(folder),
            "COLUMNS": "10000",
        }
        folder.mkdir()
        copy_checkout(folder)
        subprocess.run(["git", "init", "-q", folder], check=True)
        subprocess.run(["git", "-C", folder, "add", "-A"], check=True)

    def configure(self, **changes):
        content = {
            "name": "light",
            "recipe": {"code": "chasm"},
            "card": LIGHT,
            "runs": 3,
            "ingest": {"site": "CTAO-North"},
            "images": {
                "store": "store",
                "registry": {"address": self.registry, "push": True, "insecure": True},
                "keys": {"sign": str(self.private), "trusted": [str(self.public)]},
            },
            **changes,
        }
        (self.folder / "concordia.yaml").write_text(yaml.safe_dump({"concordia": content}))

    def run(self, *command):
        return subprocess.run(
            [str(item) for item in command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def snakemake(self, target, *options):
        return self.run(
            *(sys.executable, "-m", "snakemake", target, "--configfile", "concordia.yaml"),
            *("--rerun-incomplete", "--keep-going", *options),
        )

    def log(self):
        """Text of the last log of Snakemake."""
        logs = (self.folder / ".snakemake/log").glob("*.log")
        return max(logs, key=lambda path: path.stat().st_mtime).read_text()

    def read(self, name):
        return json.loads((self.folder / RESULTS / name).read_text())


@pytest.fixture(scope="module")
def services(start_part):
    """The registry and the DIRAC stack."""
    store = kept_store()
    record = chasm_image(store)
    return start_part("registry"), start_part("diracx"), store, record


@pytest.fixture(scope="module")
def first(services, tmp_path_factory):
    """Somebody whose runs went through DIRAC; the site killed one at the first attempt."""
    registry, dirac, store, record = services
    folder = tmp_path_factory.mktemp("people")
    values = dirac.env()
    address = f"{registry.env()['CONCORDIA_REGISTRY']}/open"
    values["CTABATCH_NODE_CACHE"] = str(folder / "node")
    person = Person(folder / "first", address, make_key(folder, "ours"), values)
    person.configure()
    copy_image(record, store, person.folder / "store")
    values["CTABATCH_STORAGE"] = f"{values['DIRACX_STORAGE']}/concordia"
    person.environment |= values
    grid = [
        *("--workflow-profile", "profiles/dirac", "--retries", "0", "--latency-wait", "1"),
        *("--storage-xrootd-max-requests-per-second", "1000"),
        *("--dirac-status-interval", "0.5", "--dirac-forward", "CTABATCH_NODE_CACHE"),
    ]
    person.grid = grid
    faults = dirac.folder / "faults.json"
    faults.write_text(json.dumps([{"match": "concordia_run", "fault": "site_kill", "count": 1}]))
    person.failed = person.snakemake("concordia", *grid)
    person.failed_log = person.log()
    faults.write_text("[]")
    person.done = person.snakemake("concordia", *grid)
    person.done_log = person.log()
    assert person.done.returncode == 0, person.failed.stdout + person.done.stdout
    return person


def test_results_and_logs_come_back_from_the_grid(first):
    manifest, image = first.read("manifest.json"), first.read("image.json")
    assert [record["run"] for record in manifest["records"]] == [1, 2, 3]
    assert image["signed_by"] == "ours.pem"
    for record in manifest["records"]:
        folder = first.folder / RESULTS / "runs" / f"{record['run']:06d}"
        assert record["image_sha256"] == image["sha256"] == manifest["image_sha256"]
        inside = yaml.safe_load((folder / "build_opts.yml").read_text())
        assert inside["options_digest"] == image["options_digest"]
        assert "1 showers" in (folder / "log").read_text()
        assert (folder / record["product"]).stat().st_size > 1000
    assert len({seed for record in manifest["records"] for seed in record["seeds"]}) == 12
    summary = first.read("summary.json")
    assert (summary["runs"], summary["showers"]) == (3, 3)
    assert image["sha256"] in (first.folder / RESULTS / "report.html").read_text()


def test_only_the_failed_run_was_made_again(first):
    assert first.failed.returncode == 1
    assert "Job has been killed by the batch system" in first.failed_log
    submitted = re.findall(r"DIRAC: submitted (\d+) jobs", first.done_log)
    assert [int(number) for number in submitted] == [1], first.done_log


def test_node_fetched_the_image_once(first, services):
    log = (services[0].logs / "registry.log").read_text()
    blob = f"GET /v2/open/blobs/sha256:{first.read('image.json')['sha256']}"
    assert len([line for line in log.splitlines() if blob in line]) == 1


def test_products_are_in_the_lake_with_options_image_and_seeds(first):
    image = first.read("image.json")
    query = f"concordia__image_sha256 = {image['sha256']}"
    done = first.run("cta-batch", "search", query, "--json", "--config", "concordia.yaml")
    found = json.loads(done.stdout)
    assert sorted(item["did"] for item in found) == sorted(first.read("ingest.json")["products"])
    assert {item["concordia__options_digest"] for item in found} == {image["options_digest"]}
    assert len({item["concordia__seeds"] for item in found}) == 3


def test_second_person_takes_the_image_and_builds_nothing(first, tmp_path):
    keys = (first.private, first.public)
    other = Person(tmp_path / "second", first.registry, keys, first.environment)
    other.configure(name="light", runs=1, seed_block=1)
    done = other.snakemake("concordia", "--workflow-profile", "profiles/local")
    assert done.returncode == 0, done.stdout
    plan, image = other.read("plan.json"), other.read("image.json")
    assert plan["image"]["action"] == image["origin"] == "pull"
    assert image["sha256"] == first.read("image.json")["sha256"]
    assert not list((other.folder / "store").rglob("build.log"))
    # Once more, and there is nothing to do; with one run more, that one is made alone.
    again = other.snakemake("concordia_plan", "--workflow-profile", "profiles/local")
    assert again.returncode == 0, again.stdout
    begin = other.read("runs/000001/run.json")["start"]
    other.configure(name="light", runs=2, seed_block=1)
    more = other.snakemake("concordia", "--workflow-profile", "profiles/local")
    assert more.returncode == 0, more.stdout
    assert other.read("runs/000001/run.json")["start"] == begin
    assert other.read("summary.json")["runs"] == 2


@pytest.fixture
def job(first, monkeypatch, tmp_path):
    """Change the job description of the runs; gives `Job`, on a node without an image."""
    monkeypatch.setenv("CTABATCH_NODE_CACHE", str(tmp_path / "node"))

    def make(**changes):
        done = first.run(
            *("cta-batch", "concordia", "build", "concordia.yaml"),
            *("--plan", RESULTS / "plan.json", "--job", tmp_path / "job.json"),
        )
        assert done.returncode == 0, done.stdout
        content = json.loads((tmp_path / "job.json").read_text())
        content["plan"]["store"] = str(tmp_path / "nothing")
        content["image"] |= changes.pop("image", {})
        (tmp_path / "job.json").write_text(json.dumps(content | changes))
        return Job.read(tmp_path / "job.json")

    return make


def test_node_repairs_its_copy_and_needs_no_registry_then(job):
    found = job()
    path = image_of(found)
    assert sha256_of(path) == found.sha256
    assert (
        image_of(job(registry={**found.registry.model_dump(), "address": "127.0.0.1:9/x"})) == path
    )
    path.chmod(0o700)
    with path.open("r+b") as stream:
        stream.write(b"damage")
    assert sha256_of(image_of(found)) == found.sha256
    assert [item.name for item in path.parent.glob("*.sif")] == [path.name]


def test_node_refuses_what_no_trusted_key_signed(job, tmp_path):
    _, public = make_key(tmp_path, "theirs")
    with pytest.raises(IntegrityError, match="no trusted key signed it"):
        image_of(job(keys=[public.read_text()]))
    assert not list((tmp_path / "node").glob("*.sif"))


def test_node_refuses_an_image_that_was_exchanged(job, tmp_path):
    with pytest.raises(IntegrityError, match="arrived with SHA-256"):
        image_of(job(image={"sha256": "0" * 64}))
    assert not list((tmp_path / "node").glob("*.sif"))


def test_node_whose_folder_others_can_write_to(job, tmp_path):
    (tmp_path / "node").mkdir()
    (tmp_path / "node").chmod(0o777)
    with pytest.raises(BatchError, match="not a folder that only you can write to"):
        image_of(job())


def test_registry_that_is_away_when_a_worker_asks(job, monkeypatch, tmp_path):
    monkeypatch.setattr(node._fetch.retry, "wait", wait_none())
    registry = {"address": "127.0.0.1:9/open", "insecure": True}
    with pytest.raises(BatchError, match=r"can't fetch oras://127\.0\.0\.1:9/open"):
        image_of(job(registry=registry))
    assert not list((tmp_path / "node").glob("*.sif"))


def test_who_is_no_member_is_refused_before_anything_is_built_or_submitted(first):
    first.configure(
        name="refused",
        recipe={"code": "openiact"},
        card={**LIGHT, "detectors": [], "subarray": "CTAO-North", "scatter_radius": "100 m"},
        membership={"all_of": ["/escape"], "any_of": ["/escape/cta", "/escape/km3net"]},
    )
    first.environment |= {"BEARER_TOKEN": "e30.eyJ3bGNnLmdyb3VwcyI6WyIvZXNjYXBlIl19.x"}
    done = first.snakemake("concordia", *first.grid)
    assert done.returncode == 1
    assert (
        "submitting to dirac needs membership in /escape/cta or /escape/km3net; your login's "
        "wlcg.groups has /escape" in done.stdout
    ), done.stdout
    assert "DIRAC: submitted" not in first.log()
    assert first.environment["BEARER_TOKEN"] not in done.stdout
    assert not (first.folder / "results/concordia/refused/image.json").exists()
