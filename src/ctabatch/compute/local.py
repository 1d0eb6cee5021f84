"""What this machine offers."""

import os
import shutil
from pathlib import Path

from ctabatch.compute.resource import Need, Resource, slots

#: Name of this machine as a resource.
NAME = "localhost"


def local_resources(folder: Path, need: Need) -> list[Resource]:
    """Describe this machine.

    Parameters
    ----------
    folder : pathlib.Path
        Folder in which results will be written; it need not exist yet.
    need : ctabatch.compute.resource.Need
        What one job needs.

    Returns
    -------
    list of ctabatch.compute.resource.Resource
        One, `NAME`: the processors usable by this process, all the memory, the free disk.
    """
    existing = Path(folder).resolve()
    while not existing.exists():
        existing = existing.parent
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    total, available = _memory()
    load = os.getloadavg()[0]
    free = max(0, cpus - round(load))
    return [
        Resource(
            backend="local",
            name=NAME,
            status=f"load {load:.2f}",
            cpus=cpus,
            memory_bytes=total,
            disk_free_bytes=shutil.disk_usage(existing).free,
            cpus_total=cpus,
            cpus_free=free,
            slots_free=slots(need, free, available),
            waiting=max(0, round(load) - cpus),
            running=min(cpus, round(load)),
            platforms=(f"{os.uname().sysname.lower()}-{os.uname().machine}",),
        )
    ]


def _memory() -> tuple[int, int]:
    """Total and available memory in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if "kB" in line}
        return found["MemTotal"], found["MemAvailable"]
    except (OSError, KeyError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return total, total
