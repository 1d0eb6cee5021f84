"""Find the observations of an analysis and select among them, by metadata alone.

Selection comes before anything is transferred or reduced: an observation pointed far from the
target would cost gigabytes of memory, and give nothing.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctabatch.basket.state import known_files, may_see
from ctabatch.config.analysis import AnalysisRequest, DataSource, Position
from ctabatch.errors import InputError
from ctabatch.iam.identity import Identity
from ctabatch.iam.projects import project_observations
from ctabatch.lake.base import DataLake
from ctabatch.lake.frame import frame_records

#: Metadata that an observation must have to be selected.
NEEDED = ("instance__obs_id", "obs__ra_deg", "obs__dec_deg")


@dataclass
class Found:
    """What a search gave.

    Parameters
    ----------
    rows : list of dict
        Observations: ``did``, ``bytes``, ``adler32`` and metadata.
    bad : list of dict
        ``did``, ``obs_id`` and ``reason`` of what can't be used: vanished, or not valid.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    bad: list[dict[str, Any]] = field(default_factory=list)


def find_observations(
    lake: DataLake, source: DataSource, person: Identity, lake_name: str = ""
) -> Found:
    """Look up the DL3 files that a request names, as far as a person may see them.

    Parameters
    ----------
    lake : DataLake
        Where to look.
    source : DataSource
        Project, query, basket or DIDs.
    person : ctabatch.iam.identity.Identity
        Who asks.
    lake_name : str
        Name of the lake in baskets, see `ctabatch.basket.store.lake_name`.

    Returns
    -------
    Found

    Raises
    ------
    ctabatch.iam.errors.NoAccess
        Nothing of the project is for this person; the same whether or not it exists.
    ctabatch.errors.InputError
        Nothing is found.
    """
    found = Found()
    dids = _basket(source.basket, lake_name, found) if source.basket else list(source.dids)
    if source.project:
        rows = project_observations(lake, person, source.project)
    elif source.query:
        rows = frame_records(lake.search(f"data__level = DL3 and ({source.query})"))
        rows = [row for row in rows if may_see(person, row)]
    else:
        rows, missing = rows_of(lake, dids, person)
        reason = "is not in the data lake (any more), or not for you to see"
        found.bad += [_bad(did, None, reason) for did in missing]
    for row in rows:
        reason = _unusable(row)
        if reason is None:
            found.rows.append(row)
        elif dids:
            found.bad.append(_bad(row["did"], row.get("instance__obs_id"), reason))
    if not found.rows and not found.bad:
        allowed = "look with: cta-batch search 'data__level = DL3'"
        if person.local and not person.projects:
            allowed += "; without a login you see released data only, see iam.local_projects"
        raise InputError(
            f"no valid DL3 observation matches {_name_of(source)}", "analysis.data", allowed
        )
    return found


def _basket(name: str, lake_name: str, found: Found) -> list[str]:
    """DIDs of the data in a basket; those of another lake are noted as bad."""
    from ctabatch.basket.store import DATA, load

    items = [item for item in load(name).items if item.kind == DATA]
    if not items:
        raise InputError(
            f"the basket {name!r} is empty", "analysis.data.basket", "fill it: cta-batch basket add"
        )
    found.bad += [
        _bad(item.did, None, "is in another data lake") for item in items if item.lake != lake_name
    ]
    return [item.did for item in items if item.lake == lake_name]


def rows_of(
    lake: DataLake, dids: list[str], person: Identity | None = None
) -> tuple[list[dict], list[str]]:
    """Return what a search would give for these DIDs, and those that are unknown.

    Files that `person` may not see are unknown to him.
    """
    wanted = list(dict.fromkeys(dids))
    metadata = {
        did: content
        for did, content in known_files(lake, wanted).items()
        if person is None or may_see(person, content)
    }
    copies = {copy.did: copy for copy in lake.replicas(metadata)} if metadata else {}
    rows = [
        {"did": did, "bytes": copies[did].bytes, "adler32": copies[did].adler32} | metadata[did]
        for did in wanted
        if did in copies
    ]
    return rows, [did for did in wanted if did not in copies]


def _unusable(row: dict) -> str | None:
    if any(row.get(key) is None for key in NEEDED):
        return "is no observation: has no obs id or pointing in its metadata"
    status = row.get("dl3__status", "valid")
    return None if status == "valid" else f"is {status}"


def _bad(did, obs_id, reason) -> dict:
    return {"did": did, "obs_id": obs_id, "reason": reason}


def _name_of(source: DataSource) -> str:
    for name in ("project", "query", "basket"):
        if getattr(source, name):
            return f"{name} {getattr(source, name)!r}"
    return "the DIDs"


def select(rows: list[dict], request: AnalysisRequest) -> tuple[list[dict], list[dict]]:
    """Select observations by offset, zenith, livetime and time.

    Parameters
    ----------
    rows : list of dict
        Observations, see `Found`.
    request : AnalysisRequest
        Target and selection.

    Returns
    -------
    tuple of list
        The selected rows with ``offset_deg`` added, in order of time; and what was left out:
        ``did``, ``obs_id`` and ``reason``.
    """
    wanted = request.selection
    chosen, left_out = [], []
    for row, offset in zip(rows, offsets(rows, request.target), strict=True):
        reason = _refused(row, offset, wanted)
        if reason:
            left_out.append(_bad(row["did"], row["instance__obs_id"], reason))
        else:
            chosen.append(row | {"offset_deg": round(float(offset), 6)})
    chosen.sort(key=lambda row: (str(row.get("obs__start", "")), row["instance__obs_id"]))
    return chosen, left_out


def offsets(rows: list[dict], target: Position) -> np.ndarray:
    """Angles between target and pointings, in deg."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    if not rows:
        return np.zeros(0)
    pointings = SkyCoord(
        [float(row["obs__ra_deg"]) for row in rows] * u.deg,
        [float(row["obs__dec_deg"]) for row in rows] * u.deg,
        frame="icrs",
    )
    return sky_position(target).icrs.separation(pointings).deg


def sky_position(position: Position):
    """Return a position as `~astropy.coordinates.SkyCoord`."""
    from astropy.coordinates import SkyCoord

    return SkyCoord(position.lon, position.lat, frame=position.frame)


def _refused(row: dict, offset: float, wanted) -> str | None:
    largest = wanted.offset_max.to_value("deg")
    if not offset <= largest:
        return f"pointed {offset:.2f} deg from the target, more than {largest:g} deg"
    zenith = row.get("obs__zenith_deg")
    if zenith is not None and zenith > wanted.zenith_max.to_value("deg"):
        return f"zenith angle {zenith:.1f} deg, more than {wanted.zenith_max:g}"
    livetime = row.get("obs__livetime_s", row.get("obs__ontime_s", math.inf))
    if livetime < wanted.livetime_min.to_value("s"):
        return f"livetime {livetime:.0f} s, less than {wanted.livetime_min:g}"
    start, end = str(row.get("obs__start", "")), str(row.get("obs__end", ""))
    if wanted.start and start < wanted.start:
        return f"started {start or 'at an unknown time'}, before {wanted.start}"
    if wanted.end and (not end or end > wanted.end):
        return f"ended {end or 'at an unknown time'}, after {wanted.end}"
    return None
