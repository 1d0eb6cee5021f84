"""The logger plug-in: in real runs of Snakemake, and event by event."""

import io
import logging
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_progress import LogHandler
from snakemake_logger_plugin_progress.failures import tail
from snakemake_logger_plugin_progress.run import Run

SNAKEFILE = """
rule all:
    input: "good.txt", "mended.txt", "bad.txt"

rule good:
    output: "good.txt"
    shell: "sleep 1; touch {output}"

rule mended:  # its log is not there when the failure is told, as if the second try had removed it
    output: "mended.txt"
    log: "mended.log"
    retries: 1
    shell: "[ -e again ] && touch {output} || {{ touch again; exit 1; }}"

rule bad:
    output: "bad.txt"
    log: "bad.log"
    shell: "echo reason of failure > {log}; exit 3"
"""


def command(*options):
    argv = [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going"]
    return [*argv, "--logger", "progress", "--show-failed-logs", *options]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def test_lines_without_a_terminal(folder):
    done = subprocess.run(
        command("--logger-progress-interval", "0.2"),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stderr
    assert done.returncode == 1
    assert "Traceback" not in text
    # the log of the job that was retried is gone, or is the empty one that Snakemake makes when the
    # second try has ended by then; that of the other one is shown
    assert "FAILED mended, job" in text
    assert "(gone meanwhile)" in text or "(empty)" in text
    assert "| reason of failure" in text
    assert "running on this machine" in text
    assert " of 4 done" in text
    assert "ETA" in text
    # at the end, what failed for good comes first, and only that
    end = [line for line in text.splitlines() if line.startswith("FAILED") and "see" in line]
    assert end == ["FAILED bad: see bad.log"]
    assert "1 failed, 2 of 4 jobs done" in text.splitlines()[-1]
    assert "1 retried" in text.splitlines()[-1]


def test_live_display_on_a_terminal(folder):
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(command(), cwd=folder, env=environment, stdout=slave, stderr=slave)
    os.close(slave)
    chunks = []
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(master)
    assert process.wait() == 1
    text = b"".join(chunks).decode()
    assert "Traceback" not in text
    assert "running on this machine" in text
    assert "of 4 done" in text
    assert "1 failed, 2 of 4 jobs done" in text


def record(event=None, message="", level=logging.INFO, **fields):
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    vars(made).update(fields, **({"event": event} if event else {}))
    return made


def job(number, rule="work", **fields):
    return record(
        LogEvent.JOB_INFO,
        jobid=number,
        rule_name=rule,
        wildcards={"n": number},
        local=False,
        **fields,
    )


@pytest.fixture
def handler():
    common = SimpleNamespace(
        quiet=None, dryrun=False, stdout=False, nocolor=True, verbose=False, show_failed_logs=True,
        printshellcmds=False, debug_dag=False,
    )  # fmt: skip
    made = LogHandler(common, None)
    made.display.stream = io.StringIO()
    yield made
    made.close()


def test_places_of_an_executor_are_shown_and_replaced(handler):
    handler.emit(record(LogEvent.RUN_INFO, "Job stats", stats={"work": 4, "total": 4}))
    for number in range(4):
        handler.emit(job(number))
    assert "4 submitted" in handler.run.line()
    handler.emit(record(places=[("LCG.A.de", "Running", 3), ("ANY", "Waiting", 1)]))
    assert "1 Waiting, 3 Running at LCG.A.de" in handler.run.line()
    handler.emit(record(places=[("LCG.A.de", "Done", 3), ("LCG.B.fr", "Running", 1)]))
    assert "(1 Running at LCG.B.fr)" in handler.run.line()


def test_time_left_is_that_of_the_rules_that_are_left():
    now = [0.0]
    run = Run(clock=lambda: now[0])
    run.note(LogEvent.RUN_INFO, record(stats={"short": 2, "long": 3, "total": 5}), "")
    assert run.time_left() is None
    for number, rule, took in ((1, "short", 10), (2, "long", 100)):
        run.note(LogEvent.JOB_INFO, job(number, rule), "")
        now[0] += took
        run.note(LogEvent.JOB_FINISHED, record(job_id=number), "")
    run.note(LogEvent.PROGRESS, record(done=2, total=5), "")
    assert run.time_left() == pytest.approx(10 + 2 * 100)
    # a checkpoint found five jobs more: they count as an average job
    run.note(LogEvent.PROGRESS, record(done=2, total=10), "")
    assert run.time_left() == pytest.approx(210 + 5 * 55)


def test_restart_of_a_group_settles_its_failure(handler, tmp_path):
    handler.emit(record(LogEvent.RUN_INFO, "Job stats", stats={"work": 2, "total": 2}))
    members = [SimpleNamespace(jobid=1), SimpleNamespace(jobid=2)]
    handler.emit(record(LogEvent.GROUP_INFO, group_id="g", jobs=members))
    infos = [{"jobid": n, "rule_name": "work", "log": [str(tmp_path / "no.log")]} for n in (1, 2)]
    for number in (1, 2):
        handler.emit(job(number, indent=True))
    handler.emit(record(LogEvent.GROUP_ERROR, groupid="g", aux_logs=[], job_error_info=infos))
    handler.emit(record(LogEvent.JOB_ERROR, rule_name="work", jobid=1, log=[], indent=True))
    assert len(handler.run.final_failures) == 1
    assert not handler.run.active
    handler.emit(record(None, "Trying to restart job 4f2a-11."))
    assert handler.run.final_failures == []
    # stopped now, it has failed; begun again, it has not
    assert len(handler.run.left_failures) == 1
    handler.emit(job(2, indent=True))
    assert handler.run.left_failures == []


def test_an_event_of_unknown_form_is_told_in_a_line(handler):
    handler.emit(record(LogEvent.PROGRESS))
    handler.emit(record(LogEvent.PROGRESS))
    out = handler.display.stream.getvalue()
    assert out.count("The display of the progress failed") == 1
    assert "Traceback" not in out


def test_tail_of_logs_that_cannot_be_read(tmp_path):
    assert tail(str(tmp_path / "absent.log"), 5) == ["(gone meanwhile)"]
    assert "can't be read" in tail(str(tmp_path), 5)[0]
    (tmp_path / "binary.log").write_bytes(b"\xff\xfe\nlast\n")
    assert tail(str(tmp_path / "binary.log"), 1) == ["last"]
