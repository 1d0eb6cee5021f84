"""Failures in words, with the end of the job's logs."""

import logging
import os
from collections import deque
from pathlib import Path

from snakemake_logger_plugin_progress.run import Failure, Run, duration

#: Bytes at the end of a log that are looked at, and failed jobs that the closing summary names.
LOOKED_AT, NAMED = 1 << 18, 20


def tail(path: str, lines: int) -> list[str]:
    """Return the last lines of a log; why there are none, if it can't be read.

    A job that is tried again starts its log anew, and Snakemake deletes it with the outputs: it may
    vanish between two steps here.
    """
    try:
        with Path(path).open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - LOOKED_AT))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        return ["(gone meanwhile)" if gone else f"(can't be read: {error.strerror})"]
    return list(deque(text.splitlines(), maxlen=lines)) or ["(empty)"]


def describe(failure: Failure, lines: int) -> str:
    """Say what failed and why.

    Parameters
    ----------
    failure : Failure
        What failed.
    lines : int
        Lines of each log that are shown; 0 for none.
    """
    attempt = f", attempt {failure.attempt}" if failure.attempt > 1 else ""
    text = [f"FAILED {failure.title}, job {failure.jobid}{attempt}"]
    text += [f"    {line}" for line in failure.reason.strip().splitlines()]
    for path in failure.logs:
        text.append(f"    log {path}")
        if lines:
            text += [f"    | {line}" for line in tail(path, lines)]
    return "\n".join(text)


def summary(run: Run) -> list[tuple[str, int]]:
    """Sum up a run at its end: what failed first, then how much was done; texts with levels."""
    failed, texts = run.left_failures, []
    for failure in failed[:NAMED]:
        logs = f": see {', '.join(failure.logs)}" if failure.logs else ""
        texts.append((f"FAILED {failure.title}{logs}", logging.ERROR))
    if len(failed) > NAMED:
        texts.append((f"and {len(failed) - NAMED} more failed", logging.ERROR))
    line = f"{run.done} of {run.total} jobs done in {duration(run.elapsed())}"
    if failed:
        line = f"{len(failed)} failed, {line}"
    if run.retried:
        line += f", {run.retried} retried"
    return [*texts, (line, logging.ERROR if failed else logging.INFO)]
