"""Failures to inject, read from a JSON file: a list of rules, the first that matches counts.

Each rule is ``{"match": TEXT, "fault": KIND, "count": N}``: TEXT is looked for in the job's name,
N (all, if absent) is how many jobs it strikes. Kinds:

hold            the optimisers never touch the job
slow            the payload starts after ``seconds``
admin_kill      an administrator kills the job while it runs
site_kill       the batch system kills the payload: Failed, no output sandbox
stall           heartbeats stop, the job is Stalled for ever
stall_resume    Stalled for ``seconds``, then it goes on
silent          the pilot vanishes: Running for ever, no heartbeat
disk            the work folder is a file system of ``megabytes``
no_run          Done without having run anything
no_network      the payload finds no route to anything but loopback's name service
"""

import json
from pathlib import Path


class Faults:
    """The rules of a file.

    Parameters
    ----------
    path : pathlib.Path
        Read again whenever it changes.
    """

    def __init__(self, path: Path):
        self.path = path
        self.stamp = None
        self.rules: list[dict] = []
        self.struck: dict[int, dict] = {}

    def _read(self) -> None:
        stamp = self.path.stat().st_mtime_ns if self.path.exists() else None
        if stamp != self.stamp:
            self.rules = json.loads(self.path.read_text()) if stamp else []
            self.stamp = stamp

    def of(self, job) -> dict:
        """Return the rule that strikes a job; empty for none."""
        self._read()
        job_id = job["JobID"]
        if job_id in self.struck:
            return self.struck[job_id]
        for rule in self.rules:
            if rule["match"] in job["JobName"] and rule.get("count", 1) > 0:
                if "count" in rule:
                    rule["count"] -= 1
                self.struck[job_id] = rule
                return rule
        return {}

    def holds(self, job) -> bool:
        """Tell whether the optimisers are to leave a job alone."""
        self._read()
        return any(r["fault"] == "hold" and r["match"] in job["JobName"] for r in self.rules)
