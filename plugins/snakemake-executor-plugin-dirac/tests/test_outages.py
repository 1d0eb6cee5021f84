"""Workflows whose server, login or main process goes away, and how they go on."""

import os
import random
import re
import shutil
import subprocess
import sys
import time

import pytest

#: How long the server is away, in seconds. A night at a data centre is 180 and more; the short
#: one goes through the same steps, with fewer repetitions.
OUTAGE = float(os.environ.get("DIRAC_TEST_OUTAGE", "5"))


def test_server_away_while_jobs_run(grid):
    """The server stops answering for a while: the run waits, and the job is submitted once."""
    import diracx_part

    grid.write('rule a:\n    output: "a.txt"\n    shell: "sleep 3; echo done > {output}"\n')
    process = grid.start("--dirac-status-interval", "0.3")
    grid.wait_for("submitted 1 jobs")
    grid.state.stop("diracx")
    try:
        grid.wait_for("Trying again; jobs go on meanwhile")
        time.sleep(OUTAGE)
        assert process.poll() is None
    finally:
        diracx_part.start_server(grid.state)
    assert process.wait(240) == 0, grid.log()
    assert "the server answers again" in grid.log()
    assert len(grid.jobs()) == 1
    assert grid.stored("a.txt").read_text() == "done\n"


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
    """Do what `snakemake --unlock` does, without its start; a run that was faster left no lock."""
    shutil.rmtree(grid.folder / ".snakemake/locks", ignore_errors=True)


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
