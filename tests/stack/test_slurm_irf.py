"""The IRF request through Slurm: the same product as on this machine; its jobs and resources."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ctabatch import running
from ctabatch.cli.main import run
from ctabatch.compute import slurm_orphans
from ctabatch.compute.resource import Need, NoResourceError
from ctabatch.compute.search import find_resources, survey
from ctabatch.config.load import parse_config
from ctabatch.errors import BatchError
from ctabatch.running import claim

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

PROJECT = Path(__file__).parents[2]
#: Two jobs of Slurm for most of the chain: each has ten seconds of its own overhead.
GROUPS = {
    "simulate": ("irf_process", "irf_merge_runs"),
    "learn": (
        *("irf_train_energy", "irf_check_model", "irf_apply_energy", "irf_train_classifier"),
        *("irf_merge", "irf_apply_models"),
    ),
}


@pytest.fixture
def cluster(start_part, monkeypatch, tmp_path):
    """Slurm, and the variables that its profile reads; in an empty working directory."""
    state = start_part("slurm")
    variables = state.env() | {
        "CTABATCH_SLURM_ACCOUNT": "cta",
        "CTABATCH_SLURM_PARTITION": "long",
        "CTABATCH_MAX_THREADS": "2",
        "XDG_CONFIG_HOME": str(tmp_path / "home/config"),
        "XDG_DATA_HOME": str(tmp_path / "home/data"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return state


def slurm(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def batch(*arguments, check=True):
    """Run `cta-batch` as a person does."""
    done = subprocess.run(
        ["cta-batch", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr
    return done


def checkout(folder):
    """Make a copy of the workflow."""
    for name in ("workflow", "config"):
        shutil.copytree(PROJECT / name, folder / name)
    return folder


def start(folder, *options):
    """Start Snakemake in a checkout."""
    log = (folder / "run.log").open("w")
    argv = ["snakemake", "irf", "--configfile", "config/test/irf-tiny.yaml", *options]
    return subprocess.Popen(argv, cwd=folder, stdout=log, stderr=subprocess.STDOUT)


def product_digest(folder):
    (path,) = (folder / "results/irf/tiny").glob("Open1-*.fits.gz.meta.json")
    return json.loads(path.read_text())["extra"]["irf__content_digest"]


def test_partitions_with_limits_and_queue(cluster, tmp_path):
    config = parse_config({})
    found = {item.name: item for item in survey(config, Need(walltime=2 * 3600), ["slurm"])[0]}
    assert set(found) == {"short", "long"}
    assert found["short"].unmet == ("wall time 1 h of 2 h",)
    assert found["long"].walltime_s is None
    assert found["long"].slots_free == found["long"].cpus_free == found["long"].cpus_total
    with pytest.raises(NoResourceError, match=r"long: memory .* of 1\.0 PB"):
        find_resources(config, Need(memory=10**15), ["slurm"])
    slurm("sbatch", "-p", "long", "-A", "cta", "--begin=now+1hour", "-J", "later", "--wrap", "true")
    slurm("scontrol", "update", "PartitionName=short", "State=DOWN")
    try:
        found = {item.name: item for item in survey(config, Need(), ["slurm"])[0]}
        assert found["long"].waiting == 1
        assert found["short"].unmet == ("partition is down",)
        pinned = parse_config({"compute": {"backends": ["slurm"], "pin": ["long"]}})
        assert [item.name for item in find_resources(pinned)] == ["long"]
    finally:
        slurm("scontrol", "update", "PartitionName=short", "State=UP")
        slurm("scancel", "-n", "later")


def test_controller_that_is_away_is_told_after_patience(cluster):
    import slurm_part

    config = parse_config({"compute": {"patience": 1}})
    cluster.stop("slurmctld")
    try:
        with pytest.raises(BatchError, match="Slurm does not answer"):
            find_resources(config, Need(), ["slurm"])
    finally:
        slurm_part.up(cluster)
    assert find_resources(config, Need(), ["slurm"])


def test_jobs_list_kill_and_watch(cluster, capsys):
    for rule in ("one", "two"):
        slurm(
            *("sbatch", "-p", "long", "-A", "cta", "-J", "ctabatch_run1", "--mem=100"),
            *(f"--comment=rule_{rule}_wildcards_n", "--wrap", "sleep 600"),
        )
    slurm("sbatch", "-p", "long", "-A", "cta", "-J", "other", "--begin=now+1hour", "--wrap", "true")
    found = json.loads(batch("jobs", "list", "--backend", "slurm", "--json").stdout)
    assert [(job["run"], job["rule"]) for job in found] == [
        ("ctabatch_run1", "one"),
        ("ctabatch_run1", "two"),
    ]
    one = found[0]["id"]
    assert "1 jobs killed" in batch("jobs", "kill", one, "--backend", "slurm").stdout
    killed = batch("jobs", "kill", "--run", "ctabatch_run1", "--backend", "slurm").stdout
    # Slurm may have forgotten the first one by now
    assert killed.strip() in ("1 jobs killed", "1 jobs killed, 1 had ended already")
    watched = batch(
        *("jobs", "status", "--run", "ctabatch_run1", "--backend", "slurm", "--watch"),
        *("--interval", "0.5"),
        check=False,
    )
    assert watched.returncode == 1
    assert "2 cancelled at long" in watched.stdout.splitlines()[-1]
    assert batch("jobs", "logs", one, "--backend", "slurm", check=False).returncode == 1
    assert batch("jobs", "kill", "999999", "--backend", "slurm", check=False).returncode == 2
    slurm("scancel", "-n", "other")


def test_jobs_of_a_killed_main_process_are_cancelled(cluster, tmp_path, monkeypatch, caplog):
    """Those of this folder only; of another folder, another name and of the living they stay."""
    import slurm_part

    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    for folder in (place, elsewhere):
        (folder / ".snakemake/slurm_logs").mkdir(parents=True)
    for name, folder in (("ctabatch_run1x", place), ("mine", place), ("ctabatch_run1y", elsewhere)):
        slurm(
            *("sbatch", "-p", "long", "-A", "cta", "-J", name, "--mem=100", "-D", folder),
            *("--wrap", "sleep 600"),
        )
    monkeypatch.chdir(place)
    code = "from ctabatch.running import claim; claim('results'); print('up', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        assert living.stdout.readline() == "up\n"
        assert claim(Path("results")) == {}
        assert queue() == {"ctabatch_run1x", "mine", "ctabatch_run1y"}
        living.kill()
    release_claims()
    cluster.stop("slurmctld")
    try:
        monkeypatch.setattr(slurm_orphans, "PATIENCE", 1)
        assert claim(Path("results"))["jobs"] == 0
        assert "on Slurm go on" in caplog.text
    finally:
        release_claims()
        slurm_part.up(cluster)
    assert claim(Path("results"))["jobs"] == 1
    assert queue() == {"mine", "ctabatch_run1y"}
    for name in ("mine", "ctabatch_run1y"):
        slurm("scancel", "-n", name)
    assert queue() == set()
    release_claims()


def queue():
    """Names of the jobs that wait or run."""
    return set(slurm("squeue", "-h", "-t", "PD,R", "-o", "%j").split())


def release_claims():
    """Let go of what `claim` holds in this process; what starts from here is no job of a run."""
    os.environ.pop(running.MARK, None)
    while running._held:
        running._held.pop().close()


def test_jobs_of_this_machine_are_explained(cluster, capsys):
    with pytest.raises(SystemExit) as stop:
        run(["jobs", "list", "--backend", "local"])
    assert stop.value.code == 2
    assert "end with their Snakemake" in capsys.readouterr().err


@pytest.mark.timeout(3600)
def test_irf_has_the_same_digest_through_slurm_and_here(cluster, made_here, tmp_path):
    batch("profiles", "install", "--from", PROJECT / "profiles")
    there = checkout(tmp_path / "there")
    members = [f"{rule}={group}" for group, rules in GROUPS.items() for rule in rules]
    away = start(
        there,
        *("--profile", "slurm", "--cores", "2", "--resources", "mem_mb=8000"),
        *("--groups", *members, "--group-components", "simulate=50"),
        *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2"),
        *("--logger-progress-interval", "5", "--logger-progress-squeue-interval", "5"),
    )
    try:
        code = away.wait()
    finally:
        away.kill()
    log = (there / "run.log").read_text()
    assert code == 0, log[-3000:]
    assert product_digest(there) == product_digest(made_here.folder)
    assert "running at long" in log  # the progress names state and partition
    assert "Traceback" not in log
    jobs = json.loads(batch("jobs", "list", "--backend", "slurm", "--json").stdout)
    rules = {job["rule"] for job in jobs if "run1" not in job["run"]}
    assert {"irf_cuts", "irf_compute"} <= rules
    assert {job["kind"] for job in jobs if "run1" not in job["run"]} == {"done"}
    rows = slurm("sacct", "-X", "-n", "-P", "--format=Comment,Account,Partition,ReqMem,Timelimit")
    (compute,) = {row for row in rows.splitlines() if row.startswith("rule_irf_compute")}
    # what the rule asks for: memory 3000 MB, 240 minutes
    assert compute.split("|")[1:3] == ["cta", "long"]
    assert compute.split("|")[3].startswith("3000M")
    assert compute.split("|")[4] == "04:00:00"
