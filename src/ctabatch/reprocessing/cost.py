"""What reprocessing costs: CPU time, disk space and jobs; measured costs as for IRFs."""

from collections.abc import Mapping, Sequence
from typing import Any

from ctabatch.irf.cost import load_costs

#: Events that are assumed for a DL0 file that does not state its triggers, for each of its bytes.
_EVENTS_A_BYTE = 1 / 25_000


def estimate(observations: Sequence[Mapping[str, Any]], waves: Sequence[Mapping]) -> dict[str, Any]:
    """Estimate the cost of a plan.

    Parameters
    ----------
    observations : sequence of mapping
        With ``chunks``, each of which has ``bytes`` and maybe ``obs__triggers``.
    waves : sequence of mapping
        With ``files``, keys of chunks.

    Returns
    -------
    dict
        ``cpu_hours``, ``storage_bytes`` (of temporary files and products at once), ``jobs`` and
        ``events``.
    """
    costs = load_costs()
    one, apply, dl3 = costs["reprocess"], costs["apply"], costs["dl3"]
    chunks = {chunk["key"]: chunk for item in observations for chunk in item["chunks"]}
    events = {key: events_of(chunk) for key, chunk in chunks.items()}
    total = sum(events.values())
    seconds = (
        sum(
            one["cpu_s_start"] + events[key] * one["cpu_s_per_event"] + apply["cpu_s"]
            for key in chunks
        )
        + len(observations) * dl3["cpu_s"]
    )
    largest = max((sum(chunks[key]["bytes"] for key in wave["files"]) for wave in waves), default=0)
    return {
        "cpu_hours": seconds / 3600,
        "storage_bytes": round(largest + 2 * total * one["bytes_per_event"]),
        "jobs": 2 * len(chunks) + 2 * len(observations),
        "events": total,
    }


def events_of(chunk: Mapping[str, Any]) -> int:
    """Triggered events of a DL0 file, estimated from its size where it does not state them."""
    triggers = chunk.get("metadata", {}).get("obs__triggers")
    if isinstance(triggers, int | float) and triggers >= 0:
        return int(triggers)
    return round(chunk["bytes"] * _EVENTS_A_BYTE)
