"""Snakemake's Slurm executor on the real cluster of `scripts/stack/slurm_part.py`."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from require import require

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
STACK = [sys.executable, str(PROJECT / "scripts/stack/stack.py")]
INSTANCE = f"test{os.getpid()}"
SNAKEFILE = """
rule good:
    output: "good.txt"
    shell: "echo $SLURM_JOB_ID > {output}; squeue -h -o %i -j $SLURM_JOB_ID >> {output}"

rule bad:
    output: "bad.txt"
    shell: "echo half > {output}; echo reason of failure >&2; exit 3"

rule greedy:
    output: "greedy.txt"
    shell: "python3 -c 'import time; a = bytearray(700 << 20); time.sleep(30)'; touch {output}"

rule slow:
    output: "slow.txt"
    shell: "sleep 120; touch {output}"
"""


def stack(*arguments):
    done = subprocess.run([*STACK, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster of its own; gives the environment of its clients."""
    missing = [name for name in ("slurmdbd", "munged", "mariadbd") if not which(name)]
    require(not missing, f"{missing} absent: scripts/stack/stack.py install slurm")
    plugin = importlib.util.find_spec("snakemake_executor_plugin_slurm")
    require(plugin is not None, "snakemake-executor-plugin-slurm absent")
    up = stack("up", "slurm", "--instance", INSTANCE)
    folder = Path(up.rpartition(": ")[2].strip()).parent
    yield {**os.environ, **json.loads((folder / "env.json").read_text())}
    stack("down", "slurm", "--instance", INSTANCE, "--purge")
    assert not folder.exists()


def which(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


def accounting(cluster):
    """States of all jobs by rule, from the accounting database, which lags by seconds."""
    argv = ["sacct", "-X", "-n", "-P", "--format=Comment,State,Account"]
    rows = subprocess.run(argv, env=cluster, capture_output=True, text=True, check=True).stdout
    return {tuple(row.split("|")) for row in rows.splitlines()}


def queue(cluster):
    argv = ["squeue", "-h", "-o", "%T"]
    done = subprocess.run(argv, env=cluster, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture
def snakemake(cluster, tmp_path):
    """Start Snakemake in the background in a folder of its own; gives process and folder."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)

    def start(*targets):
        resources = ["slurm_account=cta", "slurm_partition=short", "mem_mb=500", "runtime=5"]
        argv = [sys.executable, "-m", "snakemake", *targets, "--executor", "slurm", "--jobs", "4"]
        argv += ["--keep-going", "--seconds-between-status-checks", "1"]
        argv += ["--slurm-init-seconds-before-status-checks", "1", "--slurm-keep-successful-logs"]
        argv += ["--default-resources", *resources]
        return subprocess.Popen(
            argv,
            cwd=tmp_path,
            env=cluster,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Shells start background jobs with SIGINT ignored, which would be inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.2)


def test_good_and_bad_jobs(snakemake, cluster, tmp_path):
    process = snakemake("good.txt", "bad.txt", "greedy.txt")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    # The job step found its cluster although the executor drops SLURM_CONF.
    own, known = (tmp_path / "good.txt").read_text().split()
    assert own == known
    assert not (tmp_path / "bad.txt").exists()
    assert not (tmp_path / "greedy.txt").exists()
    logs = list((tmp_path / ".snakemake/slurm_logs/rule_bad").rglob("*.log"))
    assert any("reason of failure" in log.read_text() for log in logs)
    logs = list((tmp_path / ".snakemake/slurm_logs/rule_greedy").rglob("*.log"))
    assert any("memory" in log.read_text() for log in logs)
    expected = {"good": "COMPLETED", "bad": "FAILED", "greedy": "FAILED"}
    states = {(f"rule_{rule}", state, "cta") for rule, state in expected.items()}
    wait_until(lambda: states <= accounting(cluster), 120)


def test_sigint_cancels_jobs(snakemake, cluster):
    process = snakemake("slow.txt")
    wait_until(lambda: "RUNNING" in queue(cluster), 300)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0, output
    wait_until(lambda: not queue(cluster), 300)
    wait_until(
        lambda: ("rule_slow", "CANCELLED by " + str(os.getuid()), "cta") in accounting(cluster), 120
    )


def test_up_again_changes_nothing(cluster):
    before = stack("status", "slurm", "--instance", INSTANCE)
    stack("up", "slurm", "--instance", INSTANCE)
    assert stack("status", "slurm", "--instance", INSTANCE) == before


def test_listens_on_loopback_only(cluster):
    folder = Path(cluster["SLURM_CONF"]).parents[1]
    ports = {
        f"{number:04X}" for number in json.loads((folder / "run/ports.json").read_text()).values()
    }
    heard = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == "0A" and port in ports:
                heard.add((port, address))
    assert heard == {(port, "0100007F") for port in ports}
