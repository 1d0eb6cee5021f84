"""The whole chain on a Rucio server: IRF, DL0 on tape, reprocessing and analysis, as by a person."""

import json
import uuid

import pytest
import yaml

from checkout import REPOSITORY, Checkout, copy_checkout
from rucio_tools import DISK, TAPE, lake_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.xdist_group("rucio")]

CONFIG = "rucio.yaml"


class Person(Checkout):
    """A checkout with the lake on Rucio."""

    def __init__(self, folder, rucio):
        super().__init__(folder)
        self.project = f"P{uuid.uuid4().hex[:8]}"
        copy_checkout(folder)
        self.write(rucio)

    def write(self, rucio):
        """Write the configuration: the small IRF, one short observation, and its analysis."""
        reprocessing, analysis = (
            yaml.safe_load((REPOSITORY / f"config/demo-{name}.yaml").read_text())
            for name in ("reprocessing", "analysis")
        )
        content = yaml.safe_load((REPOSITORY / "config/test/irf-tiny.yaml").read_text())
        content["observation"] = reprocessing["observation"] | {
            "observations": 1,
            "duration": "20 s",
            "chunk": "10 s",
            "proposal_id": self.project,
            # a lake of others shows a person without login what is public
            "release_date": "2026-01-16",
        }
        content["reprocessing"] = {
            "name": "rucio",
            "query": f"proposal_id = {self.project}",
            # room for one file: two waves
            "staging": {"lifetime": "2 h", "wave_volume": "0.012 GB"},
        }
        content["analysis"] = analysis["analysis"] | {
            "name": "rucio",
            "data": {"project": self.project},
        }
        content["lake"] = lake_settings(rucio).model_dump(mode="json", exclude_none=True)
        (self.folder / CONFIG).write_text(yaml.safe_dump(content))

    def target(self, name):
        """Run a target of the workflow; returns its whole output."""
        done = self.snakemake(name, config=CONFIG)
        return done.stdout + done.stderr

    def search(self, query):
        """Search the lake."""
        return json.loads(
            self.run("cta-batch", "search", query, "--json", "--config", CONFIG).stdout
        )

    def read(self, path):
        return json.loads((self.folder / "results" / path).read_text())


@pytest.fixture(scope="module")
def person(rucio, tmp_path_factory):
    """A checkout in which all targets ran; the output of each is kept."""
    person = Person(tmp_path_factory.mktemp("rucio"), rucio)
    person.irf = person.target("irf")
    person.run("cta-batch", "observe", "--config", CONFIG, "--output", "dl0")
    files = sorted((person.folder / "dl0").glob("*.h5"))
    person.run("cta-batch", "lake", "ingest", *files, "--rse", TAPE, "--config", CONFIG)
    person.reprocessing = person.target("reprocessing")
    person.analysis = person.target("analysis")
    return person


def test_irf_is_in_rucio_and_made_once(person, rucio_admin):
    did = person.read("irf/tiny/summary.json")["products"]["nominal"]["did"]
    assert did in {
        row["did"] for row in person.search("data__type = GridIRF and irf__status = valid")
    }
    scope, name = did.split(":")
    replicas = list(rucio_admin.call("list_replicas", [{"scope": scope, "name": name}]))
    assert list(replicas[0]["rses"]) == [DISK]
    assert "irf_simulate" not in person.target("irf")


def test_dl0_was_staged_in_waves_and_let_go(person):
    plan = person.read("reprocessing/rucio/plan.json")
    assert [len(wave["files"]) for wave in plan["waves"]] == [1, 1]
    clean = person.read("reprocessing/rucio/clean.json")
    assert clean["staging_requests"] == 0
    output = person.run("cta-batch", "lake", "requests", "--config", CONFIG).stdout
    assert not any(did in output for wave in plan["waves"] for did in wave["stage"])


def test_dl3_is_valid_and_dl0_names_it(person):
    (row,) = person.search(f"data__level = DL3 and proposal_id = {person.project}")
    assert row["dl3__status"] == "valid"
    raw = person.search(f"data__level = DL0 and proposal_id = {person.project}")
    assert len(raw) == 2
    assert {item["dl0__dl3"] for item in raw} == {row["did"]}
    assert "stage wave" not in person.target("reprocessing")


def test_analysis_is_in_rucio_with_its_inputs(person):
    saved = person.read("analysis/rucio/saved.json")
    (data,) = person.search(f"data__level = DL3 and proposal_id = {person.project}")
    rows = person.search("analysis__name = rucio")
    assert {row["did"] for row in rows} >= set(saved["products"].values())
    assert all(data["instance__id"] in row["activity__inputs"].split() for row in rows)
