"""Adoption: jobs of an earlier run, whose main process died, are taken over."""

from pathlib import Path

from snakemake_executor_plugin_dirac.identity import what_of
from snakemake_executor_plugin_dirac.status import DONE, FAILED, ROWS


class Adoption:
    """Knows which jobs of this workflow the server already has.

    Parameters
    ----------
    connection : Connection
        To the server.
    group : str
        DIRAC job group of the workflow.
    owner, vo : str
        Whose jobs; others of the same name are none of ours.
    folder : pathlib.Path
        Where the journal of jobs is whose success Snakemake knows.
    """

    def __init__(self, connection, group: str, owner: str, vo: str, folder: Path):
        self.connection = connection
        self.group = group
        self.journal = folder / f"{group}.done"
        self.mine = [
            {"parameter": "JobGroup", "operator": "eq", "value": group},
            {"parameter": "Owner", "operator": "eq", "value": owner},
            {"parameter": "VO", "operator": "eq", "value": vo},
        ]
        self.newest = 0
        self.known: set[int] = set()
        self._live: dict[str, list[tuple[str, int]]] = {}
        self._done: dict[str, int] = {}

    async def scan(self) -> int:
        """Look once for jobs of earlier runs; returns how many could be adopted."""
        latest = await self._search(
            ["JobID"], [], per_page=1, sort=[{"parameter": "JobID", "direction": "desc"}]
        )
        if not latest:
            return 0
        self.newest = latest[0]["JobID"]
        consumed = self._consumed()
        where = [{"parameter": "Status", "operator": "not in", "values": sorted(FAILED)}]
        page = 1
        while rows := await self._search(["JobID", "JobName", "Status"], where, page=page):
            for row in rows:
                self._note(row, consumed)
            page += 1
            if len(rows) < ROWS:
                break
        return sum(map(len, self._live.values())) + len(self._done)

    def _note(self, row, consumed) -> None:
        name, job_id = row["JobName"], row["JobID"]
        if row["Status"] not in DONE:
            self._live.setdefault(what_of(name), []).append((name, job_id))
        elif job_id not in consumed:
            self._done[name] = max(job_id, self._done.get(name, 0))

    async def _search(self, columns, where, per_page=ROWS, page=1, **more):
        return await self.connection.call(
            "look for jobs of an earlier run",
            lambda api: api.jobs.search(
                parameters=columns, search=self.mine + where, per_page=per_page, page=page, **more
            ),
        )

    def live(self, name: str) -> int | None:
        """Return a job of that name that waits or runs; it is taken, the next call has another."""
        jobs = self._live.get(what_of(name), [])
        for entry in jobs:
            if entry[0] == name:
                jobs.remove(entry)
                return entry[1]
        return None

    def done(self, name: str) -> int | None:
        """Return a job of that name that succeeded without Snakemake knowing."""
        return self._done.pop(name, None)

    def rivals(self, name: str) -> list[int]:
        """Return jobs still under way on the same outputs; they must be stopped."""
        return [job_id for _, job_id in self._live.pop(what_of(name), [])]

    async def find(self, names) -> dict[str, list[int]]:
        """Look for jobs that a submission made whose answer was lost."""
        where = [
            {"parameter": "JobName", "operator": "in", "values": list(names)},
            {"parameter": "JobID", "operator": "gt", "value": self.newest},
        ]
        found: dict[str, list[int]] = {}
        for row in await self._search(["JobID", "JobName"], where):
            if row["JobID"] not in self.known:
                found.setdefault(row["JobName"], []).append(row["JobID"])
        return found

    def _consumed(self) -> set[int]:
        if not self.journal.exists():
            return set()
        return {int(line) for line in self.journal.read_text().splitlines() if line.isdigit()}

    def consumed(self, job_ids) -> None:
        """Note jobs whose success was reported: they are never adopted again."""
        self.journal.parent.mkdir(parents=True, exist_ok=True)
        with self.journal.open("a") as file:
            file.write("".join(f"{job_id}\n" for job_id in job_ids))
