"""Find the IRF that fits an observation, and the models that belong to it, by metadata.

Of the valid IRFs of the same site and subarray the nearest is taken: that with the smallest sum of
squares of the distances in zenith, azimuth and NSB, each in units of its largest allowed value (for
the NSB: the logarithms of ratios). Where several are equally near, the one created last is taken,
and of those created at the same time the one whose DID comes last.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ctabatch.config.matching import MatchingSettings
from ctabatch.errors import InputError
from ctabatch.irf.lookup import VALID
from ctabatch.lake.base import DataLake
from ctabatch.lake.frame import frame_records

#: Values of the metadata key ``models__kind``.
MODEL_KINDS = ("energy", "classifier", "cuts")

#: Most IRFs that a message lists.
_LISTED = 5

#: Distances that differ by less are equal.
_EQUAL = 1e-6


@dataclass(frozen=True)
class Conditions:
    """What an observation needs of an IRF."""

    label: str  #: for messages, such as ``observation 42``
    site: str
    subarray: str
    zenith: float  #: mean zenith angle in deg
    azimuth: float  #: mean azimuth in deg, from north through east
    nsb: float | str  #: factor on the dark night sky, or the name of a level

    @classmethod
    def of_observation(cls, metadata: Mapping[str, Any], label: str | None = None) -> "Conditions":
        """Read them from the metadata of an observation.

        Raises
        ------
        ctabatch.errors.InputError
            A key is missing, or is not a number where there must be one.
        """
        label = label or f"observation {metadata.get('instance__obs_id', '(no obs_id)')}"

        def value(key, kind):
            if key not in metadata:
                raise InputError(f"{label} has no metadata key {key}", allowed="needed for its IRF")
            try:
                return kind(metadata[key])
            except (TypeError, ValueError):
                raise InputError(
                    f"{label} has the metadata {key} = {metadata[key]!r}", allowed="a number"
                ) from None

        return cls(
            label=label,
            site=value("instance__site_id", str),
            subarray=value("obs__subarray", str),
            zenith=value("obs__zenith_deg", float),
            azimuth=value("obs__azimuth_deg", float),
            nsb=_nsb(value("obs__nsb", str)),
        )


@dataclass(frozen=True)
class Match:
    """An IRF that fits."""

    did: str
    distance: float  #: 0 for the same conditions; the limits are at 1 each
    differences: dict[str, float]  #: ``zenith_deg``, ``azimuth_deg``, ``nsb_ratio``
    row: dict[str, Any]  #: metadata of the IRF


@dataclass(frozen=True)
class _Candidate:
    row: dict[str, Any]
    distance: float
    differences: dict[str, float]
    reasons: tuple[str, ...]  #: why it does not fit


def find_irfs(lake: DataLake, *, variant: str = "nominal") -> list[dict[str, Any]]:
    """Ask the lake for all valid IRFs of a variant: rows for `match_irf`."""
    return frame_records(
        lake.search(
            f"data__type = GridIRF and irf__status = {VALID} and irf__variant = '{variant}'"
        )
    )


def match_irf(
    rows: Iterable[Mapping[str, Any]],
    wanted: Conditions,
    settings: MatchingSettings,
    *,
    software: Mapping[str, str] | None = None,
    configuration: str | None = None,
) -> Match:
    """Take the nearest of the IRFs that fit.

    Parameters
    ----------
    rows : iterable of mapping
        Metadata of valid IRFs with their ``did``, see `find_irfs`.
    wanted : Conditions
        Of the observation.
    settings : ctabatch.config.matching.MatchingSettings
        Largest distances.
    software : mapping, optional
        Name of a program -> version that the IRF must have been made with, for instance because
        its models are to be used by that program.
    configuration : str, optional
        Digest of the ctapipe configurations that it must have been made with (`pipeline_digest` of
        `ctabatch.irf.resolve`), because data are to be processed with the same.

    Returns
    -------
    Match

    Raises
    ------
    ctabatch.errors.InputError
        None fits; lists the nearest with what is wrong with each, and how far they are.
    """
    candidates = [_compare(dict(row), wanted, settings, software or {}) for row in rows]
    if configuration is not None:
        candidates = [_with_configuration(item, configuration) for item in candidates]
    fitting = [item for item in candidates if not item.reasons]
    if not fitting:
        raise InputError(_describe_failure(candidates, wanted))
    nearest = min(item.distance for item in fitting)
    best = max(
        (item for item in fitting if item.distance - nearest <= _EQUAL),
        key=lambda item: (str(item.row.get("creation_time", "")), item.row["did"]),
    )
    return Match(best.row["did"], best.distance, best.differences, best.row)


def find_models(lake: DataLake, irf: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Find the models that an IRF was made with.

    Parameters
    ----------
    lake : DataLake
        Where to look.
    irf : mapping
        Metadata of the IRF, as in `Match.row`.

    Returns
    -------
    dict
        Kind (`MODEL_KINDS`) -> metadata with ``did``, ``bytes`` and ``adler32``.

    Raises
    ------
    ctabatch.errors.InputError
        Not all of them are in the lake.
    """
    rows = frame_records(
        lake.search(
            f"irf__request_digest = '{irf['irf__request_digest']}' and data__type = RecoModel "
            f"and irf__status = {VALID} and curation__release = '{irf['curation__release']}'"
        )
    )
    found = {row["models__kind"]: row for row in rows if row.get("models__kind") in MODEL_KINDS}
    missing = [kind for kind in MODEL_KINDS if kind not in found]
    if missing:
        raise InputError(
            f"the data lake has no valid model {' and '.join(missing)} of the IRF {irf['did']}",
            allowed="IRFs whose models were ingested with them; make this IRF again",
        )
    return {kind: found[kind] for kind in MODEL_KINDS}


def _nsb(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _compare(
    row: dict[str, Any],
    wanted: Conditions,
    settings: MatchingSettings,
    software: Mapping[str, str],
) -> _Candidate:
    reasons = []
    for key, have, need in (
        ("site", row.get("instance__site_id"), wanted.site),
        ("subarray", row.get("irf__subarray"), wanted.subarray),
        ("simulator", row.get("irf__simulator"), settings.simulator),
        *((name, row.get(f"software__{name}"), version) for name, version in software.items()),
    ):
        if need is not None and have != need:
            reasons.append(f"{key} {have}, not {need}")
    limits = {
        "zenith": settings.zenith.to_value("deg"),
        "azimuth": settings.azimuth.to_value("deg"),
    }
    zenith = abs(float(row.get("irf__zenith_deg", math.inf)) - wanted.zenith)
    azimuth = _azimuth_difference(row, wanted, limits["zenith"])
    ratio, nsb_limit = _nsb_ratio(row, wanted.nsb), settings.nsb
    for name, value in (("zenith", zenith), ("azimuth", azimuth)):
        if value > limits[name] + _EQUAL:
            reasons.append(f"{name} {value:.4g} deg away, limit {limits[name]:g} deg")
    if ratio > nsb_limit * (1 + _EQUAL):
        reasons.append(
            f"NSB {row.get('irf__nsb')} differs by a factor {ratio:.3g}, limit {nsb_limit:g}"
            if math.isfinite(ratio)
            else f"NSB {row.get('irf__nsb')}, not {wanted.nsb}"
        )
    terms = [
        _share(zenith, limits["zenith"]),
        _share(azimuth, limits["azimuth"]),
        _share(math.log(ratio), math.log(nsb_limit)),
    ]
    differences = {"zenith_deg": zenith, "azimuth_deg": azimuth, "nsb_ratio": ratio}
    return _Candidate(row, math.hypot(*terms), differences, tuple(reasons))


def _with_configuration(item: _Candidate, configuration: str) -> _Candidate:
    if item.row.get("activity__configuration_id") == configuration:
        return item
    reason = "made with other ctapipe configurations than section pipeline names"
    return replace(item, reasons=(*item.reasons, reason))


def _share(value: float, limit: float) -> float:
    if value <= _EQUAL:
        return 0.0
    return value / limit if limit > 0 else math.inf


def _azimuth_difference(row: Mapping[str, Any], wanted: Conditions, near_zenith: float) -> float:
    zenith = float(row.get("irf__zenith_deg", math.inf))
    if zenith <= near_zenith and wanted.zenith <= near_zenith:
        return 0.0
    azimuth = float(row.get("irf__azimuth_deg", math.inf))
    if not math.isfinite(azimuth):
        return math.inf
    return abs((azimuth - wanted.azimuth + 180) % 360 - 180)


def _nsb_ratio(row: Mapping[str, Any], wanted: float | str) -> float:
    """Ratio of the factors, at least 1; of names: 1 for the same, infinite for another."""
    if isinstance(wanted, str):
        return 1.0 if row.get("irf__nsb") == wanted else math.inf
    factor = row.get("simulation__node__nsb_factor")
    if factor is None or float(factor) <= 0 or wanted <= 0:
        return 1.0 if factor is not None and float(factor) == wanted else math.inf
    return max(float(factor) / wanted, wanted / float(factor))


def _describe_failure(candidates: Sequence[_Candidate], wanted: Conditions) -> str:
    nsb = wanted.nsb if isinstance(wanted.nsb, str) else f"{wanted.nsb:g}"
    text = (
        f"no valid IRF in the data lake fits {wanted.label} ({wanted.site}, subarray "
        f"{wanted.subarray}, zenith {wanted.zenith:.4g} deg, azimuth {wanted.azimuth:.4g} deg, "
        f"NSB {nsb})"
    )
    if not candidates:
        return f"{text}: there is none at all"
    candidates = sorted(candidates, key=lambda item: (len(item.reasons), item.distance))
    listed = "; ".join(
        f"{item.row['did'].rpartition('/')[2]}: {', '.join(item.reasons)}"
        for item in candidates[:_LISTED]
    )
    more = len(candidates) - _LISTED
    return f"{text}: {listed}" + (f"; and {more} more" if more > 0 else "")
