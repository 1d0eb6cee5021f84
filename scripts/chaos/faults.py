"""Start a command, kill something at a given moment, say what happened."""

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass

import psutil

#: Commands that move data into, out of or within the lake.
TRANSFERS = re.compile(
    r"cta-batch (lake ingest|(reprocessing|analysis) "
    r"(stage|fetch|models|ingest|index|release|transfer|save))"
)
#: Seconds to wait for a process of the wanted kind.
PATIENCE = 20.0


@dataclass(frozen=True)
class Disturbance:
    """What is killed, and when."""

    kind: str  #: ``group``, ``main``, ``job``, ``transfer`` or ``server``
    moment: float  #: seconds after the start of the command


def start(world, step):
    """Start a command in a session of its own; output goes to the log of the world."""
    stream = (world.folder / "chaos.log").open("ab")
    stream.write(f"\n=== {' '.join(step.command)}\n".encode())
    stream.flush()
    return subprocess.Popen(
        step.command,
        cwd=world.folder,
        env=world.environment,
        stdout=stream,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run_quietly(world, step):
    """Run a command to its end; returns exit code, the end of its output, and seconds."""
    log, begin = world.folder / "chaos.log", time.monotonic()
    before = log.stat().st_size if log.exists() else 0
    code = start(world, step).wait()
    with log.open("rb") as stream:
        stream.seek(before)
        tail = stream.read()[-3000:].decode(errors="replace")
    return code, tail, time.monotonic() - begin


def run_disturbed(world, step, disturbance, generator):
    """Run a command and kill something at the moment; returns a line of the log.

    A command that survives (its job is tried again, its server comes back) runs to its end.
    """
    process = start(world, step)
    begin = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(disturbance.moment)
    if process.poll() is not None:
        return f"{step.name}: ended by itself, code {process.returncode}, before {disturbance.kind}"
    what = _strike(world, process, disturbance.kind, generator)
    after = time.monotonic() - begin
    code = process.wait()
    return f"{step.name}: {what} killed after {after:.1f} s, code {code}"


def _strike(world, process, kind, generator):
    if kind == "server":
        return world.kill_server(generator)
    if kind == "group":
        os.killpg(process.pid, signal.SIGKILL)
        return "process group"
    if kind == "main":
        process.kill()
        return "main process alone"
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        victims = _victims(world, process.pid, kind)
        if victims:
            pid, words = generator.choice(victims)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return f"{kind} ({words})"
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        return f"process group, for want of a {kind},"
    return "nothing"


def _victims(world, pid, kind):
    found = []
    with contextlib.suppress(psutil.Error):
        for child in world.processes(pid):
            with contextlib.suppress(psutil.Error):
                # the interpreter, if any, does not name the command
                words = child.cmdline()
                line = " ".join(words)
                name = re.search(r"(?:^|/)((?:cta-batch|ctapipe-)\S*(?: [a-z]\S*){0,2})", line)
                if name and "bash" not in words[0] and (kind == "job" or TRANSFERS.search(line)):
                    found.append((child.pid, name[1]))
    return sorted(found)
