"""What is known about a run: counts, places of jobs, failures, the time left."""

import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from snakemake_interface_logger_plugins.common import LogEvent

_RESTART = re.compile(r"Trying to restart job (\S+?)\.?$")
#: States of a back end that tell of no job under way.
_ENDED = {"done", "completed", "failed", "killed", "deleted", "cancelled", "timeout"}
HERE = "this machine"


@dataclass
class Job:
    """A job that Snakemake has handed to its executor."""

    rule: str
    wildcards: dict
    local: bool
    since: float
    tries: int = 1


@dataclass
class Failure:
    """A failed try of a job.

    Parameters
    ----------
    rule, wildcards, jobid
        Which job.
    reason : str
        What the executor said.
    logs : list of str
        Its log files; they may be gone.
    final : bool
        False once the job is to be tried again.
    members : tuple of str
        Jobs of a group, or the job itself.
    pending : bool
        It is to be tried again, and has not begun yet.
    """

    rule: str
    wildcards: dict
    jobid: object
    reason: str
    logs: list
    attempt: int
    members: tuple = ()
    final: bool = True
    pending: bool = False

    @property
    def title(self) -> str:
        """The job in words."""
        return self.rule + (f" ({_words(self.wildcards)})" if self.wildcards else "")


@dataclass
class Run:
    """The state of a run, made of Snakemake's events; see `note`."""

    clock: object = time.monotonic
    done: int = 0
    total: int = 0
    started: float | None = None
    by_rule: Counter = field(default_factory=Counter)
    done_by_rule: Counter = field(default_factory=Counter)
    active: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)
    retried: int = 0
    _groups: set = field(default_factory=set)
    _jobs: dict = field(default_factory=dict)
    _durations: dict = field(default_factory=lambda: defaultdict(lambda: [0, 0.0]))
    _places: dict = field(default_factory=dict)

    def note(self, event, record, text: str) -> Failure | None:
        """Take note of a log record; returns the failure that it tells of, if it does."""
        if event == LogEvent.RUN_INFO:
            self._plan(record)
        elif event == LogEvent.JOB_INFO:
            self._begin(record)
        elif event == LogEvent.JOB_FINISHED:
            self._end(record.job_id)
        elif event == LogEvent.PROGRESS:
            self.done, self.total = record.done, record.total
        elif event == LogEvent.GROUP_INFO:
            self._groups.add(record.group_id)
        elif event == LogEvent.JOB_ERROR:
            return self._fail(record)
        elif event == LogEvent.GROUP_ERROR:
            return self._fail_group(record)
        elif event is None and (found := _RESTART.search(text)):
            self._restart(found[1])
        return None

    def _plan(self, record):
        stats = {name: n for name, n in dict(record.stats).items() if name != "total"}
        self.by_rule = Counter(stats)
        self.total = sum(stats.values())
        if self.started is None:
            self.started = self.clock()

    def _begin(self, record):
        key = str(record.jobid)
        known = self._jobs.get(key)
        job = Job(
            record.rule_name,
            dict(record.wildcards or {}),
            bool(getattr(record, "local", False)),
            self.clock(),
            known.tries + 1 if known else 1,
        )
        self._jobs[key] = self.active[key] = job
        for failure in self.failures:
            failure.pending = failure.pending and key not in failure.members
        if self.started is None:
            self.started = self.clock()

    def _end(self, jobid):
        job = self.active.pop(str(jobid), None)
        if job is not None:
            entry = self._durations[job.rule]
            entry[0] += 1
            entry[1] += self.clock() - job.since
            self.done_by_rule[job.rule] += 1
            self._settle(str(jobid))

    def _settle(self, key):
        """A job that is done in the end has no final failure."""
        for failure in self.failures:
            if str(failure.jobid) == key:
                failure.final = False

    def _fail(self, record):
        if getattr(record, "indent", False):  # a member of a group, which has been told
            self.active.pop(str(record.jobid), None)
            return None
        key = str(record.jobid)
        job = self.active.pop(key, None) or self._jobs.get(key)
        failure = Failure(
            record.rule_name,
            job.wildcards if job else {},
            record.jobid,
            str(getattr(record, "rule_msg", None) or ""),
            [str(path) for path in getattr(record, "log", None) or []],
            job.tries if job else 1,
            (key,),
        )
        self.failures.append(failure)
        return failure

    def _fail_group(self, record):
        infos = record.job_error_info
        members = [str(info["jobid"]) for info in infos]
        for key in members:
            self.active.pop(key, None)
        self._groups.add(record.groupid)
        rules = Counter(info["rule_name"] for info in infos)
        title = ", ".join(
            f"{count} x {rule}" if count > 1 else rule for rule, count in rules.items()
        )
        logs = [*record.aux_logs, *(path for info in infos for path in info["log"])]
        tries = [self._jobs[key].tries for key in members if key in self._jobs]
        failure = Failure(
            f"group {record.groupid}: {title}",
            {},
            record.groupid,
            "",
            [str(path) for path in logs],
            max(tries, default=1),
            tuple(members),
        )
        self.failures.append(failure)
        return failure

    def _restart(self, key):
        self.retried += 1
        for failure in reversed(self.failures):
            # Snakemake names a group by its name when it fails, by another id when it restarts
            if failure.final and (str(failure.jobid) == key or failure.jobid in self._groups):
                failure.final, failure.pending = False, True
                break

    def set_places(self, source: str, places) -> None:
        """Take over where jobs are: (site, state, count) each, all that a back end knows."""
        self._places[source] = [
            (str(site or ""), str(state), int(count))
            for site, state, count in places
            if str(state).lower() not in _ENDED and count
        ]

    def places(self) -> list[tuple[str, str, int]]:
        """Return where the jobs are: (site, state, count), those of this machine first."""
        here = sum(job.local for job in self.active.values())
        found = [(HERE, "running", here)] if here else []
        told = [place for places in self._places.values() for place in places]
        if told and len(self.active) > here:
            return found + sorted(told)
        away = len(self.active) - here
        return found + ([("", "submitted", away)] if away else [])

    @property
    def final_failures(self) -> list[Failure]:
        """Failures of jobs that are not tried again."""
        return [failure for failure in self.failures if failure.final]

    @property
    def left_failures(self) -> list[Failure]:
        """Failures at the end of the run, also of jobs whose next try never began."""
        return [failure for failure in self.failures if failure.final or failure.pending]

    def time_left(self) -> float | None:
        """Estimate the seconds that are left; None until a job is done."""
        count = sum(entry[0] for entry in self._durations.values())
        left = self.total - self.done
        if not count or left <= 0:
            return None
        mean = sum(entry[1] for entry in self._durations.values()) / count
        work = known = 0.0
        for rule, planned in self.by_rule.items():
            rest = max(0, planned - self.done_by_rule[rule])
            number, seconds = self._durations.get(rule, (0, 0.0))
            work += rest * (seconds / number if number else mean)
            known += rest
        now = self.clock()
        work -= sum(min(now - job.since, mean) for job in self.active.values())
        # jobs that a checkpoint found later: of no known rule, so at the pace of the run so far
        pace = self.elapsed() / self.done if self.done else mean
        return max(0.0, work) / max(1, len(self.active)) + max(0, left - known) * pace

    def elapsed(self) -> float:
        """Seconds since the start."""
        return 0.0 if self.started is None else self.clock() - self.started

    def line(self) -> str:
        """Sum up in one line: failures first, then counts, places, the time left."""
        final = len(self.final_failures)
        parts = [f"{final} FAILED"] if final else []
        active = f"{len(self.active)} active"
        if self.active:
            active += f" ({', '.join(place_text(*place) for place in self.places())})"
        parts += [f"{self.done} of {self.total} done", active]
        if self.retried:
            parts.append(f"{self.retried} retried")
        left = self.time_left()
        if left is not None:
            parts.append(f"ETA {duration(left)}")
        return ", ".join(parts)


def place_text(site: str, state: str, count: int) -> str:
    """Say how many jobs are in a state at a site."""
    known = site and site not in ("ANY", "Multiple")
    return (
        f"{count} {state} {'on' if site == HERE else 'at'} {site}" if known else f"{count} {state}"
    )


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _words(wildcards: dict) -> str:
    return ", ".join(f"{name}={value}" for name, value in wildcards.items())
