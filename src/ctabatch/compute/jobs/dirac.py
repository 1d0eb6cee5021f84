"""Jobs of workflow runs on a DIRAC server."""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

from ctabatch.compute.jobs.model import BatchJob, JobServer, Selection, job_order
from ctabatch.errors import InputError

_KINDS = {
    "Failed": "failed",
    "Killed": "failed",
    "Deleted": "failed",
    "Stalled": "stalled",
    "Matched": "running",
    "Running": "running",
    "Completing": "running",
    "Done": "done",
    "Completed": "done",
}
#: How the executor plug-in names jobs: RULE.WHAT.HOW.
_NAME = re.compile(r"(.+)\.[0-9a-f]{16}\.[0-9a-f]{16}")
_COLUMNS = [
    *("JobID", "JobName", "JobGroup", "Status", "MinorStatus", "ApplicationStatus"),
    *("Site", "SubmissionTime", "EndExecTime"),
]
#: Output sandboxes that are fetched at once.
_AT_ONCE = 8


class DiracJobs(JobServer):
    """Jobs of the user, over DiracX.

    Parameters
    ----------
    connection : snakemake_executor_plugin_dirac.client.Connection
        To the server.
    """

    limit = 10_000

    def __init__(self, connection):
        self.connection = connection
        self._user = None

    def find(self, selection: Selection) -> list[BatchJob]:
        """Find jobs; see `JobServer.find`."""
        numbers = [_number(text) for text in selection.ids]
        rows = self.connection.run(self._search(selection, numbers))
        jobs = [_job(row) for row in rows]
        found = {job.id for job in jobs if job is not None}
        if missing := [text for text in selection.ids if str(int(text)) not in found]:
            raise InputError(
                f"no job of yours has the number {', '.join(missing)}",
                "jobs",
                "numbers that `cta-batch jobs list` shows",
            )
        wanted = Selection(
            tuple(str(number) for number in numbers), selection.run, selection.rule, selection.state
        )
        return sorted((j for j in jobs if j is not None and wanted.admits(j)), key=job_order)

    async def _search(self, selection: Selection, numbers: list[int]):
        if self._user is None:
            self._user = await self.connection.call("ask who I am", lambda api: api.auth.userinfo())
        where = [
            {"parameter": "Owner", "operator": "eq", "value": self._user.preferred_username},
            {"parameter": "VO", "operator": "eq", "value": self._user.vo},
        ]
        if selection.run:
            where.append({"parameter": "JobGroup", "operator": "eq", "value": selection.run})
        else:
            # other jobs of the user have no such names
            where.append({"parameter": "JobName", "operator": "like", "value": "%.%.%"})
        if numbers:
            where.append({"parameter": "JobID", "operator": "in", "values": numbers})
        return await self.connection.call(
            "look for the jobs",
            lambda api: api.jobs.search(
                parameters=_COLUMNS,
                search=where,
                sort=[{"parameter": "JobID", "direction": "desc"}],
                per_page=self.limit,
            ),
        )

    def kill(self, jobs: Iterable[BatchJob]) -> int:
        """Kill jobs in one call."""
        from snakemake_executor_plugin_dirac.cancellation import kill

        numbers = [int(job.id) for job in jobs]
        return self.connection.run(kill(self.connection, numbers)) if numbers else 0

    def fetch(self, jobs: Iterable[BatchJob], folder: Path) -> dict[str, list[Path]]:
        """Fetch output sandboxes, some at once."""
        return self.connection.run(self._fetch(list(jobs), Path(folder)))

    async def _fetch(self, jobs, folder):
        from snakemake_executor_plugin_dirac.sandbox import fetch_output

        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(job):
            async with slots:
                place = folder / job.id
                there = await fetch_output(self.connection, int(job.id), place)
            return sorted(path for path in place.rglob("*") if path.is_file()) if there else []

        files = await asyncio.gather(*(one(job) for job in jobs))
        return {job.id: found for job, found in zip(jobs, files, strict=True)}


def _number(text: str) -> int:
    if not text.isdigit():
        raise InputError(f"{text!r} is no number of a DIRAC job", "jobs", "digits")
    return int(text)


def _job(row) -> BatchJob | None:
    """Turn a row of a search into a job; None for jobs that are not Snakemake's."""
    named = _NAME.fullmatch(row.get("JobName") or "")
    if not named:
        return None
    parts = [row["Status"], row.get("MinorStatus"), row.get("ApplicationStatus")]
    site = row.get("Site") or ""
    return BatchJob(
        id=str(row["JobID"]),
        run=row.get("JobGroup") or "",
        rule=named[1],
        kind=_KINDS.get(row["Status"], "waiting"),
        state=" / ".join(part for part in parts if part and part != "Unknown"),
        site="" if site in ("ANY", "Multiple") else site,
        submitted=_time(row.get("SubmissionTime")),
        ended=_time(row.get("EndExecTime")),
    )


def _time(stamp) -> str:
    return str(stamp)[:19].replace(" ", "T") if stamp else ""
