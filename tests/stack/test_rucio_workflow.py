"""The whole chain on a Rucio server: IRF, DL0 on tape, reprocessing and analysis, as by a person."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import yaml

from rucio_tools import DISK, TAPE, lake_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.xdist_group("rucio")]

PROJECT = Path(__file__).parents[2]
CONFIG = "rucio.yaml"


class Person:
    """Runs commands in a checkout of its own, with the lake on Rucio."""

    def __init__(self, folder, rucio):
        self.folder, self.project = folder, f"P{uuid.uuid4().hex[:8]}"
        for name in ("workflow", "config", "profiles"):
            shutil.copytree(PROJECT / name, folder / name)
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_DATA_HOME": str(folder / "home/data"),
            "XDG_CACHE_HOME": str(folder / "home/cache"),
            "COLUMNS": "10000",
        }
        self.write(rucio)

    def write(self, rucio):
        """Write the configuration: the small IRF, one short observation, and its analysis."""
        reprocessing, analysis = (
            yaml.safe_load((PROJECT / f"config/demo-{name}.yaml").read_text())
            for name in ("reprocessing", "analysis")
        )
        content = yaml.safe_load((PROJECT / "config/test/irf-tiny.yaml").read_text())
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

    def run(self, *command):
        """Run a command; returns its whole output."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}:\n{output[-8000:]}"
        return output

    def snakemake(self, target):
        """Run a target of the workflow."""
        options = ("--workflow-profile", "profiles/local", "--configfile", CONFIG)
        return self.run("snakemake", target, *options)

    def search(self, query):
        """Search the lake."""
        done = self.run("cta-batch", "search", query, "--json", "--config", CONFIG)
        return json.loads(done[done.index("[") :])

    def read(self, path):
        return json.loads((self.folder / "results" / path).read_text())


@pytest.fixture(scope="module")
def person(rucio, tmp_path_factory):
    """A checkout in which all targets ran; the output of each is kept."""
    person = Person(tmp_path_factory.mktemp("rucio"), rucio)
    person.irf = person.snakemake("irf")
    person.run("cta-batch", "observe", "--config", CONFIG, "--output", "dl0")
    files = sorted((person.folder / "dl0").glob("*.h5"))
    person.run("cta-batch", "lake", "ingest", *files, "--rse", TAPE, "--config", CONFIG)
    person.reprocessing = person.snakemake("reprocessing")
    person.analysis = person.snakemake("analysis")
    return person


def test_irf_is_in_rucio_and_made_once(person, rucio_admin):
    did = person.read("irf/tiny/summary.json")["products"]["nominal"]["did"]
    assert did in {
        row["did"] for row in person.search("data__type = GridIRF and irf__status = valid")
    }
    scope, name = did.split(":")
    replicas = list(rucio_admin.call("list_replicas", [{"scope": scope, "name": name}]))
    assert list(replicas[0]["rses"]) == [DISK]
    assert "irf_simulate" not in person.snakemake("irf")


def test_dl0_was_staged_in_waves_and_let_go(person):
    plan = person.read("reprocessing/rucio/plan.json")
    assert [len(wave["files"]) for wave in plan["waves"]] == [1, 1]
    clean = person.read("reprocessing/rucio/clean.json")
    assert clean["staging_requests"] == 0
    output = person.run("cta-batch", "lake", "requests", "--config", CONFIG)
    assert not any(did in output for wave in plan["waves"] for did in wave["stage"])


def test_dl3_is_valid_and_dl0_names_it(person):
    (row,) = person.search(f"data__level = DL3 and proposal_id = {person.project}")
    assert row["dl3__status"] == "valid"
    raw = person.search(f"data__level = DL0 and proposal_id = {person.project}")
    assert len(raw) == 2
    assert {item["dl0__dl3"] for item in raw} == {row["did"]}
    assert "stage wave" not in person.snakemake("reprocessing")


def test_analysis_is_in_rucio_with_its_inputs(person):
    saved = person.read("analysis/rucio/saved.json")
    (data,) = person.search(f"data__level = DL3 and proposal_id = {person.project}")
    rows = person.search("analysis__name = rucio")
    assert {row["did"] for row in rows} >= set(saved["products"].values())
    assert all(data["instance__id"] in row["activity__inputs"].split() for row in rows)
