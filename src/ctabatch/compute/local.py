"""What this machine offers."""

import os
import shutil
from pathlib import Path


def local_resources(folder: Path) -> dict:
    """Describe this machine.

    Parameters
    ----------
    folder : pathlib.Path
        Folder in which results will be written; it need not exist yet.

    Returns
    -------
    dict
        ``name``, ``backend``, ``cpus`` (usable by this process), ``memory_bytes`` (available now)
        and ``disk_free_bytes``.
    """
    existing = Path(folder).resolve()
    while not existing.exists():
        existing = existing.parent
    return {
        "name": "this machine",
        "backend": "local",
        "cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": _available_memory(),
        "disk_free_bytes": shutil.disk_usage(existing).free,
    }


def _available_memory() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
