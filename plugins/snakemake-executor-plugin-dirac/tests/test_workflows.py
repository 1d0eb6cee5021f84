"""Whole workflows through server, pilot and storage: results, failures, stops and adoption."""

import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from base64 import b64decode

import pytest

CHAIN = """
rule all:
    input: "sum.txt", "grouped.txt"
checkpoint plan:
    output: "plan.txt"
    shell: "echo 'a b' > {output}"
def parts(wildcards):
    with checkpoints.plan.get().output[0].open() as file:
        return expand("part-{name}.txt", name=file.read().split())
rule part:
    output: "part-{name}.txt"
    params: note="it's; [odd] \\"$HOME\\" %j"
    threads: 2
    resources: mem_mb=500, runtime=10
    script: "scripts/part.py"
rule sum:
    input: parts
    output: "sum.txt"
    shell: "cat {input} > {output}"
rule first:
    output: "first.txt"
    group: "pair"
    shell: "echo one > {output}"
rule second:
    input: "first.txt"
    output: "grouped.txt"
    group: "pair"
    shell: "cat {input} {input} > {output}"
"""
SCRIPT = """
from pathlib import Path
Path(snakemake.output[0]).write_text(f"{snakemake.wildcards.name} {snakemake.params.note}\\n")
"""


def test_workflow_without_shared_file_system(grid):
    """Checkpoint, script, group job, odd characters: all through sandbox and storage."""
    grid.write(CHAIN)
    grid.write(SCRIPT, "scripts/part.py")
    code, output = grid.run()
    assert code == 0, output
    text = "".join(f'{name} it\'s; [odd] "$HOME" %j\n' for name in "ab")
    assert grid.stored("sum.txt").read_text() == text
    assert grid.stored("grouped.txt").read_text() == "one\none\n"
    jobs = grid.jobs()
    # plan, two parts, sum, and one job for the group of two rules
    assert len(jobs) == 5
    assert {job["Status"] for job in jobs} == {"Done"}
    assert "at LCG." in output
    assert _jdl(grid, jobs, "part")["NumberOfProcessors"] == "2"
    assert _jdl(grid, jobs, "part")["MinRAM"] == "500"
    assert _jdl(grid, jobs, "part")["CPUTime"] == "6000"


def _jdl(grid, jobs, rule):
    number = next(job["JobID"] for job in jobs if job["JobName"].startswith(rule))
    with sqlite3.connect(grid.state.folder / "jobdb.db", timeout=30) as database:
        query = "SELECT JDL FROM JobJDLs WHERE JobID = ?"
        (text,) = database.execute(query, (number,)).fetchone()
    if not text.startswith("["):
        text = zlib.decompress(b64decode(text)).decode()
    return dict(re.findall(r"(\w+) = *\n? *([^;\n]*);", text))


FAULTS = """
rule all:
    input:
        expand("{name}.txt", name="error stalled killed shot full empty cut huge".split()),
        "elsewhere.txt",
        "good.txt",
rule error:
    output: "error.txt"
    shell: "echo the reason is in the log; exit 3"
rule stalled:
    output: "stalled.txt"
    shell: "sleep 60; touch {output}"
rule killed:
    output: "killed.txt"
    shell: "echo before the kill; sleep 60; touch {output}"
rule shot:
    output: "shot.txt"
    shell: "sleep 60; touch {output}"
rule full:
    output: "full.txt"
    resources: disk_mb=10
    shell: "head -c 90000000 /dev/zero > {output}"
rule empty:
    output: "empty.txt"
    shell: "touch {output}"
rule cut:
    output: "cut.txt"
    shell: "touch {output}"
rule huge:
    output: "huge.txt"
    threads: 64
    shell: "touch {output}"
rule elsewhere:
    output: "elsewhere.txt"
    resources: dirac_sites="LCG.Paranal.ch"
    shell: "touch {output}"
rule good:
    output: "good.txt"
    shell: "echo good > {output}"
"""


@pytest.mark.slow
def test_failures_are_reported(grid):
    """Whatever happens to a job at its site, the message says so; the others go on."""
    grid.write(FAULTS)
    grid.faults(
        [
            {"match": "stalled.", "fault": "stall"},
            {"match": "killed.", "fault": "admin_kill"},
            {"match": "shot.", "fault": "site_kill"},
            {"match": "full.", "fault": "disk", "megabytes": 60},
            {"match": "empty.", "fault": "no_run"},
            {"match": "cut.", "fault": "no_network"},
        ]
    )
    code, output = grid.run(
        *("--keep-going", "--cores", "64", "--dirac-quiet-limit", "0.5"),
        *("--dirac-max-processors", "32"),
    )
    assert code == 1, output
    for rule in ("error", "stalled", "killed", "shot", "full", "empty", "cut", "huge", "elsewhere"):
        assert not grid.stored(f"{rule}.txt").exists(), rule
    assert grid.stored("good.txt").exists(), output
    assert "the reason is in the log" in output
    assert "Failed / Application Finished With Errors" in output
    assert re.search(r"Stalled / .*no sign of life for", output)
    assert "Killed / Marked for termination" in output
    assert "before the kill" in output
    assert "Job has been killed by the batch system" in output
    assert "the site sent no output sandbox" in output
    assert "No space left on device" in output or "the disk is full" in output
    assert re.search(r"(?s)empty\.txt.*(missing|Missing)", output)
    assert "processors (threads) 64, no site gives more than 32" in output
    assert "unknown site 'LCG.Paranal.ch' (known: LCG.Paranal.cl" in output
    assert "Traceback" not in output
    fetched = list((grid.folder / ".snakemake/dirac").glob("smk-*/*/std.out"))
    assert fetched


def test_retry_submits_anew_with_more_resources(grid):
    grid.write(
        'rule a:\n    output: "a.txt"\n    resources: mem_mb=lambda wc, attempt: 100 * attempt\n'
        '    shell: "[ {resources.mem_mb} -eq 200 ] && touch {output}"\n'
    )
    code, output = grid.run("--retries", "1")
    assert code == 0, output
    jobs = grid.jobs()
    assert [job["Status"] for job in jobs] == ["Failed", "Done"]
    assert jobs[0]["JobName"] == jobs[1]["JobName"]


SLOW = """
rule all:
    input: expand("{i}.txt", i=range(4))
rule a:
    output: "{i}.txt"
    shell: "sleep 60; touch {output}"
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_kills_the_jobs(grid, number):
    grid.write(SLOW)
    process = grid.start()
    grid.wait_for("submitted 4 jobs")
    time.sleep(1)
    process.send_signal(number)
    assert process.wait(240) == 1
    assert "DIRAC: killed 4 jobs" in grid.log()
    assert "Traceback" not in grid.log()
    end = time.monotonic() + 120
    while {job["Status"] for job in grid.jobs()} - {"Killed", "Failed"}:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_secrets_stay_here(grid):
    """A secret of the environment is in no sandbox, job description, argument, log or message."""
    secret = "correct-horse-battery-staple"
    grid.write(
        'envvars: "MY_TOKEN"\n'
        'rule a:\n    output: "a.txt"\n    shell: "echo $GREETING > {output}"\n'
    )
    values = {
        "MY_TOKEN": secret,
        "AWS_SECRET_ACCESS_KEY": secret,
        "GREETING": "hello-from-here",
    }
    process = grid.start("--dirac-forward", "GREETING", "--dirac-logs", "all", env=values)
    seen = b""
    while process.poll() is None:
        listing = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, check=True)
        seen += listing.stdout
        time.sleep(0.1)
    # The worker lacks what the workflow declares, and says which variable it is.
    assert process.returncode == 1
    assert "MY_TOKEN" in grid.log()
    assert secret not in grid.log()
    assert secret.encode() not in seen
    for path in grid.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    with sqlite3.connect(grid.state.folder / "jobdb.db", timeout=30) as database:
        for (jdl,) in database.execute("SELECT JDL FROM JobJDLs"):
            text = jdl if jdl.startswith("[") else zlib.decompress(b64decode(jdl)).decode()
            assert secret not in text


def test_large_sources_are_told(grid):
    grid.write('rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n')
    (grid.folder / "noise.bin").write_bytes(random.Random(1).randbytes(20 * 1024**2))
    grid.write("x", "small.txt")
    code, output = grid.run()
    assert code == 0, output
    assert "the sources are 20 MB, each job downloads them: noise.bin (20 MB)" in output


def test_local_output_is_refused(grid):
    """Without a storage provider, what a worker makes would be lost."""
    grid.write('rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n')
    argv = [sys.executable, "-m", "snakemake", "--executor", "dirac", "--jobs", "1"]
    done = subprocess.run(
        argv,
        cwd=grid.folder,
        env=grid.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 1
    assert "output a.txt of rule a is a local file" in done.stderr


def test_bad_settings(grid):
    grid.write('rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n')
    for options, words in (
        (["--dirac-environment", "docker"], "installed, cvmfs:FOLDER or apptainer:IMAGE"),
        (["--dirac-sites", "LCG.Paranal.cl; x"], "'LCG.Paranal.cl; x' is not a name"),
        (["--dirac-sites", "LCG.Nowhere.xx"], "unknown site 'LCG.Nowhere.xx'"),
        (["--dirac-group", "dteam_admin"], "run `dirac login dteam --group dteam_admin`"),
        (["--dirac-url", "http://127.0.0.1:9", "--dirac-start-patience", "0.02"], "127.0.0.1:9"),
    ):
        code, output = grid.run(*options)
        assert code == 1
        assert words in output
        assert "Traceback" not in output


INTERVALS = """
rule all:
    input: "sum.txt"
rule part:
    output: "part{{i}}.txt"
    shell:
        "echo begin {{wildcards.i}} $JOBID >> {log}; sleep 3; "
        "echo end {{wildcards.i}} $JOBID >> {log}; echo {{wildcards.i}} > {{output}}"
rule sum:
    input: expand("part{{i}}.txt", i=range(6))
    output: "sum.txt"
    shell: "cat {{input}} > {{output}}"
"""


def unlock(grid):
    subprocess.run(
        [*grid.command(), "--unlock"],
        cwd=grid.folder,
        env=grid.environment(),
        check=True,
        capture_output=True,
    )


@pytest.mark.slow
def test_killed_at_random_times_and_adopted(grid, tmp_path):
    """kill -9 again and again: no job runs twice at once, none is lost, the last run completes."""
    events = tmp_path / "events"
    events.touch()
    events.chmod(0o666)
    grid.write(INTERVALS.format(log=events))
    chance = random.Random(20261123)
    for _ in range(3):
        process = grid.start()
        grid.wait_for("job group smk-")
        time.sleep(chance.uniform(0.2, 5))
        process.kill()
        process.wait()
        unlock(grid)
    code, output = grid.run()
    assert code == 0, output
    assert grid.stored("sum.txt").read_text().split() == [str(i) for i in range(6)]
    running: dict[str, str] = {}
    begun = []
    for line in events.read_text().splitlines():
        what, part, job = line.split()
        if what == "begin":
            assert part not in running, f"part {part}: job {job} while {running[part]} runs"
            running[part] = job
            begun.append(part)
        else:
            assert running.pop(part) == job
    # Adopted, not done again: each part was made once.
    assert sorted(begun) == [str(i) for i in range(6)]
    assert "DIRAC: adopted" in output or "jobs of an earlier run" in output or len(begun) == 6


def test_login_lost_while_jobs_run(grid):
    """The refresh token dies: a clear message, the jobs go on, the next run adopts them."""
    import json

    import diracx_part

    path = diracx_part.credentials(grid.state, "alice", grid.name)
    grid.values["DIRACX_CREDENTIALS_PATH"] = str(path)
    grid.write('rule a:\n    output: "a.txt"\n    shell: "sleep 5; echo done > {output}"\n')
    process = grid.start("--dirac-status-interval", "0.3")
    grid.wait_for("submitted 1 jobs")
    # An administrator withdraws the login: the server signs with other keys from now on.
    content = json.loads(path.read_text())
    keys = grid.state.folder / "jwks.json"
    kept = keys.read_text()
    made = subprocess.run(
        [diracx_part._python(), diracx_part.SERVER / "make_key.py"],
        check=True,
        capture_output=True,
        text=True,
    )
    grid.state.stop("diracx")
    keys.write_text(made.stdout)
    diracx_part.start_server(grid.state)
    try:
        grid.wait_for("the login is no longer valid", timeout=240)
        assert process.wait(240) == 1
        assert "`dirac login`" in grid.log()
        assert "Traceback" not in grid.log()
    finally:
        grid.state.stop("diracx")
        keys.write_text(kept)
        diracx_part.start_server(grid.state)
    path.write_text(json.dumps(content))
    code, output = grid.run()
    assert code == 0, output
    assert len(grid.jobs()) == 1
    assert grid.stored("a.txt").read_text() == "done\n"


def test_device_login(stack, tmp_path):
    """The identity provider of the stack completes `dirac login` as a browser would."""
    import urllib.request

    pytest.importorskip("diracx.cli")
    path = tmp_path / "credentials.json"
    env = {"DIRACX_URL": stack.env()["DIRACX_URL"], "DIRACX_CREDENTIALS_PATH": str(path)}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "diracx.cli", "login", "dteam"],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in process.stdout:
        if address := re.search(r"https?://\S+user_code=\S+", line):
            urllib.request.urlopen(address[0], timeout=20).close()
            break
    rest = process.stdout.read()
    assert process.wait(240) == 0, rest
    assert path.exists()
