"""Jobs through diracx-client on the real DIRAC of `scripts/stack/dirac9_part.py`.

What is asserted is how DIRAC 9.1 behaves, on which the executor plug-in and the stand-in pilot of
the fast stack rely.
"""

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(1800)]

PROJECT = Path(__file__).parents[2]
STACK = [sys.executable, str(PROJECT / "scripts/stack/stack.py")]
SITE, IDLE_SITE = "LCG.Loopback.ch", "LCG.Idle.ch"
PAYLOAD = """#!/bin/bash
echo "argument $1 job $JOBID site $DIRACSITE dirac ${DIRACJOBID:-unset}"
case $1 in
    fails) exit 3 ;;
    complains) echo oops >&2 ;;
    produces) echo 42 > result.txt ;;
    sleeps) trap 'echo caught; exit 9' TERM; sleep 300 & wait ;;
esac
"""
FINAL = {"Done", "Failed", "Killed"}
# Seconds; a trivial job takes 10-15 on an idle machine.
PATIENCE = 600


def stack(*arguments):
    done = subprocess.run([*STACK, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def equal(job):
    return [{"parameter": "JobID", "operator": "eq", "value": job}]


def jdl(sandbox, argument, *, executable="run.sh", **others):
    attributes = {
        "Executable": executable,
        "Arguments": argument,
        "JobName": argument,
        "JobGroup": "stack",
        "JobType": "User",
        "StdOutput": "std.out",
        "StdError": "std.err",
        **others,
    }
    lists = {"InputSandbox": [sandbox], "OutputSandbox": ["std.out", "std.err", "result.txt"]}
    lists |= {key: attributes.pop(key) for key in list(attributes) if key == "BannedSites"}
    text = "".join(f'{key}="{value}"; ' for key, value in attributes.items())
    for key, values in lists.items():
        text += f"{key}={{{', '.join(json.dumps(value) for value in values)}}}; "
    return text


async def status(api, jobs):
    wanted = ["JobID", "Status", "MinorStatus", "ApplicationStatus", "Site"]
    search = [{"parameter": "JobID", "operator": "in", "values": list(jobs)}]
    rows = await api.jobs.search(parameters=wanted, search=search, per_page=1000)
    return {row["JobID"]: row for row in rows}


async def history(api, job):
    rows = await api.jobs.search(parameters=["LoggingInfo"], search=equal(job))
    return [(entry["Status"], entry["MinorStatus"]) for entry in rows[0]["LoggingInfo"]]


async def fetch(api, job, folder):
    """Contents of a job's output sandbox by file name."""
    from diracx.api.jobs import download_sandbox

    folder.mkdir()
    for name in await api.jobs.get_job_sandbox(job, "output") or []:
        assert name.endswith(".tar.bz2")
        await download_sandbox(name, folder, client=api)
    return {path.name: path.read_text() for path in folder.iterdir()}


async def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < end, "not within the time"
        await asyncio.sleep(0.5)


async def kill_when_running(api, job):
    """Kill a job once its payload runs; gives what the status was right afterwards."""

    async def runs():
        row = (await status(api, [job]))[job]
        assert row["Status"] not in FINAL, row
        return row["MinorStatus"] == "Application"

    await wait_until(runs)
    # After five seconds the job wrapper looks for its payload, and sends the first heartbeat.
    await asyncio.sleep(8)
    change = {"Status": "Killed", "MinorStatus": "Marked for termination", "Source": "User"}
    await api.jobs.set_job_statuses({str(job): {datetime.now(UTC).isoformat(): change}})
    return (await status(api, [job]))[job]


def reason_of(row):
    """Minor and application status: of two reports within a moment the later may be stored first."""
    return f"{row['MinorStatus']} {row['ApplicationStatus']}"


async def run_jobs(folder):
    """Send all the jobs at once, as the machine has two slots, and gather what comes of them."""
    from diracx.api.jobs import create_sandbox
    from diracx.client.aio import AsyncDiracClient

    payload = folder / "run.sh"
    payload.write_text(PAYLOAD)
    async with AsyncDiracClient() as api:
        sandbox = await create_sandbox([payload], client=api)
        wanted = {
            "sleeps": jdl(sandbox, "sleeps"),
            "fails": jdl(sandbox, "fails"),
            "complains": jdl(sandbox, "complains"),
            "produces": jdl(sandbox, "produces"),
            "absent": jdl(sandbox, "absent", executable="nothere.sh"),
            "nowhere": jdl(sandbox, "nowhere", Site="LCG.Nowhere.ch"),
            "idle": jdl(sandbox, "idle", Site=IDLE_SITE),
            "banned": jdl(sandbox, "banned", BannedSites=[SITE]),
            "long": jdl(sandbox, "long", CPUTime=99999999),
            "wide": jdl(sandbox, "wide", NumberOfProcessors=64),
        }
        answers = await api.jobs.submit_jdl_jobs(list(wanted.values()))
        jobs = dict(zip(wanted, [answer.job_id for answer in answers], strict=True))
        after_kill = await kill_when_running(api, jobs["sleeps"])
        ending = [
            jobs[n] for n in ("sleeps", "fails", "complains", "produces", "absent", "nowhere")
        ]

        async def ended():
            rows = await status(api, ending)
            # A killed job is Killed at first; its wrapper reports later.
            killed = rows[jobs["sleeps"]]["Status"] == "Killed"
            # The optimiser's reason follows the status.
            reason = "Cache misses" in reason_of(rows[jobs["nowhere"]])
            done = all(row["Status"] in FINAL for row in rows.values())
            return reason and done and not killed

        await wait_until(ended)
        rows = await status(api, jobs.values())
        files = {name: await fetch(api, job, folder / name) for name, job in jobs.items()}
        return {
            "jobs": jobs,
            "rows": {name: rows[job] for name, job in jobs.items()},
            "history": {name: await history(api, job) for name, job in jobs.items()},
            "files": files,
            "after_kill": after_kill,
            "sites": await api.rss.get_site_status(),
        }


@pytest.fixture(scope="module")
def results(dirac9, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dirac9.items():
            patch.setenv(name, value)
        return asyncio.run(run_jobs(tmp_path_factory.mktemp("jobs")))


def outcome(results, name):
    row = results["rows"][name]
    return row["Status"], row["MinorStatus"]


def test_sites(results):
    assert {SITE, IDLE_SITE} == set(results["sites"])


def test_good_job(results):
    row = results["rows"]["produces"]
    assert (row["Status"], row["MinorStatus"]) == ("Done", "Execution Complete")
    assert row["ApplicationStatus"] == "Unknown"
    assert row["Site"] == SITE
    assert results["files"]["produces"].keys() == {"std.out", "result.txt"}
    assert results["files"]["produces"]["result.txt"] == "42\n"
    job = results["jobs"]["produces"]
    expected = f"argument produces job {job} site {SITE} dirac unset\n"
    assert results["files"]["produces"]["std.out"] == expected


def test_order_of_states(results):
    states = [state for state, _ in results["history"]["produces"]]
    seen = [state for i, state in enumerate(states) if i == 0 or states[i - 1] != state]
    assert seen[0] == "Received"
    assert [s for s in seen if s not in ("Received", "Checking", "Staging")] == [
        "Waiting",
        "Matched",
        "Running",
        "Completing",
        "Done",
    ]


def test_failing_job(results):
    assert outcome(results, "fails") == ("Failed", "Application Finished With Errors")
    assert results["files"]["fails"].keys() == {"std.out"}


def test_absent_files_are_left_out(results):
    assert outcome(results, "complains") == ("Done", "Execution Complete")
    assert results["files"]["complains"]["std.err"] == "oops\n"
    assert "result.txt" not in results["files"]["complains"]


def test_absent_executable(results):
    assert outcome(results, "absent") == ("Failed", "Application not found")
    assert results["files"]["absent"] == {}


def test_killed_job_fails_later(results):
    assert results["after_kill"]["Status"] == "Killed"
    assert outcome(results, "sleeps") == ("Failed", "Received Kill signal")
    # a wrapper that is killed itself sends no output
    assert "argument sleeps" in results["files"]["sleeps"].get("std.out", "argument sleeps")


def test_unknown_site_fails(results):
    row = results["rows"]["nowhere"]
    assert row["Status"] == "Failed"
    assert "Cache misses: [" in reason_of(row)


@pytest.mark.parametrize("name", ["idle", "banned", "long", "wide"])
def test_impossible_jobs_wait(results, name):
    assert outcome(results, name) == ("Waiting", "Pilot Agent Submission")


def test_up_again_renews_the_login(dirac9):
    instance = Path(dirac9["DIRAC9_STACK"]).name.removeprefix("dirac9").removeprefix("-")
    which = ["dirac9", *(["--instance", instance] if instance else [])]
    before = stack("status", *which)
    path = Path(dirac9["DIRACX_CREDENTIALS_PATH"])
    token = json.loads(path.read_text())["access_token"]
    stack("up", *which)
    assert stack("status", *which) == before
    assert json.loads(path.read_text())["access_token"] != token
    assert path.stat().st_mode & 0o777 == 0o600


def test_listens_on_loopback_only(dirac9):
    folder = Path(dirac9["DIRAC9_STACK"])
    ports = json.loads((folder / "run/ports.json").read_text())
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state == "0A" and int(port, 16) in ports.values():
                assert address in loopback, local
