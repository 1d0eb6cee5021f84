"""What DIRAC's JobAgent, JobWrapper and Watchdog do with one job on a worker node."""

import asyncio
import contextlib
import hashlib
import io
import os
import shutil
import signal
import stat
import tarfile

import httpx2
from diracx.api.jobs import download_sandbox
from diracx.client.models import SandboxInfo


class Payload:
    """One job on a worker node.

    Parameters
    ----------
    pilot : Pilot
        Who runs it.
    job : dict
        JobID, JobName, Owner.
    jdl : ClassAd
        The job description.
    site : str
        Where it runs.
    fault : dict
        The failure to inject, of `faults.Faults`.
    """

    def __init__(self, pilot, job, jdl, site, fault):
        self.pilot = pilot
        self.id = job["JobID"]
        self.owner = job["Owner"]
        self.jdl = jdl
        self.site = site
        self.fault = fault.get("fault", "")
        self.seconds = fault.get("seconds", 0)
        self.megabytes = fault.get("megabytes", 1)
        self.folder = pilot.state / "work" / f"job{self.id}"
        self.killed = False
        self.ask = pilot.ask

    async def status(self, status=None, minor=None, force=False, source="JobWrapper"):
        """Report the job's status."""
        change = {"Status": status, "MinorStatus": minor, "Source": source}
        change = {key: value for key, value in change.items() if value}
        await self.pilot.set_status(self.id, change, force=force, user="admin")

    async def run(self):
        """Run the job from its match to its end."""
        api = await self.pilot.client(self.owner)
        await self.status("Matched", "Assigned", source="Matcher")
        await self.ask(lambda: api.jobs.patch_metadata({self.id: {"Site": self.site}}))
        if self.fault == "no_run":
            await self.status("Running", "Application")
            await self.status("Completing", "Application Finished Successfully")
            return await self.status("Done", "Execution Complete")
        self.folder.mkdir(parents=True)
        if self.fault == "disk":
            await self.shell(f"mount -t tmpfs -o size={self.megabytes}m worker {self.folder}")
        try:
            await self.execute(api)
        finally:
            if self.fault == "disk":
                await self.shell(f"umount -l {self.folder}")
            shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    async def shell(command):
        """Run a command of the pilot's own."""
        process = await asyncio.create_subprocess_shell(command)
        await process.wait()

    async def execute(self, api):
        """Fetch the input sandbox, run the executable, send the output sandbox."""
        await self.status("Running", "Downloading InputSandbox")
        for item in self.jdl.getListFromExpression("InputSandbox"):
            if item.startswith("SB:"):
                await self.ask(lambda item=item: download_sandbox(item, self.folder, client=api))
        if self.fault == "slow":
            await asyncio.sleep(self.seconds)
        executable = self.jdl.getAttributeString("Executable")
        if not (self.folder / executable).exists() and not shutil.which(executable):
            return await self.status("Failed", "Application not found")
        process = await self.start(executable)
        await self.status("Running", "Application")
        code = await self.watch(api, process)
        if self.fault in ("silent", "stall") and code is None:
            return
        if self.fault == "site_kill":
            return await self.status("Failed", "Job has been killed by the batch system")
        await self.send_output(api)
        if self.killed:
            await asyncio.sleep(self.pilot.options.kill_delay)
            return await self.status("Failed", "Received Kill signal", force=True)
        if code:
            return await self.status("Failed", "Application Finished With Errors")
        await self.status("Completing", "Application Finished Successfully")
        await self.status("Done", "Execution Complete")

    async def start(self, executable):
        """Start the payload with a worker node's environment, nothing of this process's own."""
        environment = {
            "PATH": f"{self.pilot.options.path}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "JOBID": str(self.id),
            "DIRACSITE": self.site,
            "DIRACX_URL": os.environ["DIRACX_URL"],
        }
        path = self.folder / executable
        if "/" not in executable and path.exists():
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
            executable = f"./{executable}"
        command = f"{executable} {self.jdl.getAttributeString('Arguments')}"
        if self.fault == "no_network":
            command = f"unshare -n {command}"
        out = self.jdl.getAttributeString("StdOutput") or "std.out"
        error = self.jdl.getAttributeString("StdError") or "std.err"
        with (self.folder / out).open("wb") as stdout, (self.folder / error).open("wb") as stderr:
            return await asyncio.create_subprocess_shell(
                command,
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    async def watch(self, api, process):
        """Send heartbeats until the payload ends; their answers carry Kill commands.

        Returns
        -------
        int or None
            Exit code; None if the pilot is to be silent from now on.
        """
        begin = asyncio.get_running_loop().time()
        try:
            while True:
                silent = self.fault in ("silent", "stall", "stall_resume")
                if silent and await self.lose_heartbeat(process):
                    return None
                if self.fault == "site_kill":
                    self.kill(process)
                if self.fault == "admin_kill" and not self.killed:
                    await self.status("Killed", "Marked for termination", source="Admin")
                try:
                    return await asyncio.wait_for(process.wait(), self.pilot.options.heartbeat)
                except TimeoutError:
                    wall = asyncio.get_running_loop().time() - begin
                    beat = {"WallClockTime": wall, "LoadAverage": 1.0}
                    commands = await self.ask(
                        lambda beat=beat: api.jobs.add_heartbeat({str(self.id): beat})
                    )
                    if any(command.command == "Kill" for command in commands):
                        self.killed = True
                        self.kill(process)
        except asyncio.CancelledError:
            self.kill(process)
            raise

    async def lose_heartbeat(self, process):
        """Play the pilot that is not heard of; true if that is for ever."""
        if self.fault in ("silent", "stall"):
            self.kill(process)
            await process.wait()
        if self.fault == "silent":
            return True
        await self.status("Stalled", "Job stalled: pilot not running", source="StalledJobAgent")
        if self.fault == "stall":
            return True
        await asyncio.sleep(self.seconds)
        self.fault = ""
        await self.status("Running", "Application")
        return False

    @staticmethod
    def kill(process):
        """Kill the payload's whole process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    async def send_output(self, api):
        """Send the output sandbox as DIRAC packs it: .tar.bz2, no empty std.err."""
        wanted = self.jdl.getListFromExpression("OutputSandbox")
        files = [
            path
            for name in wanted
            for path in sorted(self.folder.glob(name))
            if path.is_file() and (path.stat().st_size or path.name != "std.err")
        ]
        missing = [name for name in wanted if not any(self.folder.glob(name))]
        if missing:
            parameters = {"OutputSandboxMissingFiles": ", ".join(missing)}
            await self.ask(lambda: api.jobs.patch_metadata({self.id: parameters}))
        if not files:
            return
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:bz2") as archive:
            for path in files:
                archive.add(path, path.name)
        content = buffer.getvalue()
        info = SandboxInfo(
            checksum_algorithm="sha256",
            checksum=hashlib.sha256(content).hexdigest(),
            size=len(content),
            format="tar.bz2",
        )
        answer = await self.ask(lambda: api.jobs.initiate_sandbox_upload(info))
        if answer.url:
            async with httpx2.AsyncClient() as http:
                sent = await http.post(
                    answer.url, data=answer.fields, files={"file": ("file", content)}
                )
                sent.raise_for_status()
        name = f'"{answer.pfn}"'
        await self.ask(lambda: api.jobs.assign_sandbox_to_job(self.id, name))
