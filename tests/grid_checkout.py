"""A checkout whose workflow runs on a DIRAC of the test stacks, as a user's would."""

import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

from checkout import environment_of, run_command

#: Seconds; generous, as the machine may be busy.
PATIENCE = 2400


class GridCheckout:
    """A folder under version control, its environment, and Snakemake on the grid.

    Parameters
    ----------
    folder : pathlib.Path
        Of the checkout.
    variables : dict
        Connection details of the stacks.
    storage : dict
        Connection details of the storage.
    """

    def __init__(self, folder, variables, storage):
        self.folder = folder
        name = uuid.uuid4().hex[:8]
        self.prefix = f"{storage['XROOTD_STORAGE']}/{name}"
        self._stored = Path(storage["XROOTD_FOLDER"]) / name
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "DIRAC"))}
        self.environment = kept | {
            # a lake of its own: in another's the product might be there already
            **environment_of(folder),
            **variables,
        }
        subprocess.run(["git", "init", "-q", folder], check=True)
        # logins and caches do not go to the workers
        (folder / ".gitignore").write_text("/home/\n")

    def add(self):
        """Put all files under version control: those go to the workers."""
        subprocess.run(["git", "-C", self.folder, "add", "-A"], check=True)

    def call(self, *command):
        """Run a command to its end; returns its output."""
        return run_command(command, self.folder, self.environment).stdout

    def stored(self, name):
        """Return a file of the storage, seen from the server's side."""
        return self._stored / name

    def command(self, *arguments):
        """The command line of a run on the grid."""
        return [
            *(sys.executable, "-m", "snakemake", *arguments, "--executor", "dirac"),
            *("--jobs", "100", "--local-cores", "2", "--rerun-incomplete"),
            # what a job of the stack's site may have, group jobs included
            *("--max-threads", "1", "--resources", "mem_mb=4000", "--dirac-cpu-power", "1"),
            *("--default-storage-provider", "xrootd", "--default-storage-prefix", self.prefix),
            *("--storage-xrootd-max-requests-per-second", "1000", "--latency-wait", "10"),
            *("--seconds-between-status-checks", "1", "--dirac-status-interval", "1"),
        ]

    def start(self, *arguments, log="log"):
        """Start Snakemake on the grid; its output goes to a file."""
        with (self.folder / log).open("wb") as output:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments, log="log"):
        """Run Snakemake on the grid to its end; returns exit code and output."""
        process = self.start(*arguments, log=log)
        try:
            return process.wait(PATIENCE), self.log(log)
        finally:
            process.kill()

    def log(self, log="log"):
        """Return the output of a run."""
        return (self.folder / log).read_text(errors="replace")

    def wait_for(self, process, pattern, log="log"):
        """Wait until a run says something."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.log(log)):
            assert process.poll() is None, self.log(log)
            assert time.monotonic() < end, f"{pattern!r} not in:\n{self.log(log)}"
            time.sleep(0.2)
