"""The plan of an IRF request: what will be done and what it costs, before anything is done.

``plan.json`` alone decides the shape of the workflow, so that workers need neither the lake nor the
conditions database.
"""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import yaml

from ctabatch.compute.resource import Need
from ctabatch.compute.search import find_resources
from ctabatch.config.model import Configuration
from ctabatch.errors import LimitError
from ctabatch.files import write_json, write_text
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
from ctabatch.plans import claim_folder, head, passed_limit
from ctabatch.simulation import DISCLAIMER

#: What the largest single job of a production needs: memory in bytes and time in seconds of training,
#: as in ``rules/irf_response.smk``.
LARGEST_JOB = {"memory": 4_000_000_000, "walltime": 8 * 3600}


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
        **head(request, resolved.digest, resolved.canonical["versions"]),
        "action": "fetch" if existing.valid else "simulate",
        "revision": 1 + existing.revisions,
        "existing": existing.valid,
        "not_used": list(existing.unusable),
        "products": products,
        "simulator": request.model.simulator,
        "disclaimer": DISCLAIMER if request.model.simulator == "openiact" else None,
        "conditions": _conditions(resolved),
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
    claim_folder(path, plan, "irf.name", {"digest": plan["digest"]})
    write_text(path.with_name("binning.yaml"), binning_yaml(plan["request"]))
    write_json(path, plan)


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
    passed = passed_limit(resolved.config.limits, plan["cost"])
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
        if passed_limit(config.limits, cost) is None:
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
