"""Campaigns whose jobs run on a batch system of the test stack, which dies, too."""

import contextlib
import subprocess
from pathlib import Path

import psutil
from stack_world import StackWorld, wait_for_none

from ctabatch.running import orphans


class BatchWorld(StackWorld):
    """Embedded data lake; ``name`` is that of the back end on which the jobs of the rounds run."""

    def leftovers(self):
        """Also jobs that nobody waits for."""
        yield from super().leftovers()
        for job in wait_for_none(self._jobs):
            yield f"job left on {self.name}: {job['id']} ({job['rule']}), {job['state']}"

    def _jobs(self):
        found = self.ask_plainly("jobs", "list", "--backend", self.name, "--json")
        return [job for job in found if job["kind"] not in ("done", "failed")]


class SlurmWorld(BatchWorld):
    """Jobs on a Slurm of one node."""

    name = "slurm"
    parts = ("slurm",)
    servers = (
        ("slurm", "slurmctld", "slurmctld"),
        ("slurm", "slurmd", "slurmd"),
        ("slurm", "slurmdbd", "slurmdbd"),
    )
    # killed, it forgets what it accepted in the last second, and the executor plug-in (2.8) waits
    # for ever for a job that Slurm does not know
    stopped = ("slurmctld",)

    def variables(self):
        """Environment variables by which commands find Slurm."""
        env = self.states["slurm"].env()
        return env | {
            "CTABATCH_SLURM_ACCOUNT": env["SLURM_STACK_ACCOUNT"],
            "CTABATCH_SLURM_PARTITION": "long",
            "CTABATCH_MAX_THREADS": "1",
        }

    def profile(self):
        """Options of Snakemake that say where the jobs of the rounds run."""
        return [
            *("--workflow-profile", "profiles/slurm", "--latency-wait", "10"),
            *("--slurm-init-seconds-before-status-checks", "1"),
            *("--seconds-between-status-checks", "2"),
        ]

    def processes(self, main):
        """Processes of the jobs, which are no children of the main process."""
        return [*super().processes(main), *map(psutil.Process, orphans(str(self.folder.resolve())))]


class DiracWorld(BatchWorld):
    """Jobs on a DIRAC 9; what they hand on lies on an XRootD server."""

    name = "dirac"
    parts = ("dirac9", "xrootd")
    servers = (
        ("dirac9", "diracx", "DiracX"),
        ("dirac9", "services", "DIRAC's services"),
        ("dirac9", "executors", "DIRAC's executors"),
        ("dirac9", "jobagent0", "a pilot"),
        ("xrootd", "storage", "XRootD"),
    )

    def variables(self):
        """Environment variables by which commands find DIRAC and the storage."""
        return {
            **self.states["dirac9"].env(),
            "CTABATCH_STORAGE": f"{self.states['xrootd'].env()['XROOTD_STORAGE']}/{self.instance}",
            "CTABATCH_MAX_THREADS": "1",
        }

    def profile(self):
        """Options of Snakemake that say where the jobs of the rounds run."""
        return [
            *("--workflow-profile", "profiles/dirac", "--latency-wait", "10"),
            *("--local-cores", "2", "--resources", "mem_mb=4000", "--dirac-cpu-power", "1"),
            *("--storage-xrootd-max-requests-per-second", "1000"),
            # minutes: pilots that are killed say nothing more
            *("--dirac-status-interval", "1", "--dirac-quiet-limit", "2"),
        ]

    def processes(self, main):
        """Processes of the jobs, below the pilots."""
        found = [*psutil.Process(main).children(recursive=True)]
        for name in ("jobagent0", "jobagent1"):
            if number := self.states["dirac9"].pid(name):
                with contextlib.suppress(psutil.Error):
                    found += psutil.Process(number).children(recursive=True)
        return found

    def result_folders(self):
        """Also that on the storage, which holds what jobs hand on."""
        storage = Path(self.states["xrootd"].env()["XROOTD_FOLDER"])
        return [*super().result_folders(), storage / self.instance / "results"]

    def _write_requests(self):
        super()._write_requests()
        # what is under version control goes to the workers
        (self.folder / ".gitignore").write_text("/home/\n/results/\n/lake/\n/dl0/\n/chaos.log\n")
        for words in (("init", "-q"), ("add", "-A")):
            subprocess.run(["git", "-C", self.folder, *words], check=True)
