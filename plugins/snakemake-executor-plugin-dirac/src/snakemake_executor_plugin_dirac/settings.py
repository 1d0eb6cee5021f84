"""The settings, as ``--dirac-NAME`` on the command line, in a profile or in the environment."""

import re
from dataclasses import dataclass, field, fields
from typing import Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

#: What may stand in a site, a tag, a group of jobs: nothing that DIRAC's JDL parser knows.
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
# Snakemake's argument parser understands typing.Optional only.
OptionalText = Optional[str]  # noqa: UP045
ENVIRONMENTS = ("installed", "cvmfs", "apptainer")


def _help(text):
    return {"help": text, "env_var": True}


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """What can be set; see the help of each field."""

    url: OptionalText = field(
        default=None, metadata=_help("Address of the DiracX server (else DIRACX_URL).")
    )
    vo: OptionalText = field(
        default=None,
        metadata=_help(
            "Virtual organisation that the login must have; any by default. See `dirac login`."
        ),
    )
    group: OptionalText = field(
        default=None, metadata=_help("DIRAC group that the login must have; any by default.")
    )
    sites: OptionalText = field(
        default=None,
        metadata=_help(
            "Sites where jobs may run, separated by commas; a rule's resource dirac_sites wins."
        ),
    )
    banned_sites: OptionalText = field(
        default=None,
        metadata=_help("Sites where jobs must not run; a rule's resource dirac_banned_sites wins."),
    )
    tags: OptionalText = field(
        default=None,
        metadata=_help(
            "Tags that a site must have (for instance GPU); a rule's resource dirac_tags wins."
        ),
    )
    cpu_time: int = field(
        default=86400,
        metadata=_help(
            "CPUTime of jobs whose rule has no `runtime`, in DIRAC's unit (HS06 seconds)."
        ),
    )
    cpu_power: float = field(
        default=10.0,
        metadata=_help("HS06 of one core: turns a rule's `runtime` into DIRAC's CPUTime."),
    )
    processors: int = field(
        default=0, metadata=_help("Processors of every job at least; a rule's threads otherwise.")
    )
    memory: int = field(
        default=0,
        metadata=_help("Memory in MB of jobs whose rule has no `mem_mb`; 0 leaves it to the site."),
    )
    environment: str = field(
        default="installed",
        metadata=_help(
            "Where the worker finds Snakemake: `installed` (on its PATH), `cvmfs:FOLDER` (an "
            "environment with bin/python) or `apptainer:IMAGE` (a .sif file or a docker:// or oras:// "
            "address)."
        ),
    )
    environment_args: OptionalText = field(
        default=None,
        metadata=_help("Further arguments of `apptainer exec`, for instance `--bind /cvmfs`."),
    )
    forward: OptionalText = field(
        default=None,
        metadata=_help(
            "Names of environment variables, separated by commas, whose values go to the workers in "
            "the sandbox. Never name a secret here."
        ),
    )
    exclude: OptionalText = field(
        default=None,
        metadata=_help(
            "Patterns of source files that the workers do not need, separated by commas."
        ),
    )
    job_group: str = field(
        default="smk", metadata=_help("Prefix of the DIRAC job group, up to 15 characters.")
    )
    run_name: OptionalText = field(
        default=None,
        metadata=_help(
            "Tells runs of one workflow with one storage prefix apart; jobs are not adopted across."
        ),
    )
    status_interval: float = field(
        default=10.0,
        metadata=_help(
            "Seconds between two looks at the jobs while something changes; grows up to 6 times."
        ),
    )
    quiet_limit: float = field(
        default=120.0,
        metadata=_help(
            "Minutes without a sign of life after which a running job is killed and has failed."
        ),
    )
    waiting_limit: float = field(
        default=0.0,
        metadata=_help(
            "Minutes after which a job that no site took has failed; 0 only warns, after an hour."
        ),
    )
    patience: float = field(
        default=1440.0,
        metadata=_help("Minutes that the server may be out of reach before the run gives up."),
    )
    start_patience: float = field(default=1.0, metadata=_help("The same at the start, in minutes."))
    max_processors: int = field(
        default=0,
        metadata=_help(
            "Most processors that any site gives: a job that wants more is refused at once. 0: unknown."
        ),
    )
    max_memory: int = field(
        default=0, metadata=_help("Most memory in MB that any site gives. 0: unknown.")
    )
    max_cpu_time: int = field(
        default=0, metadata=_help("Largest CPUTime of any site. 0: as the server's configuration.")
    )
    logs: str = field(
        default="failed",
        metadata=_help("Whose output sandboxes are fetched: `failed`, `all` or `none`."),
    )
    sandbox_retention: int = field(
        default=30,
        metadata=_help("Days for which fetched output sandboxes are kept below .snakemake/dirac."),
    )

    def __post_init__(self):
        problems = list(self._problems())
        if problems:
            raise WorkflowError("DIRAC executor: " + "; ".join(problems))

    def _problems(self):
        for name in ("sites", "banned_sites", "tags"):
            for word in words(getattr(self, name)):
                if not WORD.fullmatch(word):
                    yield f"--dirac-{name.replace('_', '-')}: {word!r} is not a name"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,15}", self.job_group):
            yield (
                f"--dirac-job-group: {self.job_group!r} is not allowed (1 to 15 letters, digits, "
                "_ and -)"
            )
        kind, _, place = self.environment.partition(":")
        if kind not in ENVIRONMENTS or (kind == "installed") == bool(place):
            yield (
                f"--dirac-environment: {self.environment!r} is not allowed (installed, "
                "cvmfs:FOLDER or apptainer:IMAGE)"
            )
        if self.logs not in ("failed", "all", "none"):
            yield f"--dirac-logs: {self.logs!r} is not allowed (failed, all or none)"
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, int | float) and value < 0:
                yield f"--dirac-{item.name.replace('_', '-')}: {value} is negative"
        if self.status_interval <= 0:
            yield "--dirac-status-interval: must be more than 0 seconds"
        if self.cpu_power <= 0:
            yield "--dirac-cpu-power: must be more than 0"


def words(text) -> list[str]:
    """Split a list as people write it: by commas, blanks around them ignored."""
    return [word.strip() for word in str(text or "").split(",") if word.strip()]
