"""Acceptance of the grid part: an IRF request through real DIRAC 9 and DiracX, and its faults.

No file system is shared: jobs have their sandbox and an XRootD storage. The main process dies once
in the middle, and the product must be the one that this machine makes alone.
"""

import asyncio
import json
import re
import subprocess
from datetime import UTC, datetime

import pytest
import yaml

from checkout import copy_checkout
from grid_checkout import PATIENCE, GridCheckout

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]

IRF = "results/irf/tiny"
CONFIG = "config/test/irf-tiny.yaml"
# few jobs, as each costs the grid's overhead: a sample, the training, the rest
GROUPS = [
    *("--groups", "irf_process=runs", "irf_merge_runs=runs", "irf_train_energy=train"),
    *("irf_check_model=train", "irf_apply_energy=train", "irf_train_classifier=train"),
    *("irf_apply_models=final", "irf_cuts=final", "irf_compute=final"),
]


@pytest.fixture(scope="module")
def new_checkout(dirac9, start_part, tmp_path_factory):
    """Make folders that share nothing but DIRAC and the storage."""
    storage = start_part("xrootd").env()

    def make(*names):
        folder = tmp_path_factory.mktemp("grid")
        checkout = GridCheckout(folder, dirac9, storage)
        copy_checkout(folder, names)
        return checkout

    return make


@pytest.fixture(scope="module")
def production(made_here, new_checkout):
    """The IRF request made here; and on the grid, its main process killed once."""
    grid = new_checkout("workflow", "config", "profiles")
    grid.add()
    killed = grid.start("irf", "--configfile", CONFIG, *GROUPS, log="killed")
    try:
        grid.wait_for(killed, r"DIRAC job \d+ \(runs\): Running / Application", log="killed")
    finally:
        killed.kill()
    killed.wait()
    unlock = [*grid.command("irf", "--configfile", CONFIG), "--unlock"]
    subprocess.run(unlock, cwd=grid.folder, env=grid.environment, check=True, capture_output=True)
    code, output = grid.run("irf", "--configfile", CONFIG, *GROUPS)
    assert code == 0, output
    return made_here, grid


def digests(checkout):
    """Content digest of each product, by its name."""
    sidecars = checkout.folder.glob(f"{IRF}/*.fits.gz.meta.json")
    return {
        path.name: json.loads(path.read_text())["extra"]["irf__content_digest"] for path in sidecars
    }


def jobs_of(dirac9, grid, log):
    """Jobs of a run as DIRAC knows them."""
    group = re.search(r"job group (smk-\w+)", grid.log(log))[1]
    return asyncio.run(
        _search(dirac9, [{"parameter": "JobGroup", "operator": "eq", "value": group}])
    )


async def _search(variables, where, change=None):
    from diracx.client.aio import AsyncDiracClient
    from diracx.core.preferences import DiracxPreferences

    preferences = DiracxPreferences(
        url=variables["DIRACX_URL"], credentials_path=variables["DIRACX_CREDENTIALS_PATH"]
    )
    async with AsyncDiracClient(diracx_preferences=preferences) as api:
        names = ["JobID", "JobName", "Status", "MinorStatus", "Site"]
        rows = await api.jobs.search(parameters=names, search=where, per_page=1000)
        if change:
            now = datetime.now(UTC).isoformat()
            await api.jobs.set_job_statuses({str(row["JobID"]): {now: change} for row in rows})
        return rows


def test_the_same_product_as_on_this_machine(production):
    here, grid = production
    assert len(digests(here)) == 1
    assert digests(grid) == digests(here)
    plans = [json.loads((c.folder / IRF / "plan.json").read_text()) for c in production]
    assert plans[0]["digest"] == plans[1]["digest"]


def test_every_job_ran_on_the_grid_once(production, dirac9):
    """Adopted, not made again: each name is there once, all are done, at the grid's site."""
    _, grid = production
    rows = jobs_of(dirac9, grid, "log")
    names = [row["JobName"] for row in rows]
    assert len(names) == len(set(names)) == 8  # 6 samples, training, the rest
    assert {row["Status"] for row in rows} == {"Done"}
    assert {row["Site"] for row in rows} == {dirac9["DIRAC9_SITE"]}
    assert re.search(r"DIRAC: adopted \d+ jobs of an earlier run", grid.log())


def test_product_is_in_the_lake_with_its_costs(production):
    _, grid = production
    found = subprocess.run(
        ["cta-batch", "search", "data__type = GridIRF", "--json", "--config", CONFIG],
        cwd=grid.folder,
        env=grid.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    (row,) = json.loads(found.stdout)
    summary = json.loads((grid.folder / IRF / "summary.json").read_text())
    assert row["did"] == summary["products"]["nominal"]["did"]
    assert summary["jobs"] >= 22
    assert summary["cpu_hours"] > 0
    assert (grid.folder / IRF / "report.html").exists()


def test_second_run_does_nothing(production):
    _, grid = production
    code, output = grid.run("irf", "--configfile", CONFIG, *GROUPS, log="again")
    assert code == 0, output
    assert "DIRAC: submitted" not in output
    assert "rule irf_process:" not in output
    assert "product" in output


def test_reprocessing_makes_the_same_dl3_as_on_this_machine(production):
    """DL0 on the tape of each lake; one job makes the DL3, which comes back here."""
    from astropy.io import fits

    from ctabatch.irf.product import content_digest

    here, grid = production
    content = yaml.safe_load((here.folder / CONFIG).read_text())
    demo = yaml.safe_load((here.folder / "config/demo-reprocessing.yaml").read_text())
    few = {"observations": 1, "duration": "5 s", "chunk": "5 s", "spectrum": {"scale": 60.0}}
    content["observation"] = demo["observation"] | few
    content["reprocessing"] = demo["reprocessing"]
    found = []
    for checkout in (here, grid):
        (checkout.folder / "reprocessing.yaml").write_text(yaml.safe_dump(content))
    here.run("cta-batch", "observe", "--config", "reprocessing.yaml", "--output", "dl0")
    dl0 = sorted((here.folder / "dl0").glob("*.h5"))
    for run in (here.run, grid.call):
        run("cta-batch", "lake", "ingest", *dl0, "--rse", "TAPE", "--config", "reprocessing.yaml")
    here.snakemake("reprocessing", config="reprocessing.yaml")
    steps = ("process", "apply_models", "dl3", "verify")
    groups = ["--groups", *(f"reprocessing_{step}=dl3" for step in steps)]
    subprocess.run(["git", "-C", grid.folder, "add", "reprocessing.yaml"], check=True)
    code, output = grid.run(
        "reprocessing", "--configfile", "reprocessing.yaml", *groups, log="reprocessing.log"
    )
    assert code == 0, output
    assert "DIRAC: submitted 1 jobs" in output
    for checkout in (here, grid):
        folder = checkout.folder / "results/reprocessing" / content["reprocessing"]["name"]
        summary = json.loads((folder / "summary.json").read_text())
        (key,) = summary["made"]
        assert summary["cpu_hours"] > 0
        assert json.loads((folder / f"verification/{key}.json").read_text())["passed"]
        with fits.open(folder / f"dl3/{key}.dl3.fits.gz") as hdus:
            # the name has the IRF's own number, which each lake has another of
            found.append((key, summary["events"], content_digest(hdus)))
    assert found[0] == found[1]
    stored = grid.stored("results/reprocessing")
    assert list(stored.rglob("plan.json"))
    assert not [*stored.rglob("*.h5"), *stored.rglob("*.pkl"), *stored.rglob("*.dl3.fits.gz")]


FAULTS = """
rule all:
    input: "fails.txt", "killed.txt", "retried.txt"
rule fails:
    output: "fails.txt"
    retries: 0
    shell: "echo the reason is in the log; exit 3"
rule killed:
    output: "killed.txt"
    retries: 0
    shell: "sleep 600; touch {output}"
rule retried:
    output: "retried.txt"
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell: "[ {resources.mem_mb} -eq 200 ] && echo {resources.mem_mb} > {output}"
"""


@pytest.fixture(scope="module")
def faults(new_checkout, dirac9):
    """A failing, a killed and a retried job; returns exit code, output and jobs."""
    grid = new_checkout()
    (grid.folder / "Snakefile").write_text(FAULTS)
    grid.add()
    process = grid.start("--keep-going", "--retries", "1")
    try:
        grid.wait_for(process, r"\(killed\): Running / Application")
        group = re.search(r"job group (smk-\w+)", grid.log())[1]
        where = [
            {"parameter": "JobGroup", "operator": "eq", "value": group},
            {"parameter": "JobName", "operator": "like", "value": "killed.%"},
        ]
        change = {"Status": "Killed", "MinorStatus": "Marked for termination", "Source": "User"}
        assert len(asyncio.run(_search(dirac9, where, change))) == 1
        code = process.wait(PATIENCE)
    finally:
        process.kill()
    return code, grid.log(), jobs_of(dirac9, grid, "log"), grid


def test_failing_job_is_told_with_its_log(faults):
    code, output, jobs, grid = faults
    assert code == 1
    assert "Failed / Application Finished With Errors" in output
    assert "the reason is in the log" in output
    (job,) = [job for job in jobs if job["JobName"].startswith("fails.")]
    assert list((grid.folder / ".snakemake/dirac").glob(f"smk-*/{job['JobID']}/std.out"))
    assert "Traceback" not in output


def test_killed_job_is_told_with_its_log_if_it_came_in_time(faults):
    _, output, jobs, _ = faults
    assert re.search(r"Killed / Marked for termination|Failed / Received Kill signal", output)
    (job,) = [job for job in jobs if job["JobName"].startswith("killed.")]
    _, _, told = output.partition(f"DIRAC job {job['JobID']}: ")
    _, _, log = told.partition("End of its log:")
    # DIRAC asks the site at the next heartbeat: the log comes some time after the kill
    assert "died with <Signals.SIGTERM" in log or "(the site sent no output sandbox" in log


def test_retried_job_is_a_new_one_with_more_resources(faults):
    _, _, jobs, grid = faults
    tries = [job for job in jobs if job["JobName"].startswith("retried.")]
    assert [job["Status"] for job in tries] == ["Failed", "Done"]
    assert grid.stored("retried.txt").read_text() == "200\n"
