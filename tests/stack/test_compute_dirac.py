"""Resources, profile and jobs of DIRAC, on a real DiracX server with the stand-in pilot."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import diracx_part
import pytest

from ctabatch.cli.main import run
from ctabatch.compute.resource import Need
from ctabatch.compute.search import find_resources, survey
from ctabatch.config.load import parse_config

PROJECT = Path(__file__).parents[2]
SNAKEFILE = """
rule all:
    input: "good.txt"

rule good:
    output: "good.txt"
    resources: mem_mb=100, runtime=2
    shell: "echo it went well; sleep 3; touch {output}"
"""


@pytest.fixture
def server(start_part, monkeypatch, tmp_path):
    """The DiracX part with alice logged in; in an empty working directory."""
    state = start_part("diracx")
    login = diracx_part.credentials(state, "alice", f"test-{secrets.token_hex(4)}")
    for name, value in (state.env() | {"DIRACX_CREDENTIALS_PATH": str(login)}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return state


def call(state, user, method, path, content):
    """Call a route that diracx-client has no simple call for."""
    token = json.loads(diracx_part.credentials(state, user, f"call-{user}").read_text())
    request = urllib.request.Request(
        f"{state.env()['DIRACX_URL']}/api/{path}",
        data=json.dumps(content).encode(),
        method=method,
        headers={
            "Authorization": f"Bearer {token['access_token']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def submit(state, group, *commands, user="alice", **jdl):
    """Submit jobs named as the executor plug-in names them; returns their numbers."""
    texts = []
    for rule, executable, arguments in commands:
        name = f"{rule}.{secrets.token_hex(8)}.{secrets.token_hex(8)}"
        values = {
            "JobName": name,
            "JobGroup": group,
            "Executable": executable,
            "Arguments": arguments,
            "StdOutput": "std.out",
            "StdError": "std.err",
            **jdl,
        }
        lines = [f'{key} = "{value}";' for key, value in values.items()]
        texts.append("[\n" + "\n".join([*lines, 'OutputSandbox = {"std.out", "std.err"};']) + "\n]")
    return [str(job["JobID"]) for job in call(state, user, "POST", "jobs/jdl", texts)]


@pytest.fixture
def group():
    """A workflow run of its own for each test."""
    return f"smk-{secrets.token_hex(8)}"


@pytest.fixture
def cli(server, capsys):
    """Run `cta-batch`; returns exit code, output, errors."""

    def command(*arguments):
        code = 0
        try:
            run([*map(str, arguments)])
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return command


def wait_for(condition, what):
    end = time.monotonic() + 180
    while not (found := condition()):
        assert time.monotonic() < end, f"not within the time: {what}"
        time.sleep(0.3)
    return found


def jobs_of(cli, group, *options):
    code, out, err = cli("jobs", "list", "--backend", "dirac", "--run", group, "--json", *options)
    assert code == 0, err
    return json.loads(out)


def test_sites_with_status_load_pilots_and_limits(server, group):
    for status in ("Running", "Running", "Waiting"):
        pilot = {"pilot_stamp": secrets.token_hex(8), "vo": "dteam", "grid_site": "LCG.LaPalma.es"}
        call(server, "admin", "POST", "pilots/", pilot | {"pilot_status": status})
    # no site has that much CPU time: the job waits for ever at the site it asks for
    submit(server, group, ("late", "/bin/true", ""), Site="LCG.Paranal.cl", CPUTime=499000)
    config = parse_config(
        {"compute": {"dirac": {"limits": {"LCG.LaPalma.*": {"cpus": 4, "memory": "8 GB"}}}}}
    )
    found = wait_for(
        lambda: {item.name: item for item in survey(config, Need(memory=10**10), ["dirac"])[0]},
        "sites",
    )
    assert set(found) == {"LCG.Paranal.cl", "LCG.LaPalma.es", "LCG.Zeuthen.de"}
    assert found["LCG.Zeuthen.de"].unmet == ("banned: scheduled downtime",)
    assert found["LCG.LaPalma.es"].unmet == ("memory 8.0 GB of 10.0 GB",)
    assert found["LCG.LaPalma.es"].pilots == {"Running": 2, "Waiting": 1}
    assert found["LCG.LaPalma.es"].slots_free == 2
    assert found["LCG.Paranal.cl"].platforms == ("x86_64-el9",)
    assert found["LCG.Paranal.cl"].walltime_s == 500000 / 10

    def waits():
        sites = {item.name: item for item in survey(config, Need(), ["dirac"])[0]}
        return sites["LCG.Paranal.cl"].waiting >= 1 and sites

    wait_for(waits, "the waiting job to be counted")
    best = find_resources(config, Need(), ["dirac"])
    assert [item.name for item in best] == ["LCG.LaPalma.es", "LCG.Paranal.cl"]


def test_profile_runs_a_workflow_and_jobs_shows_it(server, cli, tmp_path, monkeypatch):
    """`snakemake --profile dirac` as a person types it, after `cta-batch profiles install`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert cli("profiles", "install", "--from", PROJECT / "profiles")[0] == 0
    Path("Snakefile").write_text(SNAKEFILE)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "Snakefile"], check=True)
    variables = {"CTABATCH_STORAGE": f"{os.environ['DIRACX_STORAGE']}/{secrets.token_hex(4)}"}
    argv = [sys.executable, "-m", "snakemake", "--profile", "dirac"]
    argv += ["--dirac-status-interval", "0.5", "--logger-progress-interval", "0.2"]
    done = subprocess.run(
        argv, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 jobs done" in done.stderr
    # the progress names state and site
    assert re.search(r"active \(1 [A-Z][a-z]+ at LCG\.", done.stderr), done.stderr
    (run_name,) = {
        line.rpartition("job group ")[2].strip()
        for line in done.stderr.splitlines()
        if "job group smk-" in line
    }
    (job,) = jobs_of(cli, run_name)
    assert (job["rule"], job["kind"]) == ("good", "done")
    assert job["site"].startswith("LCG.")
    code, out, _ = cli("jobs", "logs", job["id"], "--backend", "dirac", "--lines", "0")
    assert code == 0
    assert "it went well" in out


def test_list_status_logs_fetch(server, cli, group, tmp_path):
    submit(
        server,
        group,
        ("good", "/bin/echo", "all is well"),
        ("bad", "/bin/ls", "/nonexistent"),
        ("good", "/bin/echo", "all is well"),
    )
    code, out, err = cli(
        "jobs", "status", "--backend", "dirac", "--run", group, "--watch", "--interval", "0.5"
    )
    assert code == 1, err  # one has failed
    assert "Failed / Application Finished With Errors" in out.splitlines()[-1]
    found = jobs_of(cli, group)
    assert [job["rule"] for job in found] == ["bad", "good", "good"]  # failures first
    assert [job["rule"] for job in jobs_of(cli, group, "--state", "failed")] == ["bad"]
    assert len(jobs_of(cli, group, "--rule", "good")) == 2
    counted = json.loads(cli("jobs", "status", "--backend", "dirac", "--run", group, "--json")[1])
    assert counted[0]["kind"] == "failed"
    assert sum(row["jobs"] for row in counted) == 3
    code, out, _ = cli("jobs", "logs", "--backend", "dirac", "--run", group, "--state", "failed")
    assert code == 0
    assert "/nonexistent" in out
    code, out, _ = cli(
        "jobs", "fetch", "--backend", "dirac", "--run", group, "-o", tmp_path / "out", "--json"
    )
    assert code == 0
    assert set(json.loads(out)) == {job["id"] for job in found}
    assert (tmp_path / "out" / found[1]["id"] / "std.out").read_text() == "all is well\n"


def test_kill_by_run_and_state_in_one_call(server, cli, group, monkeypatch):
    from diracx.client._generated.aio.operations import JobsOperations

    ended, *_ = submit(server, group, ("short", "/bin/true", ""))
    wait_for(lambda: jobs_of(cli, group)[0]["kind"] == "done", "the short job")
    submit(server, group, *[("long", "/bin/sleep", "600")] * 3)
    original, calls = JobsOperations.set_job_statuses, []

    async def counted(self, *arguments, **options):
        calls.append(arguments)
        return await original(self, *arguments, **options)

    monkeypatch.setattr(JobsOperations, "set_job_statuses", counted)
    code, out, err = cli("jobs", "kill", "--backend", "dirac", "--run", group, "--json")
    assert code == 0, err
    assert json.loads(out) == {"killed": 3, "ended": 1}
    assert len(calls) == 1
    kinds = {job["id"]: job["kind"] for job in jobs_of(cli, group)}
    assert kinds.pop(ended) == "done"
    assert set(kinds.values()) == {"failed"}


def test_jobs_of_others_and_unknown_numbers_are_refused(server, cli, group):
    (foreign,) = submit(server, group, ("theirs", "/bin/sleep", "600"), user="bob")
    assert jobs_of(cli, group) == []
    for number in (foreign, "999999999"):
        code, _, err = cli("jobs", "kill", number, "--backend", "dirac")
        assert code == 2
        assert f"no job of yours has the number {number}" in err
    code, _, err = cli("jobs", "kill", "all", "--backend", "dirac")
    assert code == 2
    assert "'all' is no number" in err
    code, _, err = cli("jobs", "kill", "--backend", "dirac", "--state", "running")
    assert code == 2
    assert "numbers of jobs, or --run" in err


def test_server_that_is_away_is_asked_again(server, cli, group):
    Path("away.yaml").write_text("compute: {patience: 1}\n")
    patient = ("jobs", "list", "--backend", "dirac", "--run", group, "--json")
    server.stop("diracx")
    try:
        code, out, err = cli(*patient, "--config", "away.yaml")
        assert (code, out) == (1, "")
        assert "does not answer" in err
        assert "Traceback" not in err
    finally:
        diracx_part.start_server(server)
    assert cli(*patient)[0] == 0
