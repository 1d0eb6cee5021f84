"""The executor: what Snakemake calls, put together from the parts."""

import asyncio
import concurrent.futures
import contextlib
import os
import shlex
import signal
import threading
import time
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.utils import encode_target_jobs_cli_args

from snakemake_executor_plugin_dirac import sources
from snakemake_executor_plugin_dirac.adoption import Adoption
from snakemake_executor_plugin_dirac.cancellation import kill
from snakemake_executor_plugin_dirac.checks import Limits, check_login, needs_of
from snakemake_executor_plugin_dirac.client import Connection
from snakemake_executor_plugin_dirac.errors import ServerRefusedError
from snakemake_executor_plugin_dirac.identity import (
    Identity,
    file_name,
    group_name,
    singles_of,
)
from snakemake_executor_plugin_dirac.logs import Logs
from snakemake_executor_plugin_dirac.settings import words
from snakemake_executor_plugin_dirac.status import Monitor, Tracked, Verdict
from snakemake_executor_plugin_dirac.submission import Ready, Submitter

#: Output sandboxes that are fetched at once.
FETCHES_AT_ONCE = 8
#: Seconds for the end of a submission at a stop, and for the end of polling.
STOP_PATIENCE, SHUTDOWN_PATIENCE = 90, 30


class Executor(RemoteExecutor):
    """Runs the jobs of a workflow through DIRAC."""

    # Polling starts in a thread of its own before `__post_init__` is done.
    stopping = False
    monitor = submitter = _poll = _sources = None

    def __post_init__(self):
        """Connect, and check login, sites and limits, before anything is submitted."""
        settings = self.workflow.executor_settings
        self.settings = settings
        self._condemned: set[int] = set()
        self.connection = Connection(settings, self.logger)
        patience = settings.start_patience * 60
        try:
            user = self.connection.run(
                self.connection.call(
                    "reach the server", lambda api: api.auth.userinfo(), patience=patience
                )
            )
            check_login(settings, user)
            self.limits = Limits(settings)
            self.connection.run(self.limits.load(self.connection, user, self.logger))
        except WorkflowError as error:
            # The thread that polls would end with a message of its own.
            self.wait = False
            self.wait_thread.join(SHUTDOWN_PATIENCE)
            self.connection.close()
            raise WorkflowError(f"{self.connection.preferences.url}: {error}") from None
        self.group = group_name(settings.job_group, self.workflow, settings.run_name)
        folder = Path(".snakemake/dirac").absolute()
        self.logs = Logs(self.connection, folder / self.group)
        self.logs.clean(settings.sandbox_retention)
        self.adoption = Adoption(
            self.connection, self.group, user.preferred_username, user.vo, folder
        )
        self.identity = Identity(self.dag, self.group)
        self.monitor = Monitor(self.connection, settings, self.logger)
        self.logger.info(
            f"DIRAC: {user.preferred_username} ({user.vo}, {user.dirac_group}) at "
            f"{self.connection.preferences.url}, job group {self.group}"
        )

    # --- submission

    def run_jobs(self, jobs):
        """Prepare all ready jobs, adopt those the server has, queue the others as one batch."""
        if self.submitter is None:
            self._start()
        self.workflow.async_run(self.identity.prepare(jobs))
        batch, adopted = [], []
        for job in jobs:
            self.run_job_pre(job)
            try:
                ready = self._ready(job)
            except WorkflowError as error:
                self.report_job_error(SubmittedJobInfo(job), msg=f"DIRAC: {error}. ")
                continue
            (adopted if self._adopt(ready) else batch).append(ready)
        if adopted:
            self.logger.info(f"DIRAC: adopted {len(adopted)} jobs of an earlier run.")
        rivals = [number for ready in batch for number in self.adoption.rivals(ready.name)]
        if rivals:
            self.logger.info(f"DIRAC: stopping {len(rivals)} outdated jobs on the same files.")
            self.connection.run(kill(self.connection, rivals))
        if batch:
            self.submitter.put(batch)

    def run_job(self, job):
        """Submit a single job."""
        self.run_jobs([job])

    def _start(self):
        """Do what the first jobs need: sources, shared arguments, look at the server's jobs."""
        if threading.current_thread() is threading.main_thread():
            # Snakemake would wait for the jobs at SIGTERM; a batch system or a logout means "stop".
            signal.signal(signal.SIGTERM, self._terminated)
        self._sources = sources.archive_sources(self.dag, self.settings.exclude, self.logger)
        self._common = self._common_arguments()
        self._variables = self._forwarded()
        found = self.connection.run(self.adoption.scan())
        if found:
            self.logger.info(f"DIRAC: {found} jobs of an earlier run of this workflow are there.")
        self.submitter = Submitter(
            self.connection,
            self.group,
            pack=self._pack,
            find=self.adoption.find,
            kill=lambda numbers: kill(self.connection, numbers),
            submitted=self._submitted,
            failed=self._refused,
            broken=self.workflow.scheduler.executor_error_callback,
        )

    def _terminated(self, number, frame):
        if not self.stopping:
            raise SystemExit(128 + number)

    def _common_arguments(self) -> str:
        general = self.workflow.spawned_job_args_factory.general_args(
            executor_common_settings=self.common_settings
        )
        snakefile = shlex.quote(str(self.get_snakefile()))
        return f"--snakefile {snakefile} {general} --mode {self.get_exec_mode().item_to_choice()}"

    def _forwarded(self) -> dict[str, str]:
        names = words(self.settings.forward)
        if missing := [name for name in names if name not in os.environ]:
            raise WorkflowError(f"--dirac-forward: {', '.join(missing)} not set here")
        return {name: os.environ[name] for name in names}

    def _pack(self, batch) -> bytes:
        made = int(self.connection.server_time() // 600 * 600)
        return sources.build_sandbox(
            self._sources,
            sources.job_table((ready.needs.disk, ready.arguments) for ready in batch),
            sources.run_settings(
                self.settings,
                self._common,
                self._variables,
                str(self.connection.preferences.url),
                made,
            ),
        )

    def _ready(self, job) -> Ready:
        for single in singles_of(job):
            for file in single.output:
                if not file.is_storage:
                    raise WorkflowError(
                        f"output {file} of rule {single.rule.name} is a local file, it would be "
                        "lost on the worker: set --default-storage-provider and "
                        "--default-storage-prefix, or wrap it in storage()"
                    )
        needs = needs_of(job, self.settings)
        self.limits.check_sites(needs.sites, "dirac_sites")
        self.limits.check_sites(needs.banned_sites, "dirac_banned_sites")
        self.limits.check(needs)
        return Ready(job, self.identity.name(job), needs, self._arguments(job, needs))

    def _arguments(self, job, needs) -> list[str]:
        """Arguments for Snakemake on the worker, plain text: quoting happens in one place later."""
        arguments = ["--target-jobs", *encode_target_jobs_cli_args(job.get_target_spec())]
        arguments += ["--allowed-rules", *map(str, job.rules)]
        arguments += ["--cores", str(needs.processors), "--attempt", str(job.attempt)]
        if job.is_group():
            arguments += ["--local-groupid", str(job.jobid)]
        else:
            arguments.append("--force-use-threads")
        unneeded = [str(file) for file in self.workflow.dag.get_unneeded_temp_files(job)]
        return arguments + (["--unneeded-temp-files", *unneeded] if unneeded else [])

    def _adopt(self, ready) -> bool:
        """Take over a job of an earlier run, if the server has one of that name."""
        if number := self.adoption.live(ready.name):
            self.connection.loop.call_soon_threadsafe(self._submitted, ready, number)
            return True
        number = self.adoption.done(ready.name)
        if number and self.workflow.async_run(_all_exist(ready.job)):
            self.report_job_success(SubmittedJobInfo(ready.job, external_jobid=str(number)))
            self.adoption.consumed([number])
            return True
        return False

    def _submitted(self, ready, number):
        """Take note of a job that the server has; on the client's thread, as polls are."""
        info = SubmittedJobInfo(ready.job, external_jobid=str(number))
        self.adoption.known.add(number)
        self.report_job_submission(info)
        self.monitor.add(number, Tracked(info, ready.name, ready.needs))

    def _refused(self, ready, error):
        self.report_job_error(SubmittedJobInfo(ready.job), msg=f"{error}. ")

    # --- monitoring

    async def check_active_jobs(self, active_jobs):
        """Look at all jobs in one search; report those that ended."""
        if self.monitor is None or not self.monitor.jobs or self.stopping:
            return
        self._poll = self.connection.submit(self.monitor.poll())
        try:
            ended = await asyncio.wrap_future(self._poll)
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            ended = []  # at the end of the run only: `shutdown` does it
        except ServerRefusedError as error:
            self.logger.warning(f"{error}; asking again later.")
            ended = []
        if ended:
            self._condemned |= {number for number, _, verdict in ended if verdict.kill}
            begin = time.monotonic()
            await self._bounded(self._report(*item, begin) for item in ended)
            self.adoption.consumed(number for number, _, verdict in ended if verdict.done)
        for info in active_jobs:
            if int(info.external_jobid) in self.monitor.jobs:
                yield info

    async def _bounded(self, coroutines):
        slots = asyncio.Semaphore(FETCHES_AT_ONCE)

        async def one(coroutine):
            async with slots:
                await coroutine

        await asyncio.gather(*map(one, coroutines))

    async def _report(self, number, tracked, verdict, begin):
        """Tell Snakemake that a job ended; all that ended together wait from `begin` on."""
        if verdict.done:
            missing = await self._missing_outputs(tracked.info.job, begin)
            if not missing:
                self.report_job_success(tracked.info)
                if self.settings.logs == "all":
                    await self.connection.wait(self.logs.fetch(number))
                return
            reason = f"{tracked.describe()}, but the storage lacks {', '.join(missing)}"
            verdict = Verdict(False, reason)
        await self._report_failure(number, tracked, verdict, begin)

    async def _missing_outputs(self, job, begin) -> list[str]:
        """Return outputs that are not in the storage: Snakemake itself would end the whole run."""
        unneeded = set(self.dag.get_unneeded_temp_files(job))
        files = [file for single in singles_of(job) for file in single.output]
        files = [file for file in files if file not in unneeded]
        end = begin + self.workflow.execution_settings.latency_wait
        while True:
            found = await asyncio.gather(*(file.exists() for file in files))
            files = [file for file, there in zip(files, found, strict=True) if not there]
            if not files or time.monotonic() > end:
                return [file_name(file) for file in files]
            await asyncio.sleep(0.5)

    async def _report_failure(self, number, tracked, verdict, begin):
        """Stop what must not go on, fetch the log, tell Snakemake."""
        if verdict.kill:
            try:
                await self.connection.wait(kill(self.connection, [number]))
            except ServerRefusedError as error:
                self.logger.warning(str(error))
            self._condemned.discard(number)
        files, tail = [], ""
        if self.settings.logs != "none":
            grace = max(0, begin + verdict.grace - time.monotonic())
            files, tail = await self.connection.wait(self.logs.fetch(number, grace))
        reason = f"DIRAC job {number}: {verdict.reason}"
        if problem := self.logs.problem(tail):
            reason += f": {problem}"
        message = f"{reason}\nEnd of its log:\n{tail}\n" if tail else f"{reason}\n"
        self.report_job_error(tracked.info, msg=message, aux_logs=[str(path) for path in files])

    def print_job_error(self, job_info, msg=None, **kwargs):
        """Report a failed job; of a group job, Snakemake itself would drop the message."""
        if msg and job_info.job.is_group():
            self.logger.error(msg.rstrip(". "))
        super().print_job_error(job_info, msg=msg, **kwargs)

    async def sleep(self):
        """Wait until the next look at the jobs, shorter while something changes."""
        interval = self.monitor.interval if self.monitor else 0.1
        end = time.monotonic() + interval
        while self.wait and not self.stopping and time.monotonic() < end:
            await asyncio.sleep(min(0.1, interval))
            if self.monitor and self.monitor.interval < interval:
                interval = self.monitor.interval
                end = min(end, time.monotonic() + interval)

    # --- the end

    def cancel_jobs(self, active_jobs):
        """Stop submitting and kill all jobs in one call."""
        self.stopping = True
        if self.monitor is None:
            return
        begin = time.monotonic()
        try:
            number = self.connection.run(self._kill_all())
        except WorkflowError as error:
            self.logger.error(
                f"DIRAC: {len(self.monitor.jobs)} jobs could not be killed: {error}. They go on; "
                "the same command started again adopts them."
            )
        else:
            self.logger.info(f"DIRAC: killed {number} jobs in {time.monotonic() - begin:.2f} s.")

    async def _kill_all(self):
        if self.submitter is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.submitter.stop(), STOP_PATIENCE)
        numbers = [*self.monitor.jobs, *self._condemned]
        return await kill(self.connection, numbers, patience=STOP_PATIENCE)

    def shutdown(self):
        """End polling and the connection; jobs that run go on."""
        self.stopping = True
        with self.lock:
            self.wait = False
        end = time.monotonic() + SHUTDOWN_PATIENCE
        while self.wait_thread.is_alive() and time.monotonic() < end:
            if self._poll is not None:
                self._poll.cancel()
            self.wait_thread.join(0.2)
        if self.wait_thread.is_alive():  # it waits for a log or a kill: end that
            self.connection.close()
        super().shutdown()
        if self.submitter is not None and not self.connection.closed:
            with contextlib.suppress(TimeoutError):
                self.connection.run(asyncio.wait_for(self.submitter.stop(), STOP_PATIENCE))
        self.connection.close()


async def _all_exist(job) -> bool:
    files = [file for single in singles_of(job) for file in single.output]
    return all(await asyncio.gather(*(file.exists() for file in files)))
