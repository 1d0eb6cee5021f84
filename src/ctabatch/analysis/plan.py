"""The plan of an analysis: observations, IRFs, volume, models and cost, before anything is done.

``plan.json`` alone decides the shape of the workflow, so that workers need no lake.
"""

import math
from itertools import pairwise
from pathlib import Path

from ctabatch.analysis.irfs import match_irfs
from ctabatch.analysis.models import check_models
from ctabatch.analysis.select import find_observations, select
from ctabatch.basket.store import lake_name
from ctabatch.compute.resource import Need
from ctabatch.compute.search import find_resources
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.config.base import canonical
from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError, InputError, LimitError
from ctabatch.files import read_json, write_json
from ctabatch.iam.identity import current_identity
from ctabatch.identity import digest
from ctabatch.lake.base import DataLake
from ctabatch.lake.open import open_lake
from ctabatch.plans import claim_folder, head

#: Bytes that a job asks for: one observation in memory at a time.
MEMORY = 1_500_000_000

#: Request fields that do not change the result.
_NOT_IDENTITY = ("name", "data", "group_size", "n_jobs", "save", "download")

#: Metadata of an observation that the plan keeps.
_KEPT = {
    "obs__object": "object",
    "obs__start": "start",
    "obs__end": "end",
    "obs__livetime_s": "livetime_s",
    "obs__ra_deg": "ra_deg",
    "obs__dec_deg": "dec_deg",
    "obs__zenith_deg": "zenith_deg",
    "dl3__events": "events",
    "instance__site_id": "site",
    "instance__id": "id",
    "proposal_id": "project",
    "disclaimer": "disclaimer",
}

#: Measured on the 1DC set, see docs/benchmarks.md: start of a process, CPU seconds and bytes an
#: observation, and for the fit with its products.
_COST = {"start_s": 5.0, "1d_s": 1.0, "3d_s": 2.0, "fit_s": 60.0}


def make_plan(config: Configuration, where: str = "configuration") -> dict:
    """Plan an analysis.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration.
    where : str
        Name of its file, for messages.

    Returns
    -------
    dict
        Content of ``plan.json``.

    Raises
    ------
    ctabatch.errors.InputError
        No request, no observation left, or a mistake in a model file.
    ctabatch.iam.errors.NoAccess
        Nothing of the project is for this person to see.
    ctabatch.errors.BatchError
        An observation can't be used and the request says to stop; all of them are listed.
    """
    request = config.section("analysis", where)
    models = check_models(request)
    lake, person = open_lake(config.lake), current_identity(config)
    found = find_observations(lake, request.data, person, lake_name(config.lake))
    chosen, left_out = select(found.rows, request)
    usable, without_irf = match_irfs(lake, chosen, request.irf_match)
    bad = found.bad + without_irf
    _refuse(request, usable, bad, left_out, where)
    identity = _identity(request, usable, models)
    earlier = lake.search(f"analysis__request_digest = '{digest(identity)}'", columns=[])
    groups = _groups(usable, request.group_size)
    plan = {
        **head(request, digest(identity), _versions()),
        "revision": 1 + _revisions(earlier["did"]),
        "person": str(person),
        "models": models,
        "observations": [
            _observation(row, group) for group, rows in enumerate(groups) for row in rows
        ],
        "groups": len(groups),
        "left_out": left_out,
        "bad": bad,
        "site": _site(request, usable, where),
        "disclaimer": next((row["disclaimer"] for row in usable if row.get("disclaimer")), None),
        "volume": _volume(lake, usable),
    }
    plan["cost"] = _cost(request, plan)
    plan["resources"] = _resources(config, plan)
    _check_limits(config, plan, where)
    return plan


def write_plan(plan: dict, path: Path) -> None:
    """Write ``plan.json``; refuses a folder with results of another request of the same name."""
    path = Path(path)
    claim_folder(
        path,
        plan,
        "analysis.name",
        {"digest": plan["digest"]},
        ", or the observations or models have changed",
    )
    write_json(path, plan)


def read_plan(path: Path) -> tuple[dict, AnalysisRequest]:
    """Read a plan, and the request in it."""
    plan = read_json(path)
    return plan, AnalysisRequest.model_validate(plan["request"])


def observations_of(plan: dict, group: int) -> list[dict]:
    """Observations of a group of a plan.

    Raises
    ------
    ctabatch.errors.InputError
        There is no such group.
    """
    if not 0 <= group < plan["groups"]:
        raise InputError(f"no group {group}", "--group", f"0 to {plan['groups'] - 1}")
    return [item for item in plan["observations"] if item["group"] == group]


def _refuse(request, usable, bad, left_out, where) -> None:
    if bad and request.on_bad_observation == "stop":
        names = "; ".join(f"{item['obs_id'] or item['did']} {item['reason']}" for item in bad[:10])
        more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise BatchError(
            f"{where}: {len(bad)} of the observations can't be used: {names}{more}",
            "take them out of the data, or set analysis.on_bad_observation to skip",
        )
    if not usable:
        reasons = [f"{item['obs_id']}: {item['reason']}" for item in [*bad, *left_out][:5]]
        raise InputError(
            f"no observation is left of {len(bad) + len(left_out)} ({'; '.join(reasons)})",
            f"{where}: analysis.selection",
            "a selection that keeps some",
        )


def _identity(request: AnalysisRequest, rows: list[dict], models: dict) -> dict:
    content = canonical(request)
    for name in _NOT_IDENTITY:
        content.pop(name)
    content["models"]["candidates"] = {name: item["sha256"] for name, item in models.items()}
    content["observations"] = [
        [row["did"], row["bytes"], row["adler32"], row["irf"].get("did")] for row in rows
    ]
    return content | {"versions": _versions()}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"gammapy": version("gammapy")}


def _revisions(dids) -> int:
    """How often the same request was saved: releases differ, files of one are in one."""
    return len({did.split("/DL", 1)[0] for did in dids})


def _groups(rows: list[dict], size: int) -> list[list[dict]]:
    """Split into groups of nearly equal size, in order of time."""
    number = math.ceil(len(rows) / size)
    edges = [round(index * len(rows) / number) for index in range(number + 1)]
    return [rows[low:high] for low, high in pairwise(edges)]


def _observation(row: dict, group: int) -> dict:
    content = {
        "obs_id": int(row["instance__obs_id"]),
        "did": row["did"],
        "file": row["did"].rsplit("/", 1)[1],
        "bytes": int(row["bytes"]),
        "adler32": row["adler32"],
        "offset_deg": row["offset_deg"],
        "group": group,
        "irf": row["irf"],
    }
    return content | {name: row[key] for key, name in _KEPT.items() if row.get(key) is not None}


def _site(request, rows, where) -> str | None:
    sites = sorted({row["instance__site_id"] for row in rows if row.get("instance__site_id")})
    if len(sites) == 1:
        return sites[0]
    if request.save != "download":
        raise InputError(
            f"the observations come from {' and '.join(sites) or 'an unknown site'}; CTAO's names "
            "in the data lake want one site",
            f"{where}: analysis.save",
            "download",
        )
    return None


def _volume(lake: DataLake, rows: list[dict]) -> dict:
    copies: dict[str, set] = {}
    for copy in lake.replicas([row["did"] for row in rows]):
        copies.setdefault(copy.did, set()).add(copy.tier)
    irfs = {row["irf"]["did"] for row in rows if row["irf"]["source"] == "lake"}
    extra = lake.volume(irfs) if irfs else None
    return {
        "files": len(rows) + (extra.files if extra else 0),
        "bytes": int(sum(row["bytes"] for row in rows)) + (extra.bytes if extra else 0),
        "on_tape": sum("DISK" not in copies.get(row["did"], ()) for row in rows),
    }


def _cost(request: AnalysisRequest, plan: dict) -> dict:
    number = len(plan["observations"])
    seconds = plan["groups"] * _COST["start_s"] + number * _COST[f"{request.dimension}_s"]
    seconds += 2 * _COST["start_s"] + _COST["fit_s"] * len(plan["models"])
    return {"jobs": 2 * plan["groups"] + 5, "cpu_hours": seconds / 3600, "estimate": "rough"}


def _resources(config: Configuration, plan: dict) -> list:
    need = Need(cpus=1, memory=MEMORY, storage=2 * plan["volume"]["bytes"])
    return [item.record() for item in find_resources(config, need)]


def _check_limits(config: Configuration, plan: dict, where: str) -> None:
    limit = config.limits.storage.to_value("byte")
    if plan["volume"]["bytes"] > limit:
        raise LimitError(
            f"{where}: the observations have {plan['volume']['bytes'] / 1e9:.3g} GB; the limit "
            f"limits.storage is {limit / 1e9:.3g} GB",
            "select fewer, or raise the limit",
        )
    if plan["cost"]["jobs"] > config.limits.jobs:
        raise LimitError(
            f"{where}: {plan['cost']['jobs']} jobs; the limit limits.jobs is {config.limits.jobs}",
            "raise analysis.group_size or the limit",
        )
