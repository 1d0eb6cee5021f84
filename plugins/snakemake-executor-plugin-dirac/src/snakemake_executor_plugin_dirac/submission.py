"""Submission: batches of ready jobs, one sandbox each, calls of 20 at once, never twice.

Jobs are put into a queue; while one batch is on its way the next gathers. So a wide front of the
DAG goes out in one batch, and a trickle of jobs does not wait for full calls.
"""

import asyncio
import time
from dataclasses import dataclass

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_dirac import jdl, sandbox
from snakemake_executor_plugin_dirac.errors import LoginLostError, PassingError, ServerRefusedError

#: DIRAC's limit of jobs in a call, and calls under way at once.
CALL_SIZE, CALLS_AT_ONCE = 20, 4
#: Seconds after a lost answer at which late twins of its jobs are looked for.
TWIN_CHECKS = (20, 90)


@dataclass(slots=True)
class Ready:
    """A job that is ready to be submitted.

    Parameters
    ----------
    job : snakemake.jobs.AbstractJob
        The job or group job.
    name : str
        Its DIRAC name.
    needs : jdl.Needs
        Its resources.
    arguments : list of str
        For Snakemake on the worker.
    """

    job: object
    name: str
    needs: jdl.Needs
    arguments: list


class Submitter:
    """Sends jobs to the server, from a queue.

    Parameters
    ----------
    connection : Connection
        To the server.
    group : str
        DIRAC job group.
    pack : callable
        Takes a list of `Ready` and returns the bytes of their sandbox.
    find : callable
        Coroutine function: names of jobs to a dict of name to DIRAC numbers not known before.
    kill : callable
        Coroutine function: stops jobs by number.
    submitted, failed, broken : callable
        Told (ready, number), (ready, error), (error).
    """

    def __init__(self, connection, group, pack, find, kill, submitted, failed, broken):
        self.connection = connection
        self.group = group
        self.pack = pack
        self.find = find
        self.kill = kill
        self.submitted = submitted
        self.failed = failed
        self.broken = broken
        self.stopped = False
        self._queue: list[Ready] = []
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._twin_checks: set[asyncio.Task] = set()
        self._task = connection.submit(self._work())

    def put(self, jobs) -> None:
        """Queue jobs, from any thread."""

        def add():
            self._queue.extend(jobs)
            self._wake.set()

        self.connection.loop.call_soon_threadsafe(add)

    async def stop(self) -> None:
        """Submit nothing more; wait until what is on its way has arrived or failed."""
        self.stopped = True
        self._queue.clear()
        self._wake.set()
        await asyncio.wrap_future(self._task)
        for check in self._twin_checks:
            check.cancel()

    async def _work(self):
        while not self.stopped:
            await self._wake.wait()
            self._wake.clear()
            batch, self._queue = self._queue, []
            if batch and not self.stopped:
                try:
                    await self._send(batch)
                except Exception as error:
                    self.broken(error)
                    return

    async def _send(self, batch):
        begin = time.monotonic()
        content = await asyncio.to_thread(self.pack, batch)
        pfn = await sandbox.upload(self.connection, content)
        calls = [
            list(enumerate(batch))[start : start + CALL_SIZE]
            for start in range(0, len(batch), CALL_SIZE)
        ]
        results = await asyncio.gather(
            *(self._call(pfn, call) for call in calls), return_exceptions=True
        )
        # The errors that end the run say more than those that follow from them.
        errors = [error for error in results if isinstance(error, BaseException)]
        for error in sorted(errors, key=lambda e: not isinstance(e, LoginLostError | PassingError)):
            raise error
        self.connection.logger.info(
            f"DIRAC: submitted {len(batch)} jobs in {time.monotonic() - begin:.2f} s, "
            f"sandbox {len(content) / 1024:.0f} kB."
        )

    async def _call(self, pfn, numbered):
        """Submit up to 20 jobs; after a lost answer look first which of them exist."""
        async with self._slots:
            lost = False
            while numbered and not self.stopped:
                if lost:
                    numbered = await self._without_found(numbered)
                    if not numbered:
                        return
                texts = [
                    jdl.description(ready.name, self.group, ready.needs, pfn, [number])
                    for number, ready in numbered
                ]
                try:
                    inserted = await self.connection.call(
                        "submit jobs",
                        lambda api, texts=texts: api.jobs.submit_jdl_jobs(texts),
                        retry_sent=False,
                    )
                except PassingError as error:
                    if not error.sent:
                        raise
                    self.connection.logger.warning(
                        f"DIRAC: the answer to a submission was lost ({error}); looking whether "
                        "the jobs exist."
                    )
                    lost = True
                    self._check_later([ready.name for _, ready in numbered])
                    await asyncio.sleep(1)
                    continue
                except ServerRefusedError as error:
                    if len(numbered) > 1 and error.status == 400:
                        await self._one_by_one(pfn, numbered)
                    else:
                        for _, ready in numbered:
                            self.failed(ready, error)
                    return
                for (_, ready), job in zip(numbered, inserted, strict=True):
                    self.submitted(ready, job.job_id)
                return

    async def _one_by_one(self, pfn, numbered):
        """Find out which job of a refused call the server does not like."""
        for number, ready in numbered:
            text = jdl.description(ready.name, self.group, ready.needs, pfn, [number])
            try:
                inserted = await self.connection.call(
                    "submit a job", lambda api, text=text: api.jobs.submit_jdl_jobs([text])
                )
            except WorkflowError as error:
                if isinstance(error, LoginLostError | PassingError):
                    raise
                self.failed(ready, error)
            else:
                self.submitted(ready, inserted[0].job_id)

    async def _without_found(self, numbered):
        """Take over jobs that a lost call made; return those that it did not make."""
        found = await self.find([ready.name for _, ready in numbered])
        missing = []
        for number, ready in numbered:
            numbers = found.get(ready.name)
            if numbers:
                self.submitted(ready, numbers[0])
            else:
                missing.append((number, ready))
        return missing

    def _check_later(self, names):
        task = asyncio.ensure_future(self._kill_twins(names))
        self._twin_checks.add(task)
        task.add_done_callback(self._twin_checks.discard)

    async def _kill_twins(self, names):
        """Stop jobs that a lost call made after all, later than they were looked for."""
        for delay in TWIN_CHECKS:
            await asyncio.sleep(delay)
            found = await self.find(names)
            twins = [number for numbers in found.values() for number in numbers]
            if twins:
                self.connection.logger.warning(f"DIRAC: stopping jobs made twice: {twins}")
                await self.kill(twins)
