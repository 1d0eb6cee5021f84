"""The plan of a reprocessing: what will be done and what it costs, before anything is staged.

``plan.json`` alone decides the shape of the workflow, so that workers need no data lake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import batched
from pathlib import Path
from typing import Any

from ctabatch import __version__
from ctabatch.compute.resource import Need
from ctabatch.compute.search import find_resources
from ctabatch.config.base import canonical
from ctabatch.config.model import Configuration
from ctabatch.config.reprocessing import ReprocessingRequest
from ctabatch.errors import InputError, LimitError
from ctabatch.files import write_json
from ctabatch.identity import digest
from ctabatch.irf.lookup import VALID
from ctabatch.irf.matching import Conditions, find_irfs, find_models, match_irf
from ctabatch.irf.resolve import pipeline_digest, read_pipeline
from ctabatch.lake.base import DataLake
from ctabatch.lake.frame import frame_records
from ctabatch.lake.open import open_lake
from ctabatch.plans import claim_folder, head, passed_limit
from ctabatch.reprocessing.cost import estimate
from ctabatch.reprocessing.selection import Selected, select
from ctabatch.reprocessing.waves import (
    check_names,
    fill_waves,
    needs_staging,
    room_for_staging,
)

#: Format of the identity of DL3 products.
CANONICAL_FORMAT = 1

#: What one job needs at most: memory in bytes and time in s, as in ``rules/reprocessing.smk``.
LARGEST_JOB = {"memory": 3_000_000_000, "walltime": 8 * 3600}

_DIGESTS_A_QUERY = 100


def make_plan(config: Configuration, where: str = "configuration") -> dict[str, Any]:
    """Plan a reprocessing: select, match, look for what exists, fill waves, estimate the cost.

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
        Nothing is selected, or an observation lacks files, metadata, an IRF or models.
    ctabatch.errors.LimitError
        A file does not fit on the staging disk, or a limit of the configuration is passed.
    """
    request = config.section("reprocessing", where)
    lake = open_lake(config.lake)
    software = {"ctabatch": __version__, "ctapipe": version("ctapipe")}
    pipeline = read_pipeline(config, where)
    sources = _Sources(lake, request, pipeline_digest(pipeline), software["ctapipe"])
    observations, skipped = {}, []
    for item in select(lake, request, where):
        try:
            if item.problem:
                raise InputError(item.problem)
            observations[item.key] = _observation(item, sources, pipeline, software)
        except InputError as error:
            skipped.append({"obs_id": item.obs_id, "reason": str(error)})
    if skipped and (request.incomplete == "stop" or not observations):
        more = f" (and {len(skipped) - 1} more observations)" if len(skipped) > 1 else ""
        raise InputError(
            f"{skipped[0]['reason']}{more}",
            f"{where}: reprocessing",
            "observations that are complete; or incomplete: skip, to leave these out"
            if observations
            else None,
        )
    existing, revisions = _existing(lake, observations)
    for item in observations.values():
        item["revision"] = 1 + revisions.get(item["request_digest"], 0)
        item["existing"] = existing.get(item["request_digest"])
    todo = {key: item for key, item in observations.items() if not item["existing"]}
    identity = digest(sorted(item["request_digest"] for item in observations.values()))
    plan = {
        **head(request, identity, software),
        "action": "process" if todo else "nothing",
        "skipped": skipped,
        "observations": todo,
        "existing": {key: item for key, item in observations.items() if item["existing"]},
        "irfs": {key: sources.used[key] for key in sorted({item["irf"] for item in todo.values()})},
    }
    return plan | _production(config, lake, request, plan, where)


class _Sources:
    """IRFs and models of the lake; each is looked for once."""

    def __init__(self, lake, request, configuration, ctapipe):
        self.lake, self.request = lake, request
        self.configuration, self.ctapipe = configuration, ctapipe
        self.rows = find_irfs(lake)
        self.used: dict[str, dict] = {}

    def match(self, conditions: Conditions):
        """Return key and match of the IRF for an observation; notes its models."""
        found = match_irf(
            self.rows,
            conditions,
            self.request.matching,
            software={"ctapipe": self.ctapipe},
            configuration=self.configuration,
        )
        key = digest(found.did)[:12]
        if key not in self.used:
            files = {"irf": found.row} | find_models(self.lake, found.row)
            self.used[key] = {
                "request_digest": found.row["irf__request_digest"],
                "conditions": {
                    name: found.row.get(name)
                    for name in ("irf__zenith_deg", "irf__azimuth_deg", "irf__nsb")
                },
                "simulator": found.row.get("irf__simulator"),
                "files": {
                    name: {
                        key: row.get(key)
                        for key in ("did", "bytes", "adler32", "instance__id", "models__sha256")
                    }
                    for name, row in files.items()
                },
            }
        return key, found


def _observation(
    item: Selected, sources: _Sources, pipeline: Mapping, software: Mapping[str, str]
) -> dict[str, Any]:
    conditions = Conditions.of_observation(item.metadata, f"observation {item.obs_id}")
    irf, match = sources.match(conditions)
    chunks = [
        {
            "key": f"{item.key}-{row['obs__chunk']:04d}",
            "did": row["did"],
            "name": row["did"].rpartition("/")[2],
            "bytes": int(row["bytes"]),
            "adler32": row["adler32"],
            "metadata": {k: v for k, v in row.items() if k not in ("did", "bytes", "adler32")},
        }
        for row in item.chunks
    ]
    identity = {
        "format": CANONICAL_FORMAT,
        "dl0": sorted([chunk["did"], chunk["bytes"], chunk["adler32"]] for chunk in chunks),
        "irf": {
            name: [file["did"], file["bytes"], file["adler32"]]
            for name, file in sources.used[irf]["files"].items()
        },
        "pipeline": canonical({name: pipeline[name] for name in ("process", "irf")}),
        "software": dict(software),
    }
    identity["irf"] = {key: [str(part) for part in value] for key, value in identity["irf"].items()}
    return {
        "obs_id": item.obs_id,
        "request_digest": digest(identity),
        "irf": irf,
        "match": {"distance": match.distance, **match.differences},
        "conditions": asdict(conditions),
        "bytes": sum(chunk["bytes"] for chunk in chunks),
        "chunks": chunks,
    }


def _existing(lake: DataLake, observations: Mapping) -> tuple[dict[str, str], dict[str, int]]:
    """DL3 in the lake of the same digests: valid ones, and how many there are that are not."""
    valid, revisions = {}, {}
    digests = [item["request_digest"] for item in observations.values()]
    for some in batched(digests, _DIGESTS_A_QUERY):
        wanted = " or ".join(f"dl3__request_digest = '{item}'" for item in some)
        for row in frame_records(lake.search(f"data__level = DL3 and ({wanted})")):
            identity = row["dl3__request_digest"]
            revisions[identity] = revisions.get(identity, 0) + 1
            if row.get("dl3__status") == VALID:
                valid[identity] = row["did"]
    return valid, revisions


def _production(
    config: Configuration,
    lake: DataLake,
    request: ReprocessingRequest,
    plan: Mapping[str, Any],
    where: str,
) -> dict[str, Any]:
    rse = request.staging.rse or config.lake.staging_rse
    limits = room_for_staging(lake, rse, request.staging)
    observations = list(plan["observations"].values())
    chunks = [chunk for item in observations for chunk in item["chunks"]]
    check_names(chunks)
    replicas: dict[str, list] = {chunk["did"]: [] for chunk in chunks}
    for replica in lake.replicas(list(replicas)):
        replicas[replica.did].append(replica)
    lost = [did for did, copies in replicas.items() if not copies]
    if lost:
        raise InputError(f"{lost[0]} has no copy anywhere", f"{where}: reprocessing")
    for chunk in chunks:
        chunk["stage"], chunk["room"] = needs_staging(replicas[chunk["did"]], rse)
    waves = fill_waves(chunks, limits, rse)
    staging = request.staging
    lifetime = staging.lifetime.to_value("s")
    cost = estimate(observations, waves)
    content = {
        "staging": {
            "rse": rse,
            "lifetime_s": lifetime,
            "timeout_s": lifetime if staging.timeout is None else staging.timeout.to_value("s"),
            "bytes": sum(wave["bytes"] for wave in waves),
            **limits,
        },
        "waves": waves,
        "volume": {"files": len(chunks), "bytes": sum(chunk["bytes"] for chunk in chunks)},
        "cost": cost,
    }
    if not observations:
        return content | {"resources": []}
    _check_limits(config, cost, where)
    need = Need(storage=cost["storage_bytes"], **LARGEST_JOB)
    return content | {"resources": [item.record() for item in find_resources(config, need)]}


def _check_limits(config: Configuration, cost: Mapping[str, Any], where: str) -> None:
    passed = passed_limit(config.limits, cost)
    if passed is not None:
        key, value, limit, unit = passed
        raise LimitError(
            f"{where}: reprocessing: the request needs {value:,.4g} {unit}; the limit "
            f"limits.{key} is {limit:,.4g}",
            f"select about {limit / value:.0%} of the observations, or raise the limit",
        )


def write_plan(plan: dict, path: Path) -> None:
    """Write ``plan.json``.

    Raises
    ------
    ctabatch.errors.InputError
        The folder holds results of a request with the same name and another selection.
    """
    path = Path(path)
    selection = {key: plan["request"][key] for key in ("observations", "period", "query")}
    claim_folder(path, plan, "reprocessing.name", {"selection": selection})
    write_json(path, plan)


def chunk_of(plan: Mapping[str, Any], **wanted: Any) -> dict[str, Any]:
    """Find a chunk of a plan by a key, such as ``name``."""
    ((key, value),) = wanted.items()
    for item in plan["observations"].values():
        for chunk in item["chunks"]:
            if chunk[key] == value:
                return chunk
    raise InputError(f"the plan has no DL0 file with {key} {value!r}")


def observation_of(plan: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Find an observation of a plan by its key, such as ``ob0000000042``."""
    try:
        return plan["observations"][key]
    except KeyError:
        raise InputError(
            f"the plan has no observation {key!r}", allowed=_some(plan["observations"])
        ) from None


def wave_of(plan: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Find a wave of a plan; waves count from 1."""
    if not 1 <= number <= len(plan["waves"]):
        raise InputError(f"the plan has no wave {number}", allowed=f"1 to {len(plan['waves'])}")
    return plan["waves"][number - 1]


def _some(names: Sequence[str] | Mapping) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (" ..." if len(listed) > 5 else "") or "none"
