"""One place that knows which main processes of the workflow live in a folder.

After ``kill -9`` Snakemake's lock stays, although nobody runs, local jobs go on without their main
process, and half-written files lie about. A main process therefore holds a shared `flock` on a file
beside the locks: the kernel drops it however the process ends. Who can have it exclusively is alone,
so that every lock, job and half-written file of this folder is a dead one's. The file names the
machine: on a shared file system a `flock` may not be seen by another, so what that one left is left
to a person.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import time
from base64 import urlsafe_b64decode
from pathlib import Path

from ctabatch.files import remove_half_written

logger = logging.getLogger(__name__)

#: Environment variable by which the jobs of a folder are known; its value is the folder.
MARK = "CTABATCH_WORKFLOW_FOLDER"
#: Seconds that a job has between SIGTERM and SIGKILL.
PATIENCE = 5.0
#: Snakemake's options that look at the workflow and run none of it.
_LOOKING = (
    "dryrun", "lint", "summary", "detailed_summary", "report", "dag", "rulegraph", "filegraph", "d3dag",
    "list_rules", "list_target_rules", "list_changes", "list_input_changes", "list_params_changes",
    "print_compilation",
)  # fmt: skip

_held = []  # open for as long as the process lives


def claim(results: Path, folder: Path = Path(".snakemake")) -> dict[str, int]:
    """Say that a main process runs here; if it is alone, clear up after those that were killed.

    Parameters
    ----------
    results : pathlib.Path
        Folder in which half-written files are looked for.
    folder : pathlib.Path
        Snakemake's folder for its records; the working directory is its parent.

    Returns
    -------
    dict
        Numbers of ``jobs``, ``locks`` and half-written ``files`` that dead main processes left, and
        that are gone now.
    """
    folder, found = Path(folder), {}
    here = str(folder.absolute().parent.resolve())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / "running.lock").open("a+")
    except OSError:
        return found  # read-only: Snakemake itself says so where it matters
    _held.append(stream)
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _was_here(stream) and not only_looks(sys.argv):
                jobs = _end_cluster_jobs(folder, here) + _end_jobs(here)
                found = {"jobs": jobs, "locks": _remove_locks(folder / "locks")}
                found["files"] = _remove_incomplete(folder / "incomplete", Path(results))
                if any(found.values()):
                    found["files"] += remove_half_written(Path(results))
        fcntl.flock(stream, fcntl.LOCK_SH)
    except OSError as error:
        logger.debug("%s has no working flock: %s", folder, error)
    os.environ[MARK] = here
    return found


def only_looks(command: list[str]) -> bool:
    """Tell whether a command line of Snakemake changes nothing, such as that of a dry run.

    Snakemake itself tells this to the Snakefile only after it was read.
    """
    program = Path(command[0])
    if "snakemake" not in (program.name, program.parent.name):  # also snakemake/__main__.py
        return False
    from snakemake.cli import get_argument_parser

    try:
        given, _ = get_argument_parser().parse_known_args(command[1:])
    except SystemExit:  # a mistake, which Snakemake reports
        return True
    return any(getattr(given, name, None) for name in _LOOKING)


def _was_here(stream) -> bool:
    """Tell whether the last main process ran on this machine, and note that the next one does."""
    stream.seek(0)
    last, this = stream.read().strip(), socket.gethostname()
    stream.truncate(0)
    stream.write(this + "\n")
    stream.flush()
    return last == this


def describe(found: dict[str, int]) -> str | None:
    """Say in a line what `claim` cleared up; None if nothing."""
    parts = [
        f"{count} {name if count > 1 else name[:-1]}" for name, count in found.items() if count
    ]
    return (
        f"an earlier run was killed: removed {' and '.join(parts)} that it left" if parts else None
    )


def orphans(here: str) -> list[int]:
    """Processes of this user that carry the mark of a folder, without this one and its ancestors."""
    wanted, mine, found = f"{MARK}={here}".encode(), _ancestors(), []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) in mine:
            continue
        with contextlib.suppress(OSError):
            if entry.stat().st_uid == os.geteuid() and wanted in (
                entry / "environ"
            ).read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _ancestors():
    number, found = os.getpid(), set()
    while number > 1:
        found.add(number)
        try:
            # the name, in brackets, may hold anything
            number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
    return found


def _end_jobs(here):
    jobs, end = orphans(here), time.monotonic() + PATIENCE
    left, signal_ = jobs, signal.SIGTERM
    while left:
        for number in left:
            with contextlib.suppress(OSError):
                os.kill(number, signal_)
        if signal_ == signal.SIGKILL:
            break
        while (left := orphans(here)) and time.monotonic() < end:
            time.sleep(0.1)
        signal_ = signal.SIGKILL
    return len(jobs)


def _end_cluster_jobs(folder, here):
    """End jobs on other machines: those of Slurm, if this folder ever had any.

    Those of DIRAC are adopted by the next run, see the executor plug-in.
    """
    if not (folder / "slurm_logs").is_dir() or shutil.which("squeue") is None:
        return 0
    from ctabatch.compute.slurm_orphans import end_cluster_jobs

    return end_cluster_jobs(here)


def _remove_locks(folder):
    count = 0
    for path in [*folder.glob("*.input.lock"), *folder.glob("*.output.lock")]:
        path.unlink(missing_ok=True)
        count += 1
    return count


def begun(folder: Path) -> list[tuple[Path, str]]:
    """Snakemake's records of outputs that were begun and not ended, with the names of the outputs.

    Parameters
    ----------
    folder : pathlib.Path
        ``incomplete`` in Snakemake's folder.
    """
    found = []
    for record in [path for path in Path(folder).rglob("*") if path.is_file()]:
        # long names are split into folders that begin with @
        text = "".join(part.removeprefix("@") for part in record.relative_to(folder).parts)
        with contextlib.suppress(ValueError):
            found.append((record, urlsafe_b64decode(text).decode()))
    return found


def _remove_incomplete(folder, results):
    """Remove outputs of jobs that were begun and not ended, as Snakemake's records name them.

    Snakemake 9.27 looks at them once, when it builds the graph: what comes after a checkpoint is not in
    there yet, and a truncated file is then taken for a whole one, in spite of ``--rerun-incomplete``.
    """
    count = 0
    for record, name in begun(folder):
        path = Path(name)
        # files in a storage are not here; no record leads out of the results
        if not path.is_relative_to(results) or ".." in path.parts:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            count += 1
        elif path.is_symlink() or path.exists():
            path.unlink()
            count += 1
        record.unlink()
    return count
