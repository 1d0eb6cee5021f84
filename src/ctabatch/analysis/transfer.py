"""Bring observations to the cache of the compute resource, and give the cache up again."""

import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from ctabatch.analysis.archive import pack
from ctabatch.analysis.plan import observations_of, read_plan
from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError, LakeError
from ctabatch.files import read_json, remove_half_written, write_json
from ctabatch.lake.base import DataLake, StageRequest
from ctabatch.lake.open import open_lake

#: Seconds for which disk copies of files on tape are asked for.
LIFETIME = 7 * 86400.0

#: In each archive: what could not be transferred.
FAILED = "failed.json"

#: Note of a staging request that is held, beside the archive.
REQUEST = ".request.json"


def transfer(
    config: Configuration, plan_path: Path, group: int, archive: Path, progress=None
) -> list[dict]:
    """Fetch the observations of a group, verified, into one archive.

    Files that are on tape only are staged first; their disk copies are given up when they have been
    copied.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration.
    plan_path : pathlib.Path
        ``plan.json``.
    group : int
        Number of the group.
    archive : pathlib.Path
        File to write.
    progress : callable, optional
        Called with (done, total, what).

    Returns
    -------
    list of dict
        ``did``, ``obs_id`` and ``reason`` of files that could not be fetched.

    Raises
    ------
    ctabatch.errors.BatchError
        A file could not be fetched and the request says to stop; names all such files.
    """
    plan, request = read_plan(plan_path)
    wanted = observations_of(plan, group)
    irfs = {item["irf"]["did"] for item in wanted if item["irf"]["source"] == "lake"}
    lake = open_lake(config.lake)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{archive.stem}.", dir=archive.parent) as name:
        folder = Path(name)
        dids = [item["did"] for item in wanted]
        note = archive.with_name(f"{archive.stem}{REQUEST}")
        failed = _fetch(lake, config, [*dids, *sorted(irfs)], folder, note, progress)
        lost = [item for item in wanted if {item["did"], item["irf"]["did"]} & set(failed)]
        bad = [
            {
                "did": item["did"],
                "obs_id": item["obs_id"],
                "reason": failed.get(item["did"]) or failed[item["irf"]["did"]],
            }
            for item in lost
        ]
        if bad and request.on_bad_observation == "stop":
            names = "; ".join(f"{item['obs_id']} ({item['did']}): {item['reason']}" for item in bad)
            raise BatchError(
                f"{len(bad)} of {len(wanted)} observations can't be transferred: {names}",
                "take them out, or set analysis.on_bad_observation to skip",
            )
        write_json(folder / FAILED, bad)
        pack(folder, archive)
    return bad


def _fetch(
    lake: DataLake, config, dids: list[str], folder: Path, note: Path, progress
) -> dict[str, str]:
    """Fetch files; returns the reasons of those that fail. In bulk, singly only after a failure."""
    try:
        _fetch_all(lake, config, dids, folder, note, progress)
        return {}
    except LakeError as error:
        if len(dids) == 1:
            return {dids[0]: str(error)}
    failed = {}
    for did in dids:
        try:
            _fetch_all(lake, config, [did], folder, note, None)
        except LakeError as error:
            failed[did] = str(error)
    if len(failed) == len(dids):
        raise LakeError(
            f"none of {len(dids)} files can be fetched: {next(iter(failed.values()))}",
            "is the lake up? cta-batch search ''",
        )
    return failed


def _fetch_all(lake: DataLake, config, dids: list[str], folder: Path, note: Path, progress) -> None:
    tiers: dict[str, set] = {}
    for copy in lake.replicas(dids):
        tiers.setdefault(copy.did, set()).add(copy.tier)
    taped = sorted(did for did, held in tiers.items() if "DISK" not in held)
    if not taped:
        lake.fetch(dids, folder, progress=progress)
        return
    request = lake.stage(taped, rse=config.lake.staging_rse, lifetime=LIFETIME)
    # who is killed now leaves a note for `release`
    write_json(note, asdict(request))
    try:
        lake.wait(request, progress=progress)
        lake.fetch(dids, folder, progress=progress)
    finally:
        lake.release(request)
        note.unlink()


def release(config: Configuration, plan_path: Path, output: Path) -> dict:
    """Give up the cache of an analysis and what killed transfers and jobs left, and check it.

    Returns
    -------
    dict
        What was released; written to `output`.

    Raises
    ------
    ctabatch.errors.LakeError
        Something is still held afterwards.
    """
    cache = Path(plan_path).parent / "cache"
    left = sorted(path.name for path in cache.rglob("*")) if cache.is_dir() else []
    lake = open_lake(config.lake)
    released = []
    for note in sorted(cache.glob(f"*{REQUEST}")) if cache.is_dir() else []:
        noted = read_json(note)
        request = StageRequest(tuple(noted["ids"]), tuple(noted["dids"]), noted["rse"])
        lake.release(request)
        released += request.ids
    if cache.is_dir():
        shutil.rmtree(cache)
    still = {name for item in lake.requests() for name in item.ids} & set(released)
    if still or cache.exists():
        raise LakeError(
            f"still held after the release: {', '.join(sorted(still)) or cache}", "release again"
        )
    # no job of the request writes there any more
    half_written = remove_half_written(cache.with_name("work"))
    content = {
        "cache_removed": left,
        "half_written_removed": half_written,
        "requests_released": released,
        "checked": True,
    }
    write_json(output, content)
    return content
