"""Waves: what is staged, processed and released together, so that it fits on the disk."""

from collections.abc import Mapping, Sequence
from typing import Any

from ctabatch.config.reprocessing import StagingSettings
from ctabatch.errors import InputError, LimitError
from ctabatch.lake.base import DataLake, Replica


def room_for_staging(lake: DataLake, rse: str, settings: StagingSettings) -> dict[str, int | None]:
    """Ask how much may be staged at once.

    Returns
    -------
    dict
        In bytes, None for no limit: ``free`` and ``quota_left`` of the storage element, the
        configured ``wave_volume``, and ``room``, the smallest of them.
    """
    usage = lake.usage(rse)
    wanted = settings.wave_volume
    limits = {
        "free": usage.free,
        "quota_left": usage.quota_left,
        "wave_volume": None if wanted is None else int(wanted.to_value("byte")),
    }
    return limits | {"room": min((v for v in limits.values() if v is not None), default=None)}


def needs_staging(replicas: Sequence[Replica], rse: str) -> tuple[bool, bool]:
    """Tell whether a file must be staged, and whether that takes room on `rse`.

    A copy on another disk is used as it is. One that is on `rse` already may be another person's
    staging: it is asked for again, so that it stays.
    """
    places = {replica.rse for replica in replicas}
    elsewhere = any(item.tier == "DISK" and item.rse != rse for item in replicas)
    return not elsewhere and places != {rse}, rse not in places


def fill_waves(
    files: Sequence[Mapping[str, Any]], limits: Mapping[str, int | None], rse: str
) -> list[dict[str, Any]]:
    """Put files into waves, in order; a wave holds as many as fit.

    Parameters
    ----------
    files : sequence of mapping
        With ``key``, ``did``, ``bytes``, ``stage`` (whether it must be staged) and ``room`` (whether
        that takes room).
    limits : mapping
        As `room_for_staging` returns them.
    rse : str
        Storage element, for messages.

    Returns
    -------
    list of dict
        ``files`` (keys), ``stage`` (DIDs) and ``bytes`` that are added to the disk.

    Raises
    ------
    ctabatch.errors.LimitError
        One file alone does not fit.
    """
    room = limits["room"]
    waves: list[dict[str, Any]] = []
    for item in files:
        size = item["bytes"] if item["stage"] and item["room"] else 0
        if room is not None and size > room:
            reason = min(
                (key for key in ("quota_left", "free", "wave_volume") if limits[key] is not None),
                key=lambda key: limits[key],
            )
            words = {
                "quota_left": f"the quota of {rse} leaves",
                "free": f"{rse} has free",
                "wave_volume": "reprocessing.staging.wave_volume allows",
            }
            raise LimitError(
                f"{item['did']} has {size} bytes, {words[reason]} {max(room, 0)}: not even this one "
                "file can be staged",
                "release staged files, choose another reprocessing.staging.rse, or raise the limit",
            )
        if not waves or (room is not None and waves[-1]["bytes"] + size > room):
            waves.append({"files": [], "stage": [], "bytes": 0})
        waves[-1]["files"].append(item["key"])
        waves[-1]["bytes"] += size
        if item["stage"]:
            waves[-1]["stage"].append(item["did"])
    return waves


def check_names(files: Sequence[Mapping[str, Any]]) -> None:
    """Refuse files with equal base names: they lie in one folder while they are processed."""
    seen: dict[str, str] = {}
    for item in files:
        other = seen.setdefault(item["name"], item["did"])
        if other != item["did"]:
            raise InputError(f"{other} and {item['did']} have the same file name {item['name']}")
