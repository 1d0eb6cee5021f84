"""Output sandboxes of jobs, kept below ``.snakemake/dirac``, and their tails for error messages."""

import shutil
import time
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_dirac import sandbox
from snakemake_executor_plugin_dirac.jdl import STDERR, STDOUT

#: Lines of a job's log that an error message shows.
TAIL_LINES = 25
PROBLEM = "dirac-job: PROBLEM: "


class Logs:
    """Fetches logs.

    Parameters
    ----------
    connection : Connection
        To the server.
    folder : pathlib.Path
        Where sandboxes go, each in a folder named by the job's number.
    """

    def __init__(self, connection, folder: Path):
        self.connection = connection
        self.folder = folder

    async def fetch(self, job_id: int, grace: float = 0) -> tuple[list[Path], str]:
        """Fetch the output sandbox of a job.

        Parameters
        ----------
        job_id : int
            DIRAC's number.
        grace : float
            Seconds to wait for it.

        Returns
        -------
        files : list of pathlib.Path
            What it held.
        tail : str
            The end of the log, or why there is none.
        """
        folder = self.folder / str(job_id)
        try:
            there = await sandbox.fetch_output(self.connection, job_id, folder, grace)
        except (WorkflowError, OSError, ValueError) as error:
            return [], f"(its log could not be fetched: {error})"
        if not there:
            return [], "(the site sent no output sandbox: there is no log)"
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return files, self._tail(folder)

    @staticmethod
    def _tail(folder: Path) -> str:
        lines = []
        for name in (STDOUT, STDERR):
            path = folder / name
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(lines) or "(its log is empty)"

    @staticmethod
    def problem(tail: str) -> str | None:
        """Return what the bootstrap script found missing on the worker, if it did."""
        for line in tail.splitlines():
            if line.startswith(PROBLEM):
                return line.removeprefix(PROBLEM)
        return None

    def clean(self, days: int) -> None:
        """Delete sandboxes that were fetched more than `days` ago."""
        oldest = time.time() - days * 86400
        for path in self.folder.glob("[0-9]*"):
            if path.is_dir() and path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)
