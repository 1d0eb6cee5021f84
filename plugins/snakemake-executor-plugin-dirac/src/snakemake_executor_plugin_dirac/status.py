"""Monitoring: one search for all jobs, and what their states mean for the workflow."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

#: DIRAC's states, by what they mean here. What is in none of them is on its way.
DONE, FAILED = {"Done", "Completed"}, {"Failed", "Killed", "Deleted"}
WAITING = {"Submitting", "Received", "Checking", "Staging", "Scouting", "Waiting", "Rescheduled"}
#: Rows of one search, the server's limit; looks without a job before it counts as deleted.
ROWS, MISSES = 10000, 3
#: Up to so many jobs, each change of each is told; beyond, only numbers.
TOLD_SINGLY = 10
#: Seconds that DIRAC takes from Killed to the output sandbox.
KILL_GRACE = 20
COLUMNS = [
    "JobID",
    "Status",
    "MinorStatus",
    "ApplicationStatus",
    "Site",
    "HeartBeatTime",
    "LastUpdateTime",
]


@dataclass(slots=True)
class Tracked:
    """A submitted job and its last known state."""

    info: object
    name: str
    needs: object
    state: tuple = ()
    since: float = 0.0
    misses: int = 0
    told_waiting: bool = False

    @property
    def status(self) -> str:
        """DIRAC's major status."""
        return self.state[0] if self.state else "Submitted"

    def describe(self) -> str:
        """Return status, minor and application status and site in words."""
        if not self.state:
            return "Submitted"
        status, minor, application, site = self.state
        text = f"{status} / {minor}" if minor else status
        if application and application != "Unknown":
            text += f" / {application}"
        return f"{text} at {site}" if site and site not in ("ANY", "Multiple") else text


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at a job gave.

    Parameters
    ----------
    done : bool
        It succeeded; else it failed.
    reason : str
        In words.
    grace : float
        Seconds to wait for its output sandbox.
    kill : bool
        Whether it has to be stopped first.
    """

    done: bool
    reason: str = ""
    grace: float = 0
    kill: bool = False


async def look(connection, job_ids) -> dict[int, dict]:
    """Ask for the states of jobs: one search for each 10,000 of them.

    Returns
    -------
    dict
        DIRAC's number to the row; jobs that the server does not know are absent.
    """
    rows = {}
    job_ids = list(job_ids)
    for start in range(0, len(job_ids), ROWS):
        where = [{"parameter": "JobID", "operator": "in", "values": job_ids[start : start + ROWS]}]
        found = await connection.call(
            "ask for the states of the jobs",
            lambda api, where=where: api.jobs.search(
                parameters=COLUMNS, search=where, per_page=ROWS
            ),
        )
        rows.update((row["JobID"], row) for row in found)
    return rows


def _seconds(stamp) -> float:
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0


class Monitor:
    """Keeps the states of all jobs and decides what they mean.

    Parameters
    ----------
    connection : Connection
        To the server.
    settings : ExecutorSettings
        Interval and limits.
    logger : logging.Logger
        Told about changes.
    """

    def __init__(self, connection, settings, logger):
        self.connection = connection
        self.settings = settings
        self.logger = logger
        self.jobs: dict[int, Tracked] = {}
        self.interval = settings.status_interval
        self._counts = None

    def add(self, job_id: int, tracked: Tracked) -> None:
        """Watch a job from now on."""
        tracked.since = time.monotonic()
        self.jobs[job_id] = tracked
        self.interval = self.settings.status_interval

    async def poll(self) -> list[tuple[int, Tracked, Verdict]]:
        """Look at all jobs once.

        Returns
        -------
        list
            Those that ended, with the verdict; they are no longer watched.
        """
        watched = dict(self.jobs)
        rows = await look(self.connection, watched)
        changed, ended = False, []
        for job_id, tracked in watched.items():
            changed |= self._update(job_id, tracked, rows.get(job_id))
            verdict = self._judge(tracked, rows.get(job_id))
            if verdict is not None:
                ended.append((job_id, tracked, verdict))
                del self.jobs[job_id]
        slowest = 6 * self.settings.status_interval
        self.interval = (
            self.settings.status_interval if changed else min(1.5 * self.interval, slowest)
        )
        self._tell_counts()
        return ended

    def _update(self, job_id, tracked, row) -> bool:
        if row is None:
            tracked.misses += 1
            return False
        tracked.misses = 0
        state = tuple(row.get(c) or "" for c in COLUMNS[1:5])
        if state == tracked.state:
            return False
        if state[0] != tracked.status:
            tracked.since = time.monotonic()
        tracked.state = state
        if len(self.jobs) <= TOLD_SINGLY:
            self.logger.info(
                f"DIRAC job {job_id} ({tracked.name.split('.')[0]}): {tracked.describe()}",
                extra={"places": self._places()},
            )
        if state[0] == "Stalled":
            self.logger.warning(
                f"DIRAC job {job_id} is stalled ({state[1]}); it fails after "
                f"{self.settings.quiet_limit:g} minutes without a sign of life."
            )
        return True

    def _judge(self, tracked, row) -> Verdict | None:
        if row is None:
            if tracked.misses < MISSES:
                return None
            return Verdict(False, "the server no longer knows the job: it was deleted")
        status = tracked.status
        if status in DONE:
            return Verdict(True)
        if status in FAILED:
            return Verdict(False, tracked.describe(), grace=KILL_GRACE if status == "Killed" else 0)
        if status in WAITING:
            return self._judge_waiting(tracked)
        return self._judge_quiet(tracked, row)

    def _judge_waiting(self, tracked) -> Verdict | None:
        minutes = (time.monotonic() - tracked.since) / 60
        limit = self.settings.waiting_limit
        reason = f"no site took it for {minutes:.0f} minutes; it asks for {tracked.needs}"
        if limit and minutes >= limit:
            return Verdict(False, reason, kill=True)
        if minutes >= 60 and not tracked.told_waiting:
            tracked.told_waiting = True
            self.logger.warning(f"DIRAC job {tracked.info.external_jobid}: {reason}")
        return None

    def _judge_quiet(self, tracked, row) -> Verdict | None:
        limit = self.settings.quiet_limit * 60
        if tracked.status == "Stalled":
            quiet = time.monotonic() - tracked.since
        else:
            last = max(_seconds(row["HeartBeatTime"]), _seconds(row["LastUpdateTime"]))
            # Sites send heartbeats late: only the time that this process saw counts, too.
            seen = time.monotonic() - tracked.since
            quiet = min(self.connection.server_time() - last, seen)
        if quiet < limit:
            return None
        return Verdict(
            False, f"{tracked.describe()}, no sign of life for {quiet / 60:.3g} minutes", kill=True
        )

    def _tell_counts(self) -> None:
        counts = Counter(
            (tracked.status, tracked.state[3] if tracked.state else "")
            for tracked in self.jobs.values()
        )
        if len(self.jobs) <= TOLD_SINGLY or counts == self._counts:
            return
        self._counts = counts
        by_status: dict[str, list[str]] = {}
        for (status, site), number in sorted(counts.items()):
            by_status.setdefault(status, []).append(f"{number} at {site}" if site else str(number))
        text = "; ".join(f"{status}: {', '.join(items)}" for status, items in by_status.items())
        self.logger.info(f"DIRAC jobs: {text}", extra={"places": self._places()})

    def _places(self) -> list[tuple[str, str, int]]:
        """Where the jobs are, for logger plug-ins that show it: site, state, count."""
        counts = Counter(
            (tracked.state[3] if tracked.state else "", tracked.status)
            for tracked in self.jobs.values()
        )
        return [(site, status, number) for (site, status), number in sorted(counts.items())]
