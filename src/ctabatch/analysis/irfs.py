"""Which IRF belongs to an observation.

A DL3 file of this project holds its IRF; its metadata name the IRF product it came from
(``dl3__irf``) or at least the digest of what is inside (``dl3__irf_digest``). For a file without,
the nearest valid IRF of the data lake is taken, by the rule of `ctabatch.irf.matching`.
"""

from ctabatch.config.matching import MatchingSettings
from ctabatch.errors import InputError
from ctabatch.irf.matching import Conditions, find_irfs, match_irf
from ctabatch.lake.base import DataLake


def match_irfs(
    lake: DataLake, rows: list[dict], settings: MatchingSettings
) -> tuple[list[dict], list[dict]]:
    """Add ``irf`` to each observation.

    Parameters
    ----------
    lake : DataLake
        Where IRFs are looked up.
    rows : list of dict
        Selected observations.
    settings : ctabatch.config.matching.MatchingSettings
        How far an IRF from the lake may be from an observation.

    Returns
    -------
    tuple of list
        Observations with ``irf``: ``source`` (``file`` or ``lake``), ``did`` and ``status``; and
        those without an IRF: ``did``, ``obs_id`` and ``reason``.
    """
    inside = [row for row in rows if row.get("dl3__irf") or row.get("dl3__irf_digest")]
    states = _states(lake, {row["dl3__irf"] for row in inside if row.get("dl3__irf")})
    candidates = find_irfs(lake) if len(inside) < len(rows) else []
    matched, bad = [], []
    for row in rows:
        if row.get("dl3__irf"):
            did = row["dl3__irf"]
            irf = {"source": "file", "did": did, "status": states.get(did, "not in this lake")}
        elif row.get("dl3__irf_digest"):
            irf = {"source": "file", "did": None, "status": "inside the file"}
        else:
            try:
                match = match_irf(candidates, Conditions.of_observation(row), settings)
            except InputError as error:
                reason = f"has no IRF: {error}"
                bad.append({"did": row["did"], "obs_id": row["instance__obs_id"], "reason": reason})
                continue
            irf = {"source": "lake", "did": match.did, "status": "valid"}
            irf |= {"distance": round(match.distance, 4)}
        matched.append(row | {"irf": irf})
    return matched, bad


def _states(lake: DataLake, dids: set[str]) -> dict[str, str]:
    """Status of IRF products: DID -> ``valid``, ``superseded`` or ``invalid``."""
    from ctabatch.analysis.select import rows_of

    if not dids:
        return {}
    rows, _ = rows_of(lake, sorted(dids))
    return {row["did"]: row.get("irf__status", "unknown") for row in rows}
