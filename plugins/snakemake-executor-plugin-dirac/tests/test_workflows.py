"""Whole workflows through server, pilot and storage: results, failures, stops."""

import gzip
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
import zlib
from base64 import b64decode
from pathlib import Path

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_dirac.sandbox import _download, _unpack
from snakemake_executor_plugin_dirac.settings import ExecutorSettings

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


def test_foreign_workflow_of_the_readme(grid):
    """The ten lines of the README, on the workflow that they name."""
    shutil.copytree(Path(__file__).parent / "foreign", grid.folder, dirs_exist_ok=True)
    subprocess.run(["git", "-C", grid.folder, "add", "-A"], check=True)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    command = re.search(r"^snakemake --executor dirac (?:.*\\\n)*.*$", readme, re.M)[0]
    options = command.replace("\\\n", " ").replace("$DIRACX_STORAGE/words", grid.prefix)
    done = subprocess.run(
        [sys.executable, "-m", *options.split()],
        cwd=grid.folder,
        env=grid.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    counts = grid.stored("counts.tsv").read_text()
    assert counts == "english\t5\ngerman\t1\nspanish\t3\n"
    assert "DIRAC: submitted" in done.stderr


FAULTS = """
rule all:
    input:
        expand("{name}.txt", name="error stalled killed shot full empty cut huge".split()),
        "elsewhere.txt",
        "good.txt",
        "grouped.txt",
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
rule half:
    output: "half.txt"
    group: "pair"
    shell: "echo half > {output}"
rule grouped:
    input: "half.txt"
    output: "grouped.txt"
    group: "pair"
    shell: "echo the group fails; exit 4"
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
    # Snakemake has no message for a group job: the plug-in's own
    assert "the group fails" in output
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


def test_secrets_stay_here(grid, connect):
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
    (job,) = grid.jobs()
    connection = connect()
    sandbox = re.search(r"SB:[^\"}]+", _jdl(grid, [job], "a")["InputSandbox"])[0]
    returned = connection.run(
        connection.call("look", lambda api: api.jobs.get_job_sandbox(job["JobID"], "output"))
    )
    for name, folder in ((sandbox, "input"), (returned[0], "output")):
        files = _fetch(connection, name, grid.folder.parent / folder)
        assert all(secret.encode() not in path.read_bytes() for path in files)
        assert files
    # That a value does travel where it is asked for shows that this test looks at the right place.
    settings = (grid.folder.parent / "input/dirac-job.run").read_text()
    variables = next(line for line in settings.splitlines() if line.startswith("VARIABLES "))
    assert b"hello-from-here" in b64decode(variables.split()[1])


def _fetch(connection, name, folder):
    """Fetch a sandbox from the server and unpack it, archives in it included."""
    content = connection.run(connection.call("fetch", lambda api: _download(api, name)))
    _unpack(content, folder)
    for path in (*folder.rglob("*.tar"), *folder.rglob("*.gz")):
        if path.suffix == ".gz":
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        else:
            with tarfile.open(path) as archive:
                archive.extractall(folder / "sources", filter="data")
    return [path for path in folder.rglob("*") if path.is_file()]


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


def test_bad_settings():
    for values, words in (
        ({"environment": "docker"}, "installed, cvmfs:FOLDER or apptainer:IMAGE"),
        ({"sites": "LCG.Paranal.cl; x"}, "--dirac-sites: 'LCG.Paranal.cl; x' is not a name"),
        ({"job_group": "[x]"}, "--dirac-job-group: '[x]' is not allowed"),
        ({"patience": -1}, "--dirac-patience: -1 is negative"),
        ({"status_interval": 0}, "--dirac-status-interval: must be more than 0"),
        ({"logs": "some"}, "'some' is not allowed (failed, all or none)"),
    ):
        with pytest.raises(WorkflowError) as caught:
            ExecutorSettings(**values)
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dirac-sites", "LCG.Nowhere.xx"], "--dirac-sites: unknown site 'LCG.Nowhere.xx'"),
        (["--dirac-group", "dteam_admin"], "run `dirac login dteam --group dteam_admin`"),
        (
            ["--dirac-url", "http://127.0.0.1:9", "--dirac-start-patience", "0.02"],
            "http://127.0.0.1:9/: ",
        ),
    ],
)
def test_bad_start_is_one_clear_message(grid, options, words):
    """Unknown site, wrong group, server down: told before anything is submitted."""
    grid.write('rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n')
    code, output = grid.run(*options)
    assert code == 1
    assert words in output
    assert "Traceback" not in output
    assert "submitted" not in output
    assert "cannot schedule" not in output
