"""States of the jobs that Snakemake's Slurm executor has submitted: one squeue for all."""

import re
import shutil
import subprocess
import threading
from collections import Counter

_RUN_ID = re.compile(r"SLURM run ID: ([0-9a-zA-Z_-]+)")


class QueueWatcher:
    """Looks at Slurm's queue now and then, once the executor has told its run.

    Parameters
    ----------
    told : callable
        Told a list of (partition, state, count).
    interval : float
        Seconds between two looks; 0 for none.
    """

    def __init__(self, told, interval: float):
        self.told = told
        self.interval = interval
        self._stop = threading.Event()
        self._thread = None

    def note(self, text: str) -> None:
        """Start where a message tells the name of the jobs."""
        found = _RUN_ID.search(text) if "SLURM" in text else None
        if found and self._thread is None and self.interval > 0 and shutil.which("squeue"):
            self._thread = threading.Thread(
                target=self._watch, args=(found[1],), name="squeue", daemon=True
            )
            self._thread.start()

    def _watch(self, name):
        while not self._stop.wait(self.interval):
            places = look(name)
            if places is not None:
                self.told(places)

    def stop(self) -> None:
        """End looking."""
        self._stop.set()


def look(name: str) -> list[tuple[str, str, int]] | None:
    """Return (partition, state, count) of the jobs of that name; None if Slurm does not answer."""
    argv = ["squeue", "-h", "-r", "-n", name, "-o", "%P|%T"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    rows = Counter(tuple(row.split("|")) for row in done.stdout.split())
    return [(partition, state.lower(), count) for (partition, state), count in rows.items()]
