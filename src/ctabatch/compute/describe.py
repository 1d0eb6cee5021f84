"""Resources in a few lines, for plans."""

from ctabatch.compute.resource import hours, size

#: Resources that a plan shows.
SHOWN = 5


def describe_resources(records: list[dict], shown: int = SHOWN) -> list[str]:
    """Say in a line each what the best resources offer.

    Parameters
    ----------
    records : list of dict
        As `ctabatch.compute.resource.Resource.record` gives them, the best first.
    shown : int
        Most lines about resources; one more tells how many there are besides.
    """
    lines = [_line(record) for record in records[:shown]]
    if len(records) > shown:
        lines.append(f"and {len(records) - shown} more (cta-batch resources)")
    return lines


def _line(record: dict) -> str:
    parts = []
    for key, form, what in (
        ("slots_free", str, "jobs could start now"),
        ("waiting", str, "wait"),
        ("running", str, "run"),
        ("cpus", str, "CPUs"),
        ("memory_bytes", size, "memory"),
        ("walltime_s", hours, "wall time"),
        ("disk_free_bytes", size, "free disk"),
    ):
        if record.get(key) is not None:
            parts.append(f"{form(record[key])} {what}")
    if record.get("near_fraction") is not None:
        parts.append(f"{record['near_fraction']:.0%} of the data near")
    where = "" if record["backend"] == "local" else f" ({record['backend']})"
    return f"{record['name']}{where}: {record['status']}; {', '.join(parts)}"
