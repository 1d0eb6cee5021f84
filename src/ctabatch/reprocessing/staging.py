"""Stage a wave of DL0 files to disk, and release it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctabatch.files import write_json
from ctabatch.lake.base import DataLake, Progress
from ctabatch.reprocessing.plan import wave_of

logger = logging.getLogger(__name__)


def stage_wave(
    lake: DataLake,
    plan: Mapping[str, Any],
    number: int,
    output: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Ask for the disk copies of a wave and wait for them.

    The request is the same one however often this is called. `clean` finds it by the files of the
    wave, whatever became of this process.

    Parameters
    ----------
    lake : DataLake
        Where the files are.
    plan : mapping
        Content of ``plan.json``.
    number : int
        Wave, from 1.
    output : pathlib.Path
        Written when all files are on disk.
    progress : callable, optional
        Called while waiting.
    """
    wave, staging = wave_of(plan, number), plan["staging"]
    ids: tuple[str, ...] = ()
    if wave["stage"]:
        request = lake.stage(wave["stage"], rse=staging["rse"], lifetime=staging["lifetime_s"])
        ids = request.ids
        lake.wait(request, timeout=staging["timeout_s"], progress=progress)
    content = {"wave": number, "rse": staging["rse"], "ids": list(ids), "bytes": wave["bytes"]}
    write_json(output, content | {"files": len(wave["files"]), "staged": len(wave["stage"])})
    return content


def release_wave(lake: DataLake, plan: Mapping[str, Any], number: int) -> bool:
    """Give up the disk copies of a wave; returns whether they were held."""
    wave = wave_of(plan, number)
    if not wave["stage"]:
        return False
    request = lake.held(wave["stage"], rse=plan["staging"]["rse"])
    if request is None:
        return False
    lake.release(request)
    logger.info("wave %d is released", number)
    return True


def held_waves(lake: DataLake, plan: Mapping[str, Any]) -> list[int]:
    """Numbers of the waves whose disk copies are still asked for."""
    rse = plan["staging"]["rse"]
    return [
        number
        for number, wave in enumerate(plan["waves"], 1)
        if wave["stage"] and lake.held(wave["stage"], rse=rse) is not None
    ]


def copies_left(lake: DataLake, plan: Mapping[str, Any]) -> list[str]:
    """Files of a plan that were staged and still have a copy on the staging disk."""
    rse = plan["staging"]["rse"]
    staged = [did for wave in plan["waves"] for did in wave["stage"]]
    room = {
        chunk["did"]: chunk["room"]
        for item in plan["observations"].values()
        for chunk in item["chunks"]
    }
    return sorted(
        {item.did for item in lake.replicas(staged) if item.rse == rse and room[item.did]}
    )
