"""Leave nothing behind: staging requests and temporary files, whether a run succeeded or not.

While a request is processed its temporary files are Snakemake's. At the end `check_clean` looks that
nothing is left; when a run fails or is interrupted `clean` removes all of it. What was ingested by
then is safe, and the next run plans anew what is missing.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctabatch.errors import BatchError
from ctabatch.files import read_json, write_json
from ctabatch.lake.base import DataLake
from ctabatch.reprocessing.staging import copies_left, held_waves, release_wave

#: Folders of temporary files below that of the results.
TEMPORARY = ("dl0", "dl2", "models")

#: State of a run, of no use once its disk copies are given up: waves, and what its jobs looked at.
_STATE = ("waves", "work")


def clean(lake: DataLake, plan_path: Path) -> dict[str, Any]:
    """Give up the staging requests of a run that did not end well, and remove what it left.

    The plan is kept as ``plan.failed.json``, so that the next run plans what is missing by then.

    Parameters
    ----------
    lake : DataLake
        Where the requests are held.
    plan_path : pathlib.Path
        ``plan.json``; where there is none, there is nothing to do.

    Returns
    -------
    dict
        ``released`` (waves), ``removed`` (number of files) and ``held`` (waves that are still held,
        which is a fault).
    """
    plan_path = Path(plan_path)
    if not plan_path.is_file():
        return {"released": [], "removed": 0, "held": []}
    plan, folder = read_json(plan_path), plan_path.parent
    released = [
        number for number in range(1, len(plan["waves"]) + 1) if release_wave(lake, plan, number)
    ]
    held = held_waves(lake, plan)
    left = temporary_files(folder)
    for path in left:
        path.unlink(missing_ok=True)
    for name in (*TEMPORARY, *_STATE):
        shutil.rmtree(folder / name, ignore_errors=True)
    if not held:
        failed = plan_path.with_name("plan.failed.json")
        plan_path.replace(failed)
        # newer than the copy that jobs on the grid looked at: Snakemake makes a new plan by that
        os.utime(failed)
    return {"released": released, "removed": len(left), "held": held}


def check_clean(lake: DataLake, plan_path: Path, output: Path | None = None) -> dict[str, Any]:
    """Check that a run left neither staging requests nor temporary files.

    With an `output`, which is the end of a run, temporary files are removed and counted: a run that
    was killed between a job and its clearing up leaves some that the next one does not make again.

    Raises
    ------
    ctabatch.errors.BatchError
        Something is left; names it.
    """
    plan, folder = read_json(plan_path), Path(plan_path).parent
    held, files, removed = held_waves(lake, plan), temporary_files(folder), 0
    if held:
        raise BatchError(
            f"the disk copies of wave {', '.join(map(str, held))} are still held",
            "release them: cta-batch reprocessing clean --plan PLAN",
        )
    if output is not None:
        for path in files:
            path.unlink(missing_ok=True)
        files, removed = temporary_files(folder), len(files)
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise BatchError(
            f"temporary files are left: {files[0]}{more}",
            "remove them: cta-batch reprocessing clean --plan PLAN",
        )
    content = {
        "staging_requests": 0,
        "temporary_files": 0,
        "temporary_files_removed": removed,
        "waves": len(plan["waves"]),
        "rse": plan["staging"]["rse"],
        "copies_left": copies_left(lake, plan),
    }
    if output is not None:
        write_json(output, content)
    return content


def temporary_files(folder: Path) -> list[Path]:
    """Files in the temporary folders, and half-written ones anywhere below the results."""
    found = []
    for place, _, names in os.walk(folder):
        inside = Path(place).relative_to(folder).parts
        temporary = bool(inside) and (
            inside[0] in TEMPORARY or any(part.startswith(".") for part in inside)
        )
        found += [Path(place) / name for name in names if temporary or name.startswith(".")]
    return sorted(found)


def describe(content: Mapping[str, Any]) -> str:
    """Say in a line what `clean` or `check_clean` found."""
    if "released" in content:
        waves = ", ".join(map(str, content["released"])) or "none"
        return f"released waves: {waves}; removed {content['removed']} temporary files"
    copies = len(content["copies_left"])
    text = f"no staging request and no temporary file is left of {content['waves']} waves"
    return (
        f"{text}; {content['rse']} holds no staged copy"
        if not copies
        else (
            f"{text}; {copies} copies on {content['rse']} wait to be deleted, or are another request's"
        )
    )
