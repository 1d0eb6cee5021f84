"""Which IRF belongs to an observation.

A DL3 file of this project holds its IRF; its metadata name the IRF product it came from
(``dl3__irf``) or at least the digest of what is inside (``dl3__irf_digest``). For a file without,
the nearest valid IRF of the data lake is taken, by the rule of `ctabatch.irf.matching`.
"""

from ctabatch.config.model import Configuration
from ctabatch.lake.base import DataLake


def match_irfs(
    lake: DataLake, rows: list[dict], config: Configuration
) -> tuple[list[dict], list[dict]]:
    """Add ``irf`` to each observation.

    Parameters
    ----------
    lake : DataLake
        Where IRFs are looked up.
    rows : list of dict
        Selected observations.
    config : ctabatch.config.model.Configuration
        The configuration.

    Returns
    -------
    tuple of list
        Observations with ``irf``: ``source`` (``file`` or ``lake``), ``did`` and ``status``; and
        those without an IRF: ``did``, ``obs_id`` and ``reason``.
    """
    inside = [row for row in rows if row.get("dl3__irf") or row.get("dl3__irf_digest")]
    states = _states(lake, {row["dl3__irf"] for row in inside if row.get("dl3__irf")})
    matched, bad = [], []
    for row in rows:
        if row.get("dl3__irf"):
            did = row["dl3__irf"]
            irf = {"source": "file", "did": did, "status": states.get(did, "not in this lake")}
        elif row.get("dl3__irf_digest"):
            irf = {"source": "file", "did": None, "status": "inside the file"}
        else:
            reason = "has no IRF: its metadata name none (dl3__irf, dl3__irf_digest)"
            bad.append({"did": row["did"], "obs_id": row["instance__obs_id"], "reason": reason})
            continue
        matched.append(row | {"irf": irf})
    return matched, bad


def _states(lake: DataLake, dids: set[str]) -> dict[str, str]:
    """Status of IRF products: DID -> ``valid``, ``superseded`` or ``invalid``."""
    from ctabatch.analysis.select import rows_of

    if not dids:
        return {}
    rows, _ = rows_of(lake, sorted(dids))
    return {row["did"]: row.get("irf__status", "unknown") for row in rows}
