"""The plan of an IRF request: what will be done and what it costs, before anything is done.

``plan.json`` alone decides the shape of the workflow, so that workers need neither the lake nor the
conditions database.
"""

import json
import math
import os
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from ctabatch import __version__
from ctabatch.compute.resource import Need
from ctabatch.compute.search import find_resources
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError, LimitError
from ctabatch.files import read_json, write_json, write_text
from ctabatch.irf.cards import make_card, sample_name
from ctabatch.irf.cost import estimate
from ctabatch.irf.lookup import find_existing
from ctabatch.irf.naming import product_name
from ctabatch.irf.production import (
    expected_uncertainty,
    runs_of,
    showers_needed,
    variant_name,
)
from ctabatch.irf.resolve import ResolvedRequest, resolve
from ctabatch.lake.open import open_lake
from ctabatch.simulation import DISCLAIMER

#: What the largest single job of a production needs: memory in bytes and time in seconds of training,
#: as in ``rules/irf.smk``.
LARGEST_JOB = {"memory": 4_000_000_000, "walltime": 8 * 3600}

#: Format of ``plan.json``.
PLAN_FORMAT = 1


def make_plan(config: Configuration, where: str = "configuration") -> dict:
    """Plan a request: resolve it, look for existing products, count events, estimate the cost.

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
        The request can't be resolved.
    ctabatch.errors.LimitError
        The production passes a limit of the configuration.
    """
    resolved = resolve(config, where)
    request = resolved.request
    products = {
        name: product_name(request, resolved.types, name)
        for name in ("nominal", *(item.name for item in request.systematics))
    }
    existing = find_existing(open_lake(config.lake), resolved.digest, list(products))
    plan = {
        "format": PLAN_FORMAT,
        "name": request.name,
        "digest": resolved.digest,
        "action": "fetch" if existing.valid else "simulate",
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
        "revision": 1 + existing.revisions,
        "existing": existing.valid,
        "not_used": list(existing.unusable),
        "products": products,
        "simulator": request.model.simulator,
        "disclaimer": DISCLAIMER if request.model.simulator == "openiact" else None,
        "software": {"ctabatch": __version__} | resolved.canonical["versions"],
        "conditions": _conditions(resolved),
        "request": json.loads(request.model_dump_json()),
        "canonical": resolved.canonical,
    }
    if not existing.valid:
        plan |= _production(resolved)
        _check_limits(resolved, plan, where)
    return plan


def write_plan(plan: dict, path: Path) -> None:
    """Write ``plan.json``, and beside it ``binning.yaml`` and the identity in ``request.json``.

    Raises
    ------
    ctabatch.errors.InputError
        The folder holds results of a request with the same name and other content.
    """
    path = Path(path)
    identity = path.with_name("request.json")
    if identity.is_file() and read_json(identity)["digest"] != plan["digest"]:
        raise InputError(
            f"{path.parent} holds results of another request of the name {plan['name']!r} "
            f"(digest {read_json(identity)['digest'][:12]}, this one {plan['digest'][:12]})",
            "irf.name",
            "a name that is not in use, or remove that folder",
        )
    write_json(identity, {"name": plan["name"], "digest": plan["digest"]})
    write_text(path.with_name("binning.yaml"), binning_yaml(plan["request"]))
    write_json(path, plan)


def check_folder(folder: Path) -> None:
    """Make the folder of the results, or say why it can't be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"can't write to {folder}: {error.strerror}", "results", "a folder that can be written"
        ) from None


def _conditions(resolved: ResolvedRequest) -> dict:
    conditions = resolved.conditions
    return {
        "site": conditions.site,
        "start": str(conditions.start),
        "end": str(conditions.end),
        "version": conditions.version,
        "atmosphere": conditions.atmosphere,
        "nsb": conditions.nsb[resolved.request.nsb],
        "optical_throughput": dict(conditions.optical_throughput),
        "telescopes": [telescope.id for telescope in resolved.layout.telescopes],
        "telescopes_unavailable": list(conditions.telescopes_unavailable),
    }


def _production(resolved: ResolvedRequest) -> dict:
    """Numbers of events, runs, run cards and cost."""
    config = resolved.config
    needs = showers_needed(resolved)
    production = runs_of(resolved, needs)
    cards, expected = {}, {}
    for variant in resolved.variants:
        numbers = production[variant_name(variant)]["gamma"]["irf"]
        expected[variant_name(variant)] = expected_uncertainty(
            resolved, variant, numbers["runs"] * numbers["showers_per_run"]
        )
    if resolved.request.model.simulator == "openiact":
        for variant in resolved.variants:
            name = variant_name(variant)
            for particle, samples in production[name].items():
                for sample, numbers in samples.items():
                    card = make_card(
                        resolved, variant, particle, sample, numbers["showers_per_run"]
                    )
                    cards[sample_name(name, particle, sample)] = json.loads(card.model_dump_json())
    cost = estimate(production, config.pipeline.merge_files)
    need = Need(storage=cost["storage_bytes"], **LARGEST_JOB)
    return {
        "statistics": {
            "efficiency_from": resolved.efficiency.source,
            "needs": {
                name: {particle: asdict(need) for particle, need in particles.items()}
                for name, particles in needs.items()
            },
            "wanted_uncertainty": resolved.request.precision.effective_area,
            "expected_uncertainty": expected,
            "method": "binomial, see ctabatch.irf.statistics",
        },
        "production": production,
        "simulation": json.loads(config.simulation.model_dump_json()),
        "merge_files": config.pipeline.merge_files,
        "cost": cost,
        "resources": [item.record() for item in find_resources(config, need)],
        "cards": cards,
    }


def _check_limits(resolved: ResolvedRequest, plan: dict, where: str) -> None:
    """Refuse a production that passes a limit; says which precision would fit."""
    passed = _passed_limit(resolved.config, plan["cost"])
    if passed is None:
        return
    key, value, limit, unit = passed
    wanted, factor = resolved.request.precision, _fitting_factor(resolved)
    hint = "even one run of each sample passes it: raise the limit, or reduce showers_per_run"
    if factor is not None:
        hint = (
            f"would fit: effective_area {wanted.effective_area * factor:.3f} and background "
            f"{wanted.background * factor:.2f}, or raise the limit"
        )
    raise LimitError(
        f"{where}: irf.precision: the request needs {value:,.4g} {unit}; the limit "
        f"limits.{key} is {limit:,.4g}",
        hint,
    )


def _passed_limit(config: Configuration, cost: dict) -> tuple[str, float, float, str] | None:
    """Key, value, limit and unit of the first limit that a cost passes."""
    limits = config.limits
    for key, value, limit, unit in (
        ("cpu_hours", cost["cpu_hours"], limits.cpu_hours, "CPU hours"),
        ("storage", cost["storage_bytes"] / 1e9, limits.storage.to_value("byte") / 1e9, "GB"),
        ("jobs", cost["jobs"], limits.jobs, "jobs"),
        ("showers", cost["showers"], limits.showers, "showers"),
    ):
        if value > limit:
            return key, value, limit, unit
    return None


def _fitting_factor(resolved: ResolvedRequest) -> float | None:
    """Smallest factor on the wanted uncertainties, in steps of 5 %, that keeps all limits."""
    config, needs = resolved.config, showers_needed(resolved)
    factor = 1.0
    most = max(need.showers for particles in needs.values() for need in particles.values())
    while most > factor**2:
        factor *= 1.05
        scaled = {
            name: {
                particle: replace(need, showers=math.ceil(need.showers / factor**2))
                for particle, need in particles.items()
            }
            for name, particles in needs.items()
        }
        cost = estimate(runs_of(resolved, scaled), config.pipeline.merge_files)
        if _passed_limit(config, cost) is None:
            # the text has two or three digits: leave room for what they cut off
            return factor * 1.02
    return None


def binning_yaml(request: dict) -> str:
    """Bins and observation time as ctapipe configuration, given after ``pipeline.irf``."""
    bins = request["binning"]
    energy = {
        f"{kind}_energy_{key}": value
        for kind in ("reco", "true")
        for key, value in (
            ("min", bins["energy_min"]),
            ("max", bins["energy_max"]),
            ("n_bins_per_decade", bins["bins_per_decade"]),
        )
    }
    sections = {
        "EventSelectionOptimizer": {"obs_time": request["observation_time"]},
        "IrfTool": {"obs_time": request["observation_time"]},
        "DefaultRecoEnergyBins": {k: v for k, v in energy.items() if k.startswith("reco")},
        "DefaultTrueEnergyBins": {k: v for k, v in energy.items() if k.startswith("true")},
        "DefaultFoVOffsetBins": {
            "fov_offset_min": "0 deg",
            "fov_offset_max": bins["offset_max"],
            "fov_offset_n_bins": bins["offset_bins"],
        },
    }
    return "# Written by the plan, from irf.binning and irf.observation_time.\n" + yaml.safe_dump(
        sections, sort_keys=False
    )
