"""Find the observations (DL3) of a project, as far as a person may see them.

The server of the lake decides who reads what. This check comes earlier, so that a person learns
before any staging; it is no protection of its own. It says the same about a project of somebody
else as about one that does not exist.
"""

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from ctabatch.errors import InputError
from ctabatch.iam.errors import NoAccess
from ctabatch.iam.identity import Identity
from ctabatch.lake.base import DataLake
from ctabatch.lake.frame import frame_records

#: Keys that are added to the metadata of what is found.
ACCESS, IRF_STATE = "access", "irf_state"
#: Values of `ACCESS`.
OF_PROJECT, PUBLIC = "project", "public"
#: Values of `IRF_STATE` besides those of ``irf__status``.
NO_IRF, VANISHED = "none", "vanished"
VALID = "valid"

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")


@dataclass(frozen=True)
class Cone:
    """A circle on the sky, ICRS, in deg."""

    ra: float
    dec: float
    radius: float

    @classmethod
    def parse(cls, text: str) -> "Cone":
        """Read ``RA,DEC,RADIUS``: deg, or with units such as ``05h34m32s,22d01m,2deg``.

        Raises
        ------
        ctabatch.errors.InputError
            It is not that.
        """
        from astropy.coordinates import Angle

        try:
            ra, dec, radius = (float(Angle(part.strip(), "deg").deg) for part in text.split(","))
        except (ValueError, TypeError):
            raise InputError(
                f"{text!r} is no cone",
                where="--cone",
                allowed="RA,DEC,RADIUS in deg or with units, such as 83.63,22.01,2",
            ) from None
        if not (-360 <= ra <= 360 and -90 <= dec <= 90 and 0 < radius <= 180):
            raise InputError(
                f"{text!r} is outside the sky",
                where="--cone",
                allowed="DEC from -90 to 90 deg, RADIUS above 0 and up to 180 deg",
            )
        return cls(ra % 360, dec, radius)

    def contains(self, ra, dec):
        """Tell which positions (arrays, deg) lie in the cone; unknown ones (NaN) don't."""
        from astropy.coordinates import angular_separation
        from numpy import radians

        distance = angular_separation(*map(radians, (self.ra, self.dec, ra, dec)))
        return distance <= radians(self.radius)


@dataclass(frozen=True)
class Selection:
    """Which observations of a project are wanted; nothing set means all of them."""

    objects: tuple[str, ...] = ()  #: names, ``*`` stands for any characters
    cone: Cone | None = None  #: around the pointing
    after: datetime | None = None  #: they begin not before, UTC
    before: datetime | None = None  #: they end not after, UTC
    max_zenith: float | None = None  #: deg
    min_livetime: float | None = None  #: s
    valid_irf: bool = False  #: with a valid IRF only
    superseded: bool = False  #: also what was superseded or found invalid


def check_project(project: str) -> str:
    """Refuse what can't be the name of a project."""
    if not _PROJECT.fullmatch(project):
        raise InputError(
            f"{project!r} is no name of a project",
            where="--project",
            allowed="up to 64 letters, digits, '.', '_' and '-'",
        )
    return project


def access(person: Identity, metadata: Mapping[str, Any], today: date | None = None) -> str | None:
    """Tell why a person may read a file.

    Parameters
    ----------
    person : ctabatch.iam.identity.Identity
        Who asks.
    metadata : mapping
        Of the file: ``proposal_id`` and ``release_date``.
    today : datetime.date, optional
        In UTC; now by default.

    Returns
    -------
    str or None
        `OF_PROJECT`, `PUBLIC` (its release date has come), or None: he may not.
    """
    project = metadata.get("proposal_id")
    if project is not None and person.has_project(str(project)):
        return OF_PROJECT
    try:
        released = date.fromisoformat(str(metadata.get("release_date"))[:10])
    except ValueError:
        return None
    return PUBLIC if released <= (today or datetime.now(UTC).date()) else None


def project_observations(
    lake: DataLake,
    person: Identity,
    project: str,
    selection: Selection | None = None,
    query: str = "",
) -> list[dict[str, Any]]:
    """Find the DL3 files of a project that a person may see.

    Parameters
    ----------
    lake : ctabatch.lake.base.DataLake
        Where to look.
    person : ctabatch.iam.identity.Identity
        Who asks.
    project : str
        Value of ``proposal_id``.
    selection : Selection, optional
        Which of them.
    query : str
        Further conditions in the lake's query language.

    Returns
    -------
    list of dict
        Metadata of each, with ``did``, ``bytes``, `ACCESS` and `IRF_STATE`, by time.

    Raises
    ------
    ctabatch.iam.errors.NoAccess
        There is nothing that he may see, for whatever reason.
    """
    check_project(project)
    conditions = f'data__level = DL3 and dl3__status = * and proposal_id = "{project}"'
    found = frame_records(lake.search(conditions))
    allowed = [record | {ACCESS: access(person, record)} for record in found]
    allowed = [record for record in allowed if record[ACCESS]]
    if not allowed:
        raise NoAccess(
            f"there is no data of project {project} that {person} may see",
            "data become public at their release date; if the project is yours, ask its PI for "
            "membership in its group, then log in again",
        )
    if query.strip():
        also = set(lake.search(f"({conditions}) and ({query})", columns=[])["did"])
        allowed = [record for record in allowed if record["did"] in also]
    chosen = _select(allowed, selection or Selection())
    _add_irf_state(lake, chosen)
    if selection and selection.valid_irf:
        chosen = [record for record in chosen if record[IRF_STATE] == VALID]
    return sorted(chosen, key=lambda record: (str(record.get("obs__start", "")), record["did"]))


def _select(records: list[dict[str, Any]], selection: Selection) -> list[dict[str, Any]]:
    kept = [record for record in records if _matches(record, selection)]
    if selection.cone and kept:
        from numpy import array

        position = [
            array([_number(record, key) for record in kept])
            for key in ("obs__ra_deg", "obs__dec_deg")
        ]
        inside = selection.cone.contains(*position)
        kept = [record for record, hit in zip(kept, inside, strict=True) if hit]
    return kept


def _matches(record: Mapping[str, Any], selection: Selection) -> bool:
    """Check all but the cone; an observation without a value that is asked for does not match."""
    if not selection.superseded and record.get("dl3__status") != VALID:
        return False
    name = str(record.get("obs__object", "")).casefold()
    if selection.objects and not any(
        fnmatch.fnmatchcase(name, wanted.casefold().replace("[", "[[]"))
        for wanted in selection.objects
    ):
        return False
    # Written so that NaN, the missing value, is refused.
    if selection.max_zenith is not None and not (
        _number(record, "obs__zenith_deg") <= selection.max_zenith
    ):
        return False
    if selection.min_livetime is not None and not (
        _number(record, "obs__livetime_s") >= selection.min_livetime
    ):
        return False
    start, end = _time(record, "obs__start"), _time(record, "obs__end")
    if selection.after and (start is None or start < selection.after):
        return False
    return not (selection.before and (end is None or end > selection.before))


def _number(record: Mapping[str, Any], key: str) -> float:
    try:
        return float(record.get(key, "nan"))
    except (TypeError, ValueError):
        return float("nan")


def _time(record: Mapping[str, Any], key: str) -> datetime | None:
    try:
        return datetime.fromisoformat(str(record.get(key))).replace(tzinfo=None)
    except ValueError:
        return None


def _add_irf_state(lake: DataLake, records: list[dict[str, Any]]) -> None:
    """Note the state of each observation's IRF: none, vanished, or its ``irf__status``."""
    states = {}
    if any("dl3__irf" in record for record in records):
        frame = lake.search("irf__status = *", columns=["irf__status"])
        states = dict(zip(frame["did"], frame["irf__status"], strict=True))
    for record in records:
        irf = record.get("dl3__irf")
        record[IRF_STATE] = states.get(irf, VANISHED) if irf else NO_IRF
