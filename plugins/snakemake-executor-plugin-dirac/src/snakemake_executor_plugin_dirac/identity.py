"""Names that tell the same piece of work again: after a crash, and against doing it twice.

A job's DIRAC name is ``RULE.WHAT.HOW``: WHAT is a digest of the outputs, HOW one of everything
that decides their content. Same name: the same work, to be adopted. Same WHAT but another HOW:
older work on the same files, to be stopped first.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from snakemake_executor_plugin_dirac.jdl import safe_name

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def _digest(content) -> str:
    # Functions and objects show their address, which is another one in each process.
    text = _ADDRESS.sub("", json.dumps(content, sort_keys=True, default=str))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_name(file) -> str:
    """Return the name of a file of the workflow: its storage query, else its path."""
    return file.storage_object.query if file.is_storage else str(file)


def what_of(name: str) -> str:
    """Return the part of a job's name that names its outputs."""
    return name.rpartition(".")[0].rpartition(".")[2]


def group_name(prefix: str, workflow, run_name: str | None) -> str:
    """Name the DIRAC job group of a workflow.

    It is the same for each start of the same workflow with the same default storage prefix, on
    any machine and in any folder, since those write the same files.
    """
    storage = workflow.storage_settings
    identity = [
        os.path.relpath(workflow.main_snakefile),
        str(storage.default_storage_provider),
        str(storage.default_storage_prefix),
        run_name or "",
    ]
    return f"{prefix}-{_digest(identity)}"


class Identity:
    """Computes names of jobs; each job and each input is looked at once.

    Parameters
    ----------
    dag : snakemake.dag.DAG
        Tells which job makes which input.
    group : str
        The job group, part of every digest.
    """

    def __init__(self, dag, group: str):
        self.dag = dag
        self.group = group
        self._jobs: dict = {}
        self._files: dict[str, str] = {}
        self._rules: dict = {}

    async def prepare(self, jobs) -> None:
        """Look at the inputs that no job makes; run by Snakemake's own loop, storage included."""
        for job in self._missing(jobs):
            for file in job.input:
                if file in self._made(job):
                    continue
                name = file_name(file)
                if name not in self._files:
                    self._files[name] = await self._stamp(file)

    def _missing(self, jobs):
        """Walk to all jobs, upstream of `jobs` too, that have no digest yet."""
        seen, stack = set(), [single for job in jobs for single in singles_of(job)]
        while stack:
            job = stack.pop()
            if job in seen or job in self._jobs:
                continue
            seen.add(job)
            stack.extend(self.dag.dependencies[job])
        return seen

    def _made(self, job) -> dict:
        """Return the inputs of a job that other jobs make, with those jobs."""
        return {
            file: maker for maker, files in self.dag.dependencies[job].items() for file in files
        }

    @staticmethod
    async def _stamp(file) -> str:
        if file.is_storage:
            return str(await file.mtime()) if await file.exists() else "absent"
        path = Path(file)
        if not path.exists():
            return "absent"
        stat = path.stat()
        return f"{stat.st_mtime_ns} {stat.st_size}"

    def name(self, job) -> str:
        """Return the DIRAC name of a job or group job; `prepare` must have seen it."""
        singles = sorted(singles_of(job), key=lambda single: [file_name(f) for f in single.output])
        title = job.groupid if job.is_group() else job.rule.name
        what = _digest([self.group, [_outputs(single) for single in singles]])
        how = _digest([self._how(single) for single in singles])
        return f"{safe_name(str(title))}.{what}.{how}"

    def _how(self, job) -> str:
        """Digest of a job's rule, wildcards, outputs, parameters and, through them, all inputs."""
        stack = [job]
        while stack:
            current = stack[-1]
            if current in self._jobs:
                stack.pop()
                continue
            waiting = [j for j in self.dag.dependencies[current] if j not in self._jobs]
            if waiting:
                stack.extend(waiting)
                continue
            self._jobs[current] = self._own(current)
            stack.pop()
        return self._jobs[job]

    def _own(self, job) -> str:
        made = self._made(job)
        inputs = [
            [file_name(file), self._jobs[made[file]] if file in made else self._external(file)]
            for file in job.input
        ]
        params = sorted(map(str, job.params.items()))
        return _digest(
            [self.group, self._rule(job.rule), job.wildcards_dict, _outputs(job), params, inputs]
        )

    def _external(self, file) -> str:
        return self._files.get(file_name(file), "")

    def _rule(self, rule) -> str:
        if rule not in self._rules:
            parts = [rule.name, rule.shellcmd, rule.wrapper, str(rule.container_img)]
            for script in (rule.script, rule.notebook):
                if script and "{" not in str(script):
                    path = Path(str(rule.basedir.join(script)))
                    parts.append(path.read_text() if path.exists() else str(script))
            parts.append(getattr(rule, "run_func_src", None))
            self._rules[rule] = _digest(parts)
        return self._rules[rule]


def singles_of(job) -> list:
    """Return the jobs of a group job, or the job itself."""
    return list(job.jobs) if job.is_group() else [job]


def _outputs(job) -> list[str]:
    return [file_name(file) for file in job.output]
