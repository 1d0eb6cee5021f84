"""What a Slurm cluster offers: its partitions."""

import getpass
import re
import shutil
import subprocess
from collections import Counter, defaultdict

from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_exponential_jitter,
)

from ctabatch.compute.resource import Need, Resource, slots
from ctabatch.errors import BatchError

#: Columns asked of sinfo, each ended by the separator: the text form is the same in all versions,
#: the JSON is not.
_COLUMNS = (
    *("PartitionName", "Available", "Time", "NodeHost", "StateLong"),
    *("CPUsState", "Memory", "AllocMem", "Disk", "Features"),
)
#: States in which a node takes jobs; others may carry a suffix such as ``*`` (no answer).
_TAKES_JOBS = {"idle", "mixed", "allocated", "completing"}
_PENDING, _RUNNING = {"PENDING", "CONFIGURING"}, {"RUNNING", "COMPLETING"}
_MIB = 1 << 20


class SlurmError(BatchError):
    """Slurm is absent or does not answer."""


class _AwayError(Exception):
    pass


def run_slurm(*argv: str, patience: float = 60) -> str:
    """Run a command of Slurm and return its output.

    A controller that does not answer is asked again for `patience` seconds.

    Raises
    ------
    SlurmError
        The command is absent, refused, or Slurm stayed away.
    """
    if shutil.which(argv[0]) is None:
        raise SlurmError(
            f"Slurm's command {argv[0]} is not here",
            "run this on a machine of the cluster, or leave out the back end slurm",
        )

    def once() -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            raise _AwayError(f"{argv[0]} gave no answer for a minute") from None
        text = (done.stderr.strip() or done.stdout.strip()).replace("\n", "; ")[:300]
        if done.returncode and re.search("contact|connect|timed out|Resource temp", text, re.I):
            raise _AwayError(text)
        if done.returncode:
            raise SlurmError(f"{argv[0]} failed: {text or f'exit code {done.returncode}'}")
        return done.stdout

    attempts = Retrying(
        retry=retry_if_exception_type(_AwayError),
        wait=wait_exponential_jitter(multiplier=0.5, max=10),
        stop=stop_after_delay(patience),
    )
    try:
        return attempts(once)
    except RetryError as error:
        reason = error.last_attempt.exception()
        raise SlurmError(
            f"Slurm does not answer: {reason}", "try later, or leave out the back end slurm"
        ) from None


def slurm_resources(need: Need, patience: float = 60) -> list[Resource]:
    """Describe the partitions that the user may see.

    Parameters
    ----------
    need : ctabatch.compute.resource.Need
        What one job needs.
    patience : float
        Seconds for which Slurm is asked again if it does not answer.
    """
    nodes = _nodes(run_slurm(*_SINFO, patience=patience))
    limits = _partitions(run_slurm("scontrol", "-a", "-o", "show", "partition", patience=patience))
    load = _load(run_slurm("squeue", "-a", "-h", "-r", "-o", "%P|%T", patience=patience))
    accounts = _accounts()
    return [
        _resource(name, limits.get(name, {}), rows, load[name], accounts, need)
        for name, rows in nodes.items()
    ]


_SINFO = ("sinfo", "-a", "-N", "-h", "-O", ",".join(f"{column}:|" for column in _COLUMNS))


def _nodes(text: str) -> dict[str, list[dict]]:
    """Rows of sinfo by partition."""
    found: dict[str, list[dict]] = defaultdict(list)
    for line in text.splitlines():
        row = dict(zip(_COLUMNS, line.strip().split("|"), strict=False))
        if row.get("PartitionName"):
            found[row["PartitionName"]].append(row)
    return dict(found)


def _partitions(text: str) -> dict[str, dict[str, str]]:
    """Keys and values of ``scontrol show partition``, by partition."""
    found = {}
    for line in text.splitlines():
        values = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "PartitionName" in values:
            found[values["PartitionName"]] = values
    return found


def _load(text: str) -> dict[str, Counter]:
    """Waiting and running jobs by partition; a waiting job may name several."""
    found: dict[str, Counter] = defaultdict(Counter)
    for line in text.splitlines():
        names, _, state = line.strip().partition("|")
        kind = "waiting" if state in _PENDING else "running" if state in _RUNNING else None
        if kind:
            for name in names.split(","):
                found[name][kind] += 1
    return found


def _accounts() -> set[str] | None:
    """Accounts of the user; None where there is no accounting."""
    try:
        where = f"user={getpass.getuser()}"
        rows = run_slurm(
            "sacctmgr", "-n", "-P", "show", "assoc", where, "format=account", patience=5
        )
    except (SlurmError, KeyError, OSError):
        return None
    return {row.strip() for row in rows.splitlines() if row.strip()} or None


def _resource(name, limits, rows, load, accounts, need) -> Resource:
    usable = [row for row in rows if row["StateLong"].rstrip("*~#!%$@^-+") in _TAKES_JOBS]
    usable = [row for row in usable if not row["StateLong"].endswith("*")]
    free_cpus = free_slots = 0
    for row in usable:
        idle = int(row["CPUsState"].split("/")[1])
        free_cpus += idle
        memory = (int(row["Memory"]) - int(row["AllocMem"] or 0)) * _MIB
        free_slots += slots(need, idle, memory)
    status, takes = _status(limits, rows, usable, accounts)
    known = usable or rows
    cpus = max(int(row["CPUsState"].split("/")[3]) for row in known)
    memory = max(int(row["Memory"]) for row in known)
    disk = max(_number(row["Disk"]) or 0 for row in known)
    features = {item for row in rows for item in row["Features"].split(",")} - {"(null)", ""}
    return Resource(
        backend="slurm",
        name=name,
        usable=takes,
        status=status,
        cpus=min(filter(None, (cpus, _number(limits.get("MaxCPUsPerNode"))))),
        memory_bytes=min(filter(None, (memory, _number(limits.get("MaxMemPerNode"))))) * _MIB,
        walltime_s=_seconds(limits.get("MaxTime") or rows[0]["Time"]),
        disk_free_bytes=disk * _MIB or None,
        cpus_total=sum(int(row["CPUsState"].split("/")[3]) for row in rows),
        cpus_free=free_cpus if takes else 0,
        slots_free=free_slots if takes else 0,
        waiting=load["waiting"],
        running=load["running"],
        platforms=tuple(sorted(features)),
    )


def _status(limits, rows, usable, accounts) -> tuple[str, bool]:
    """Say in words how a partition is, and whether it takes the user's jobs."""
    state = limits.get("State", rows[0]["Available"]).lower()
    if state != "up":
        return f"partition is {state}", False
    if not usable:
        states = ", ".join(sorted({row["StateLong"] for row in rows}))
        return f"no usable node ({states})", False
    allowed = limits.get("AllowAccounts", "ALL")
    if accounts is not None and allowed != "ALL" and not accounts & set(allowed.split(",")):
        return f"not for your accounts (for {allowed})", False
    return f"up, {len(usable)} of {len(rows)} nodes", True


def _number(text: str | None) -> int | None:
    """Read a number; None for UNLIMITED and the like."""
    return int(text) if text and text.isdigit() else None


def _seconds(text: str) -> float | None:
    """Read a time limit ``[days-]hours:minutes:seconds``; None if there is none."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if not found:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
