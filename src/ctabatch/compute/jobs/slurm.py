"""Jobs of workflow runs on a Slurm cluster, as Snakemake's Slurm executor submits them."""

import getpass
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ctabatch.compute.jobs.model import BatchJob, JobServer, Selection, job_order
from ctabatch.compute.slurm import SlurmError, run_slurm
from ctabatch.errors import InputError

#: First part of the names of jobs, see profiles/slurm.
PREFIX = "ctabatch_"
#: How far back ended jobs are looked for.
SINCE = "now-7days"
_SACCT = ("JobID", "JobName", "State", "Partition", "Submit", "End", "Comment")
_KINDS = {
    "pending": "waiting",
    "configuring": "waiting",
    "requeued": "waiting",
    "suspended": "stalled",
    "running": "running",
    "completing": "running",
    "completed": "done",
}
_LOGS = Path(".snakemake/slurm_logs")


class SlurmJobs(JobServer):
    """Jobs of the user; those that have ended only where the cluster has accounting.

    Parameters
    ----------
    patience : float
        Seconds for which Slurm is asked again if it does not answer.
    """

    limit = 100_000

    def __init__(self, patience: float = 60):
        self.patience = patience

    def find(self, selection: Selection) -> list[BatchJob]:
        """Find jobs; see `JobServer.find`."""
        for text in selection.ids:
            if not text.isdigit():
                raise InputError(f"{text!r} is no number of a Slurm job", "jobs", "digits")
        jobs = [job for job in self._all() if job.run.startswith(PREFIX)]
        missing = [text for text in selection.ids if text not in {job.id for job in jobs}]
        if missing:
            raise InputError(
                f"no job of yours has the number {', '.join(missing)}",
                "jobs",
                "numbers that `cta-batch jobs list` shows",
            )
        return sorted((job for job in jobs if selection.admits(job)), key=job_order)

    def _all(self) -> list[BatchJob]:
        """Jobs of the queue, and those that ended as far as accounting knows them."""
        found = {job.id: job for job in self._ended()}
        rows = run_slurm(
            *("squeue", "-h", "-r", "-t", "all", "-u", getpass.getuser()),
            *("-o", "%i|%j|%T|%P|%V|%e|%k"),
            patience=self.patience,
        )
        # accounting lags by seconds: the queue, which keeps ended jobs for minutes, knows better
        found.update((job.id, job) for job in map(_job, rows.splitlines()) if job)
        return list(found.values())

    def _ended(self) -> list[BatchJob]:
        if shutil.which("sacct") is None:
            return []
        try:
            rows = run_slurm(
                *("sacct", "-X", "-n", "-P", "-S", SINCE, f"--format={','.join(_SACCT)}"),
                patience=5,
            )
        except SlurmError:
            return []  # a cluster without accounting: only its queue can be shown
        return [job for job in map(_job, rows.splitlines()) if job]

    def kill(self, jobs: Iterable[BatchJob]) -> int:
        """Cancel jobs in one call."""
        numbers = [job.id for job in jobs if job.kind not in ("done", "failed")]
        if numbers:
            run_slurm("scancel", *numbers, patience=self.patience)
        return len(numbers)

    def fetch(self, jobs: Iterable[BatchJob], folder: Path) -> dict[str, list[Path]]:
        """Copy the logs of jobs out of the working directory of the run, which must be this one."""
        found = {}
        for job in jobs:
            found[job.id] = []
            for log in sorted(_LOGS.rglob(f"{job.id}.log")):
                place = Path(folder) / job.id
                place.mkdir(parents=True, exist_ok=True)
                found[job.id].append(Path(shutil.copy(log, place)))
        return found


def _job(line: str) -> BatchJob | None:
    """Turn a line of squeue or sacct into a job."""
    parts = line.strip().split("|", 6)
    if len(parts) < 7:
        return None
    number, name, state, partition, submitted, ended, comment = parts
    word = state.split()[0].lower() if state else "unknown"
    rule = re.sub(r"_wildcards_.*", "", comment.removeprefix("rule_"))
    return BatchJob(
        id=number,
        run=name,
        rule=rule if rule != "(null)" else "",
        kind=_KINDS.get(word, "failed"),
        state=word,
        site=partition,
        submitted=_utc(submitted),
        ended=_utc(ended) if _KINDS.get(word, "failed") in ("done", "failed") else "",
    )


def _utc(text: str) -> str:
    """Turn Slurm's local time into UTC."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return ""
