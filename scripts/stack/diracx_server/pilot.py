"""Stand-in for DIRAC's optimisers, Matcher, pilots and JobAgent, over the DiracX REST API.

Sites with slots and limits come from ``sites.json`` of the state folder, failures to inject from
``faults.json`` (see `faults.py`); both are read again when they change. Behaviour follows what was
measured on DIRAC 9.1: an unknown site fails the job ("Cache misses"), resources that no site has
leave it Waiting for ever, Completing comes before Done, a killed job becomes Failed later.

The one thing without a REST route is a job's JDL: it is read from JobDB, where DIRAC's Matcher
gets it too.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import sqlite3
import sys
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import httpx2
from azure.core.exceptions import AzureError
from DIRACCommon.Core.Utilities.ClassAd.ClassAdLight import ClassAd
from diracx.client.aio import AsyncDiracClient
from diracx.core.preferences import DiracxPreferences
from faults import Faults
from payload import Payload

BATCH = 500


def say(*words):
    """Write a line of the pilot's log."""
    print(datetime.now(UTC).isoformat(timespec="milliseconds"), *words, flush=True)


async def patiently(function, tries=300):
    """Call the server until it answers: a pilot outlives a server that is away.

    It outlives one that refuses its login for a while, too, as tests let it do.
    """
    for _ in range(tries):
        try:
            return await function()
        except (AzureError, httpx2.HTTPError, RuntimeError) as error:
            status = getattr(error, "status_code", None) or 0
            if 400 <= status < 500 and status != 401:
                raise
            await asyncio.sleep(1)
    return await function()


class Pilot:
    """The pilots of all sites.

    Parameters
    ----------
    options : argparse.Namespace
        The command line.
    """

    #: How payloads call the server.
    ask = staticmethod(patiently)

    def __init__(self, options):
        self.options = options
        self.state = options.state
        self.faults = Faults(self.state / "faults.json")
        self.jdls: dict[int, ClassAd] = {}
        self.running: dict[int, tuple[asyncio.Task, str, int]] = {}
        self.clients: dict[str, AsyncDiracClient] = {}

    async def client(self, user: str) -> AsyncDiracClient:
        """Return a client with the login of a job's owner, as DIRAC's JobAgent has."""
        if user not in self.clients:
            preferences = DiracxPreferences(
                url=os.environ["DIRACX_URL"],
                credentials_path=self.state / f"credentials/pilot-{user}.json",
            )
            client = AsyncDiracClient(diracx_preferences=preferences)
            self.clients[user] = await client.__aenter__()
        return self.clients[user]

    async def set_status(self, job_id: int, *changes: dict, force: bool = False, user="admin"):
        """Send status changes of one job, in their order, in one call."""
        await self.set_statuses([job_id], *changes, force=force, user=user)

    async def set_statuses(self, job_ids, *changes: dict, force: bool = False, user="admin"):
        """Send the same status changes of many jobs."""
        api = await self.client(user)
        now = datetime.now(UTC)
        updates = {
            (now + timedelta(milliseconds=i)).isoformat(): {"Source": "JobWrapper", **change}
            for i, change in enumerate(changes)
        }
        body = {str(i): updates for i in job_ids}
        await patiently(lambda: api.jobs.set_job_statuses(body, force=force))

    def read_jdls(self, job_ids) -> None:
        """Fetch the JDLs of jobs that are not known yet."""
        unknown = [i for i in job_ids if i not in self.jdls]
        with sqlite3.connect(f"file:{self.state}/jobdb.db?mode=ro", uri=True, timeout=30) as db:
            for start in range(0, len(unknown), BATCH):
                some = unknown[start : start + BATCH]
                marks = ",".join("?" * len(some))
                query = f"SELECT JobID, JDL FROM JobJDLs WHERE JobID IN ({marks})"
                for job_id, jdl in db.execute(query, some):
                    text = jdl
                    if not jdl.startswith("["):
                        text = zlib.decompress(base64.b64decode(jdl)).decode()
                    self.jdls[job_id] = ClassAd(text)

    async def optimise(self, jobs, sites) -> None:
        """Do what JobPath, JobSanity, InputData and JobScheduling do."""
        good = []
        for job in jobs:
            wanted = self.jdls[job["JobID"]].getListFromExpression("Site")
            unknown = [s for s in wanted if s not in sites and s != "ANY"]
            if unknown and len(unknown) == len(wanted):
                await self.set_status(
                    job["JobID"],
                    {"Status": "Checking", "MinorStatus": "JobScheduling"},
                    {"Status": "Failed", "MinorStatus": f"Cache misses: {unknown}"},
                )
            elif not self.faults.holds(job):
                good.append(job["JobID"])
        for start in range(0, len(good), BATCH):
            await self.set_statuses(
                good[start : start + BATCH],
                {"Status": "Checking", "MinorStatus": "JobSanity", "Source": "JobSanity"},
                {"Status": "Waiting", "MinorStatus": "Pilot Agent Submission"},
            )

    def site_for(self, job, sites) -> str | None:
        """Return a site that can take a job now, as the Matcher would."""
        jdl = self.jdls[job["JobID"]]
        wanted = [s for s in jdl.getListFromExpression("Site") if s != "ANY"]
        banned = jdl.getListFromExpression("BannedSites")
        processors = jdl.getAttributeInt("NumberOfProcessors") or 1
        memory = jdl.getAttributeInt("MinRAM") or 0
        cpu_time = jdl.getAttributeInt("CPUTime") or 0
        tags = set(jdl.getListFromExpression("Tags"))
        for name, site in sites.items():
            used = sum(n for _, where, n in self.running.values() if where == name)
            if (
                (not wanted or name in wanted)
                and name not in banned
                and not site.get("banned")
                and used + 1 <= site["slots"]
                and processors <= site["processors"]
                and memory <= site["memory"]
                and cpu_time <= site["cpu_time"]
                and tags <= set(site["tags"])
            ):
                return name
        return None

    async def match(self, jobs, sites) -> None:
        """Give waiting jobs to sites with free slots."""
        free = sum(site["slots"] for site in sites.values()) - len(self.running)
        for job in jobs:
            if free <= 0:
                return
            job_id = job["JobID"]
            if job_id in self.running or not (site := self.site_for(job, sites)):
                continue
            free -= 1
            payload = Payload(self, job, self.jdls[job_id], site, self.faults.of(job))
            self.running[job_id] = (asyncio.create_task(payload.run()), site, 1)

    async def finish_at_once(self, jobs) -> None:
        """Let jobs be done without running anything: for measuring the client alone.

        They don't pass through the states between, whose records would be most of what is measured.
        """
        ids = [job["JobID"] for job in jobs]
        for start in range(0, len(ids), BATCH):
            done = {"Status": "Done", "MinorStatus": "Execution Complete"}
            await self.set_statuses(ids[start : start + BATCH], done, force=True)

    async def cycle(self) -> None:
        """Look for work once."""
        api = await self.client("admin")
        jobs = await api.jobs.search(
            parameters=["JobID", "Status", "JobName", "Owner"],
            search=[
                {"parameter": "Status", "operator": "in", "values": ["Received", "Waiting"]},
            ],
            sort=[{"parameter": "JobID", "direction": "asc"}],
            per_page=10000,
        )
        if self.options.instant:
            return await self.finish_at_once(jobs)
        sites = json.loads((self.state / "sites.json").read_text())
        self.read_jdls(job["JobID"] for job in jobs)
        await self.optimise([job for job in jobs if job["Status"] == "Received"], sites)
        await self.match([job for job in jobs if job["Status"] == "Waiting"], sites)

    def reap(self) -> None:
        """Forget payloads that ended; say what went wrong with the pilot itself."""
        for job_id, (task, _, _) in list(self.running.items()):
            if task.done():
                if not task.cancelled() and task.exception():
                    say("job", job_id, "pilot error", repr(task.exception()))
                del self.running[job_id]
                self.jdls.pop(job_id, None)

    async def main(self) -> None:
        """Work until told to stop."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        while not stop.is_set():
            try:
                await self.cycle()
            except Exception as error:  # the server may be down for a while: a pilot goes on
                say("cycle failed:", repr(error))
                self.clients.clear()
            self.reap()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.options.poll)
        for task, _, _ in self.running.values():
            task.cancel()
        await asyncio.gather(*(t for t, _, _ in self.running.values()), return_exceptions=True)


def parse(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, required=True, help="state folder of the stack")
    parser.add_argument("--poll", type=float, default=0.3, help="seconds between looks for work")
    parser.add_argument("--heartbeat", type=float, default=0.5, help="seconds between heartbeats")
    parser.add_argument(
        "--kill-delay", type=float, default=1, help="seconds from Killed to Failed (DIRAC: 12)"
    )
    parser.add_argument("--path", default="", help="put before PATH of the payloads")
    parser.add_argument("--instant", action="store_true", help="jobs are done without running")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(Pilot(parse()).main())
