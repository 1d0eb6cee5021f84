"""Select DL0 files in the data lake, and check that each observation has what is needed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import batched
from typing import Any

from ctabatch.config.irf import parse_interval
from ctabatch.config.reprocessing import ReprocessingRequest
from ctabatch.dl3.observation import combine
from ctabatch.errors import InputError
from ctabatch.lake.base import DataLake
from ctabatch.lake.frame import frame_records

#: Observation ids in one query.
_IDS_A_QUERY = 100

#: Keys that every DL0 file must have.
NEEDED_KEYS = (
    "instance__obs_id", "instance__site_id", "obs__subarray", "obs__chunk", "obs__chunks",
    "obs__start", "obs__end", "obs__object", "obs__ra_deg", "obs__dec_deg", "obs__zenith_deg",
    "obs__azimuth_deg", "obs__nsb", "obs__ontime_s", "obs__livetime_s",
)  # fmt: skip

#: What DL0 files of observations have in common.
_DL0 = "data__level = DL0 and data__division = Event"


@dataclass(frozen=True)
class Selected:
    """An observation of a request.

    Parameters
    ----------
    obs_id : int
        Its id; None for files without one.
    chunks : tuple of dict
        Metadata of its DL0 files with ``did``, ``bytes`` and ``adler32``, by number of the chunk.
    metadata : dict
        Flat metadata of the whole observation; empty if there is a problem.
    problem : str, optional
        Why it can't be processed.
    """

    obs_id: int | None
    chunks: tuple[dict[str, Any], ...]
    metadata: dict[str, Any]
    problem: str | None = None

    @property
    def key(self) -> str:
        """Name of the observation in file names."""
        return f"ob{self.obs_id:010d}"


def select(lake: DataLake, request: ReprocessingRequest, where: str) -> list[Selected]:
    """Find the observations of a request with all their DL0 files.

    A file that matches selects its whole observation.

    Parameters
    ----------
    lake : DataLake
        Where to look.
    request : ctabatch.config.reprocessing.ReprocessingRequest
        What is wanted.
    where : str
        Name of the configuration file, for messages.

    Returns
    -------
    list of Selected
        By observation id.

    Raises
    ------
    ctabatch.errors.InputError
        Nothing matches, an observation that was asked for has no DL0, or one id stands for
        observations at two sites.
    """
    rows = _matching_rows(lake, request)
    if not rows:
        raise InputError(
            f"no DL0 file of the data lake matches {_describe(request)}", f"{where}: reprocessing"
        )
    anonymous = [row for row in rows if not isinstance(row.get("instance__obs_id"), int)]
    ids = sorted({row["instance__obs_id"] for row in rows} if not anonymous else set())
    if anonymous:
        raise InputError(
            f"{anonymous[0]['did']} has no instance__obs_id, or one that is not a whole number",
            f"{where}: reprocessing",
        )
    missing = sorted(set(request.observations) - set(ids))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(
            f"the data lake has no DL0 of observation {', '.join(map(str, missing[:3]))}{more} "
            f"that matches {_describe(request)}",
            f"{where}: reprocessing.observations",
        )
    if request.query is not None or request.period is not None:
        rows = _rows_of(lake, ids)
    groups = defaultdict(list)
    for row in rows:
        groups[row["instance__obs_id"]].append(row)
    for obs_id, chunks in groups.items():
        sites = sorted({str(row.get("instance__site_id")) for row in chunks})
        if len(sites) > 1:
            raise InputError(
                f"observation {obs_id} exists at {' and '.join(sites)}",
                f"{where}: reprocessing.query",
                f"a query that names one, such as instance__site_id = {sites[0]}",
            )
    return [_check(obs_id, groups[obs_id]) for obs_id in ids]


def _matching_rows(lake: DataLake, request: ReprocessingRequest) -> list[dict[str, Any]]:
    conditions = [_DL0]
    if request.query is not None:
        conditions.append(f"({request.query})")
    if request.period is not None:
        start, end = parse_interval(request.period)
        conditions.append(f"obs__start >= {start:%FT%T} and obs__start < {end:%FT%T}")
    common = " and ".join(conditions)
    if not request.observations:
        return frame_records(lake.search(common))
    return _rows_of(lake, request.observations, common)


def _rows_of(lake: DataLake, ids: Iterable[int], common: str = _DL0) -> list[dict[str, Any]]:
    rows = []
    for some in batched(ids, _IDS_A_QUERY):
        wanted = " or ".join(f"instance__obs_id = {obs_id}" for obs_id in some)
        rows += frame_records(lake.search(f"{common} and ({wanted})"))
    return rows


def _check(obs_id: int, rows: list[dict[str, Any]]) -> Selected:
    try:
        chunks = _complete(rows)
        return Selected(obs_id, chunks, combine(chunks, f"observation {obs_id}"))
    except InputError as error:
        return Selected(obs_id, tuple(rows), {}, str(error))


def _complete(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Check that all chunks are there once, with the metadata needed; returns them in order."""
    label = f"observation {rows[0]['instance__obs_id']}"
    for row in rows:
        absent = [key for key in NEEDED_KEYS if key not in row]
        if absent:
            raise InputError(f"{label}: {row['did']} lacks the metadata {', '.join(absent)}")
    expected = {row["obs__chunks"] for row in rows}
    if len(expected) > 1:
        raise InputError(f"{label}: its files disagree about obs__chunks: {sorted(expected)}")
    numbers: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        other = numbers.setdefault(row["obs__chunk"], row)
        if other is not row:
            raise InputError(
                f"{label}: chunk {row['obs__chunk']} is {other['did']} and {row['did']}"
            )
    count = expected.pop()
    first = min(numbers)
    if first not in (0, 1):
        first = 1
    absent = [number for number in range(first, first + count) if number not in numbers]
    if absent or len(numbers) != count:
        raise InputError(
            f"{label}: {len(numbers)} of its {count} DL0 files are in the data lake"
            + (f", chunk {', '.join(map(str, absent[:5]))} is absent" if absent else "")
        )
    return tuple(dict(numbers[number]) for number in sorted(numbers))


def _describe(request: ReprocessingRequest) -> str:
    parts = []
    if request.observations:
        parts.append(f"{len(request.observations)} observation ids")
    if request.period:
        parts.append(f"period {request.period}")
    if request.query:
        parts.append(f"query {request.query!r}")
    return " and ".join(parts)
