"""After `kill -9` of the main process the same command goes on, without `--unlock`."""

import os
import signal
import subprocess
import time

import pytest

from ctabatch.running import MARK, orphans

pytestmark = pytest.mark.slow

COMMAND = [
    "snakemake", "irf_plan", "--workflow-profile", "profiles/local", "--configfile",
    "config/test/irf-tiny.yaml",
]  # fmt: skip


def start_and_wait_for_job(checkout):
    """Start the workflow; returns the main process once it has its lock and a job runs."""
    environment = {name: value for name, value in checkout.environment.items() if name != MARK}
    process = subprocess.Popen(
        COMMAND, cwd=checkout.folder, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    here = str(checkout.folder.resolve())
    while not any((checkout.folder / ".snakemake/locks").glob("*")) or not jobs_of(process, here):
        assert process.poll() is None, "ended before a job ran"
        time.sleep(0.02)
    return process, here


def jobs_of(process, here):
    return [pid for pid in orphans(here) if pid != process.pid]


@pytest.mark.parametrize("whom", ["main process alone", "process group"])
def test_next_run_goes_on(new_checkout, whom):
    checkout = new_checkout()
    process, here = start_and_wait_for_job(checkout)
    try:
        if whom == "process group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    finally:
        process.wait()
    assert list((checkout.folder / ".snakemake/locks").glob("*"))
    assert "an earlier run was killed" not in checkout.run(*COMMAND, "--dry-run").stderr
    assert list((checkout.folder / ".snakemake/locks").glob("*")), "a dry run changes nothing"
    done = checkout.run(*COMMAND)
    assert "an earlier run was killed" in done.stderr
    assert (checkout.folder / "results/irf/tiny/plan.json").is_file()
    assert not list((checkout.folder / ".snakemake/locks").glob("*"))
    assert not orphans(here)


def test_lock_of_a_living_run_is_respected(new_checkout):
    checkout = new_checkout()
    process, _ = start_and_wait_for_job(checkout)
    try:
        os.killpg(process.pid, signal.SIGSTOP)
        done = checkout.run(*COMMAND, check=False)
        assert done.returncode == 1
        assert "cannot be locked" in done.stdout + done.stderr
        os.killpg(process.pid, signal.SIGCONT)
        assert process.wait() == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
