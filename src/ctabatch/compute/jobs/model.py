"""Jobs as all back ends show them, and the interface that the back ends fill."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

#: Kinds of states, in the order in which people want to see them.
KINDS = ("failed", "stalled", "running", "waiting", "done")


@dataclass(frozen=True)
class BatchJob:
    """A job on a server.

    Parameters
    ----------
    id : str
        The server's number.
    run : str
        The workflow run that it belongs to: job group of DIRAC, job name of Slurm.
    rule : str
        Rule, or group of rules, that it runs.
    kind : str
        One of `KINDS`.
    state : str
        The server's own words, with minor states.
    site : str
        Site or partition; empty while unknown.
    submitted, ended : str
        UTC, ISO; empty while unknown.
    """

    id: str
    run: str
    rule: str
    kind: str
    state: str
    site: str = ""
    submitted: str = ""
    ended: str = ""

    def record(self) -> dict:
        """Return it as JSON can hold it."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """Which jobs; what is left out does not matter.

    Parameters
    ----------
    ids : tuple of str
        Numbers of jobs.
    run, rule, state : str, optional
        Run, rule, and state: one of `KINDS` or a state of the server.
    """

    ids: tuple[str, ...] = ()
    run: str | None = None
    rule: str | None = None
    state: str | None = None

    @property
    def narrow(self) -> bool:
        """Whether it names jobs or a run, so that it can't mean all jobs of a user."""
        return bool(self.ids or self.run)

    def admits(self, job: BatchJob) -> bool:
        """Tell whether a job is selected."""
        state = (self.state or "").lower()
        return (
            (not self.ids or job.id in self.ids)
            and self.run in (None, job.run)
            and self.rule in (None, job.rule)
            and (not state or state == job.kind or job.state.lower().startswith(state))
        )


class JobServer(ABC):
    """Jobs of the user on a server, those of Snakemake's runs only."""

    #: Most jobs that one look shows.
    limit: int

    @abstractmethod
    def find(self, selection: Selection) -> list[BatchJob]:
        """Find jobs in one search, failures first.

        Raises
        ------
        ctabatch.errors.InputError
            Numbers that are not those of the user's jobs.
        """

    @abstractmethod
    def kill(self, jobs: Iterable[BatchJob]) -> int:
        """Kill jobs in one call; returns how many were."""

    @abstractmethod
    def fetch(self, jobs: Iterable[BatchJob], folder: Path) -> dict[str, list[Path]]:
        """Fetch output of jobs, each into a folder of its number; jobs without output: no files."""


def job_order(job: BatchJob):
    """Sort jobs by this: failures first, then by age."""
    number = int(job.id) if job.id.isdigit() else 0
    return KINDS.index(job.kind), job.run, number


def counts(jobs: Iterable[BatchJob]) -> list[dict]:
    """Count jobs by run, state and site: failures first within a run."""
    found = Counter((job.run, job.kind, job.state, job.site) for job in jobs)
    order = sorted(found, key=lambda key: (key[0], KINDS.index(key[1]), key[2:]))
    names = ("run", "kind", "state", "site")
    return [dict(zip(names, key, strict=True)) | {"jobs": found[key]} for key in order]
