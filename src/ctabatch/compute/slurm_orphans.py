"""Jobs on a Slurm cluster whose main process was killed: nobody waits for them, yet they write."""

import getpass
import logging
import os
import time
from pathlib import Path

from ctabatch.compute.jobs.slurm import PREFIX
from ctabatch.compute.slurm import SlurmError, run_slurm

logger = logging.getLogger(__name__)

#: Seconds for which Slurm is asked, and for which cancelled jobs are waited for.
PATIENCE, ENDING = 10.0, 40.0


def end_cluster_jobs(here: str) -> int:
    """Cancel the jobs of the Slurm executor that belong to a folder, and wait until they are gone.

    Parameters
    ----------
    here : str
        Working directory of the main process that was killed.

    Returns
    -------
    int
        How many there were. A Slurm that does not answer is warned about: its jobs may go on.
    """
    try:
        numbers = _numbers(here)
        if numbers:
            run_slurm("scancel", *numbers, patience=PATIENCE)
        end = time.monotonic() + ENDING
        while numbers and _numbers(here) and time.monotonic() < end:
            time.sleep(0.5)
    except SlurmError as error:
        logger.warning("jobs that a killed run may have left on Slurm go on: %s", error)
        return 0
    return len(numbers)


def _numbers(here: str) -> list[str]:
    rows = run_slurm(
        *("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", "%i|%j|%Z"), patience=PATIENCE
    )
    found = []
    for row in rows.splitlines():
        number, name, folder = row.strip().split("|", 2)
        if name.startswith(PREFIX) and str(Path(folder).resolve()) == here:
            found.append(number)
    # a main process may be a job itself
    return [number for number in found if number != os.environ.get("SLURM_JOB_ID")]
