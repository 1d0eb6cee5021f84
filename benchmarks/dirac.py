"""Speed of the DIRAC executor plug-in against a started DiracX server, each figure with a baseline.

Start the server first, then::

    python scripts/stack/stack.py install diracx
    python benchmarks/dirac.py [--jobs 1000] [--flow 5000]

An instance ``diracx-bench`` of the stack is started and stopped; its pilot stands still except for
the last measure, where it lets all jobs be done at once. Needs snakemake-storage-plugin-fs.
"""

import argparse
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "scripts" / "stack"))

LOG = logging.getLogger("dirac-benchmark")
NOOP = """
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings
common_settings = CommonSettings(
    non_local_exec=True, implies_no_shared_fs=True, job_deploy_sources=False,
    can_transfer_local_files=True, auto_deploy_default_storage_provider=False)
class Executor(RemoteExecutor):
    def run_job(self, job):
        self.report_job_submission(SubmittedJobInfo(job, external_jobid="1"))
    async def check_active_jobs(self, active_jobs):
        for info in active_jobs:
            self.report_job_success(info)
        return
        yield
    def cancel_jobs(self, active_jobs):
        pass
"""
SNAKEFILE = """
rule all:
    input: expand("{{i}}.txt", i=range({jobs}))
rule work:
    output: "{{i}}.txt"
    shell: "true"
"""


def row(what, value, unit, ratio="", target=""):
    """Print a line of the table."""
    print(f"{what:52s} {value:10.3g} {unit:8s} {ratio:38s} {target}", flush=True)


@contextmanager
def stack():
    """Run an instance of the stack."""
    import diracx_part
    from common import State

    state = State("diracx", "bench")
    state.make()
    diracx_part.up(state)
    state.stop("pilot")
    os.environ.update(state.env())
    try:
        yield state, diracx_part
    finally:
        diracx_part.down(state)
        state.purge()


def connect():
    from snakemake_executor_plugin_dirac.client import Connection
    from snakemake_executor_plugin_dirac.settings import ExecutorSettings

    settings = ExecutorSettings()
    return Connection(settings, LOG), settings


def texts(group, number, sandbox):
    from snakemake_executor_plugin_dirac.jdl import Needs, description

    return [description(f"job.{i}", group, Needs(), sandbox, [i]) for i in range(number)]


async def bulk(connection, jobs, sandbox):
    ids = []
    for start in range(0, jobs, 20):
        body = texts("bulk", jobs, sandbox)[start : start + 20]
        inserted = await connection.call("submit", lambda api, b=body: api.jobs.submit_jdl_jobs(b))
        ids += [job.job_id for job in inserted]
    return ids


async def one_by_one(connection, jobs):
    from snakemake_executor_plugin_dirac.sandbox import upload
    from snakemake_executor_plugin_dirac.sources import build_sandbox

    for i in range(jobs):
        pfn = await upload(connection, build_sandbox(b"x" * 20000, str(i).encode(), b""))
        text = texts("single", 1, pfn)
        await connection.call("submit", lambda api, text=text: api.jobs.submit_jdl_jobs(text))


def workflow(folder, jobs):
    """Make a workflow with storage; its outputs exist, so that nobody misses them afterwards."""
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs))
    (folder / "store").mkdir()
    for i in range(jobs):
        (folder / "store" / f"{i}.txt").touch()
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "Snakefile"], check=True)


def start(folder, executor, *options):
    """Start Snakemake; its output goes to ``log`` in the folder."""
    plugins = folder / "plugins"
    package = plugins / "snakemake_executor_plugin_noop"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(NOOP)
    argv = [sys.executable, "-m", "snakemake", "--executor", executor, "--jobs", "100000", "-F"]
    argv += ["--default-storage-provider", "fs", "--default-storage-prefix", str(folder / "store")]
    argv += [
        "--quiet",
        "rules",
        "--max-jobs-per-timespan",
        "100000/1s",
        "--scheduler",
        "greedy",
        "--seconds-between-status-checks",
        "1",
        *options,
    ]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            argv,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(plugins)},
        )


def measure(folder, executor, *options):
    """Run Snakemake to its end; returns wall and CPU time in s, and largest memory in kB."""
    begin = time.monotonic()
    process = start(folder, executor, *options)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text()[-3000:])
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def submission(folder, jobs):
    """Submit ready jobs with Snakemake, then stop it by Ctrl-C; returns seconds of both."""
    process = start(folder, "dirac")
    log = folder / "log"

    def seconds(pattern):
        while not (found := re.search(pattern, log.read_text())):
            if process.poll() is not None:
                raise SystemExit(log.read_text()[-3000:])
            time.sleep(0.2)
        return float(found[1])

    submitted = seconds(rf"submitted {jobs} jobs in ([0-9.]+) s")
    process.send_signal(2)
    killed = seconds(rf"killed {jobs} jobs in ([0-9.]+) s")
    process.wait()
    return submitted, killed


def client_measures(jobs):
    """Measure submission against its baselines, then polling and killing."""
    from snakemake_executor_plugin_dirac.cancellation import kill
    from snakemake_executor_plugin_dirac.jdl import Needs
    from snakemake_executor_plugin_dirac.sandbox import upload
    from snakemake_executor_plugin_dirac.sources import build_sandbox
    from snakemake_executor_plugin_dirac.status import Monitor, Tracked

    connection, settings = connect()

    def timed(coroutine):
        before, begin = connection.requests, time.monotonic()
        result = connection.run(coroutine)
        return result, time.monotonic() - begin, connection.requests - before

    pfn = connection.run(upload(connection, build_sandbox(b"x" * 20000, b"", b"")))
    connection.run(bulk(connection, 40, pfn))
    ids, seconds, _ = timed(bulk(connection, jobs, pfn))
    bare = jobs / seconds
    row("bare submit_jdl_jobs, 20 a call, one after the other", bare, "jobs/s")
    few = max(jobs // 10, 20)
    _, seconds, _ = timed(one_by_one(connection, few))
    single = few / seconds
    row(f"one by one, a sandbox each ({few} jobs)", single, "jobs/s")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "flow"
        workflow(folder, jobs)
        submitted, killed = submission(folder, jobs)
    rate = jobs / submitted
    row(
        f"plug-in: {jobs} ready jobs, sandbox included",
        rate,
        "jobs/s",
        f"{rate / bare:.2f} of bare, {rate / single:.1f} x one by one",
        "(>= 0.60, >= 8)",
    )
    row(f"plug-in: Ctrl-C, {jobs} jobs killed", killed, "s")

    monitor = Monitor(connection, settings, LOG)
    for number in ids:
        monitor.add(number, Tracked(None, "job", Needs()))
    body = {
        str(i): {
            _now(): {"Status": "Checking"},
            _now(1): {"Status": "Waiting"},
            _now(2): {"Status": "Matched"},
            _now(3): {"Status": "Running"},
        }
        for i in ids
    }
    connection.run(connection.call("run", lambda api: api.jobs.set_job_statuses(body)))
    best = min((timed(monitor.poll())[1:] for _ in range(3)), key=lambda item: item[0])
    row(f"poll of {jobs} running jobs", best[0], "s", f"{best[1]} request", "(1 request, <= 0.2 s)")
    number, seconds, requests = timed(kill(connection, ids))
    row(f"kill of {number} running jobs", seconds, "s", f"{requests} request", "(1 request)")
    connection.close()


def _now(milliseconds=0):
    return (datetime.now(UTC) + timedelta(milliseconds=milliseconds)).isoformat()


def flow_measures(jobs):
    """Measure short jobs end to end against Snakemake with an executor that does nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "flow"
        workflow(folder, jobs)
        base, base_cpu, base_memory = measure(folder, "noop")
        row(
            f"Snakemake alone, {jobs} jobs, no-op executor",
            base,
            "s",
            f"{base_cpu:.3g} s CPU, {base_memory / 1024:.0f} MB",
        )
        wall, cpu, memory = measure(folder, "dirac", "--dirac-status-interval", "1")
    row(
        f"plug-in, {jobs} jobs end to end",
        wall,
        "s",
        f"{wall / base:.2f} x (CPU {cpu / base_cpu:.2f} x), "
        f"{(memory - base_memory) / jobs:.0f} kB a job more",
        "(<= 1.5 x, <= 60 kB)",
    )


def start_up():
    """Measure import, connection, login and limits in a process that has Snakemake already."""
    code = (
        "import snakemake.api, asyncio, logging, time\n"
        "begin, cpu = time.monotonic(), time.process_time()\n"
        "from snakemake_executor_plugin_dirac import Executor, ExecutorSettings\n"
        "from snakemake_executor_plugin_dirac.client import Connection\n"
        "from snakemake_executor_plugin_dirac.checks import Limits\n"
        "settings = ExecutorSettings(); c = Connection(settings, logging.getLogger())\n"
        "user = c.run(c.call('ask', lambda api: api.auth.userinfo()))\n"
        "c.run(Limits(settings).load(c, user, logging.getLogger()))\n"
        "print(time.monotonic() - begin, time.process_time() - cpu)"
    )
    argv = [sys.executable, "-c", code]
    # The first start compiles the modules where an installation did not; the others are measured.
    cached = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    runs = [
        subprocess.run(argv, check=True, capture_output=True, text=True, env=cached).stdout.split()
        for _ in range(4)
    ]
    wall, cpu = min((float(wall), float(cpu)) for wall, cpu in runs)
    row("start-up of the plug-in (best of 4)", wall, "s", f"{cpu:.2f} s CPU", "(<= 1.5 s)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--jobs", type=int, default=1000, help="for submission, poll and kill; 0 leaves them out"
    )
    parser.add_argument("--flow", type=int, default=5000, help="jobs end to end; 0 leaves it out")
    options = parser.parse_args()
    # shells start what is in the background without it, and Snakemake is stopped by it here
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with stack() as (state, part):
        start_up()
        if options.jobs:
            client_measures(options.jobs)
        if options.flow:
            part.start_pilot(state, "--instant")
            flow_measures(options.flow)


if __name__ == "__main__":
    main()
