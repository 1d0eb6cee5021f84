"""From the wanted precision to numbers of showers and runs."""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from ctabatch.config.irf import Systematic
from ctabatch.config.simulation import PARTICLES, Throwing
from ctabatch.errors import BatchError
from ctabatch.irf.reference import EfficiencyTable
from ctabatch.irf.resolve import ResolvedRequest
from ctabatch.irf.statistics import (
    energy_fraction,
    offset_fraction,
    relative_uncertainty,
    showers_for_effective_area,
)

#: Cut optimisers of ctapipe that look at gammas alone.
_GAMMA_ONLY = ("PercentileCuts",)


@dataclass(frozen=True)
class Need:
    """Showers that one particle needs in the IRF sample, and the bin that decides."""

    showers: int
    reason: str
    efficiency: float  #: selected over thrown showers in the deciding bin


def energy_edges(request) -> np.ndarray:
    """Edges in TeV of the energy bins, as `ctapipe.irf.binning.make_bins_per_decade` makes them."""
    bins = request.binning
    low, high = bins.energy_min.to_value("TeV"), bins.energy_max.to_value("TeV")
    # ctapipe rounds up; the margin keeps a whole number of bins whole
    count = math.ceil(math.log10(high / low) * bins.bins_per_decade - 1e-9)
    return np.geomspace(low, high, count + 1)


def showers_needed(resolved: ResolvedRequest) -> dict[str, dict[str, Need]]:
    """Estimate the showers of the IRF sample of each variant and particle.

    Gammas: every energy bin of the precision range, in each offset ring up to ``offset_max``, is to
    reach the wanted uncertainty of the effective area. Protons and electrons: the events selected in
    each decade of the range are to give the wanted uncertainty of the background rate, ``1/sqrt(n)``;
    electrons add to a background dominated by protons, so that a tenth of their number will do.
    Variations have efficiencies of their own, see `variant_efficiency`.

    Returns
    -------
    dict
        Variant -> particle -> `Need`.

    Raises
    ------
    ctabatch.errors.BatchError
        A bin of the range has no efficiency, so that no number of events would do.
    """
    request, thrown = resolved.request, resolved.config.simulation.particles
    wanted = request.precision.background
    needs = {}
    for variant in resolved.variants:
        table = variant_efficiency(resolved.efficiency, variant)
        estimates = {
            "gamma": _gammas(request, table, thrown.gamma),
            "proton": _background(request, table, "proton", thrown.proton, wanted),
            "electron": _background(
                request, table, "electron", thrown.electron, wanted * math.sqrt(10)
            ),
        }
        if variant and _light(variant) < 1:
            # a noisy table must not make a dimmer world look easier
            nominal = needs["nominal"]
            estimates = {
                particle: max(need, nominal[particle], key=lambda item: item.showers)
                for particle, need in estimates.items()
            }
        needs[variant_name(variant)] = estimates
    return needs


def variant_name(variant: Systematic | None) -> str:
    """Name of a variant in plans and files."""
    return variant.name if variant else "nominal"


def variant_efficiency(table: EfficiencyTable, variant: Systematic | None) -> EfficiencyTable:
    """Efficiencies of a variation: with less light the same efficiency is reached at higher energy.

    Light is taken to be proportional to energy. Other night skies and atmospheres are not
    estimated: they keep the nominal efficiencies, and the check of the reached precision decides.
    """
    light = _light(variant) if variant else 1.0
    if light == 1:
        return table
    return replace(table, source=f"{table.source}, light x {light:g}", energy=table.energy / light)


def _light(variant: Systematic) -> float:
    """Light of a variation relative to the nominal one."""
    if variant.kind not in ("optical_throughput", "energy_scale"):
        return 1.0
    return 1 + variant.change.to_value("")


def _range_edges(request) -> np.ndarray:
    edges = energy_edges(request)
    low = request.precision.energy_min.to_value("TeV") * (1 - 1e-6)
    high = request.precision.energy_max.to_value("TeV") * (1 + 1e-6)
    inside = edges[(edges >= low) & (edges <= high)]
    if len(inside) < 2:
        raise BatchError(
            "irf.precision: no whole energy bin lies between "
            f"{request.precision.energy_min:g} and {request.precision.energy_max:g}",
            f"bin edges in TeV: {', '.join(f'{edge:.3g}' for edge in edges)}",
        )
    return inside


def _rings(request) -> np.ndarray:
    """Edges in deg of the offset rings up to ``offset_max``; at least the innermost one."""
    bins = request.binning
    edges = np.linspace(0, bins.offset_max.to_value("deg"), bins.offset_bins + 1)
    count = np.searchsorted(edges, request.precision.offset_max.to_value("deg") * (1 - 1e-6))
    return edges[: max(count, 1) + 1]


def _efficiencies(request, table: EfficiencyTable, particle: str, thrown: Throwing, edges, rings):
    """Efficiency, and shares of energy and offset, shape (rings, energies)."""
    area = math.pi * thrown.scatter_radius.to_value("m") ** 2
    centres = np.sqrt(edges[1:] * edges[:-1])
    efficiency = np.array(
        [
            table.effective_area(particle, centres, 0.5 * (inner + outer)) / area
            for inner, outer in itertools.pairwise(rings)
        ]
    )
    energy_share = energy_fraction(
        edges[:-1],
        edges[1:],
        thrown.energy_min.to_value("TeV"),
        thrown.energy_max.to_value("TeV"),
        thrown.spectral_index,
    )
    offset_share = offset_fraction(
        np.radians(rings[:-1]), np.radians(rings[1:]), thrown.view_cone.to_value("rad")
    )
    return np.minimum(efficiency, 0.99), energy_share[None, :], offset_share[:, None]


def _gammas(request, table, thrown) -> Need:
    edges, rings = _range_edges(request), _rings(request)
    efficiency, energy_share, offset_share = _efficiencies(
        request, table, "gamma", thrown, edges, rings
    )
    showers = showers_for_effective_area(
        efficiency, request.precision.effective_area, energy_share, offset_share
    )
    ring, bin_ = np.unravel_index(np.argmax(showers), showers.shape)
    where = f"{edges[bin_]:.3g}-{edges[bin_ + 1]:.3g} TeV, {rings[ring]:g}-{rings[ring + 1]:g} deg"
    if not np.isfinite(showers[ring, bin_]):
        raise BatchError(
            f"irf.precision: {table.source} has no effective area in the bin {where}",
            "reduce the range of the precision, or name another reference",
        )
    return Need(
        showers=math.ceil(showers[ring, bin_]),
        reason=f"effective area to {request.precision.effective_area:.1%} in {where}",
        efficiency=float(efficiency[ring, bin_]),
    )


def _background(request, table, particle, thrown, precision) -> Need:
    if particle not in table.area:
        raise BatchError(
            f"irf.precision.reference: {table.source} has no effective area of {particle}s after "
            "cuts, so that the background can't be estimated",
            "use 'pilot', or an IRF made by this workflow",
        )
    edges, rings = _range_edges(request), _rings(request)
    efficiency, energy_share, offset_share = _efficiencies(
        request, table, particle, thrown, edges, rings
    )
    selected_share = (efficiency * energy_share * offset_share).sum(axis=0)
    decade = np.floor(np.log10(edges[:-1] / edges[0]) + 1e-9).astype(int)
    # an incomplete last decade counts with the one before it
    if math.log10(edges[-1] / edges[0]) < decade.max() + 1 - 1e-6 and decade.max() > 0:
        decade[decade == decade.max()] -= 1
    shares = np.bincount(decade, selected_share)
    worst = int(np.argmin(shares))
    members = np.flatnonzero(decade == worst)
    where = f"{edges[members[0]]:.3g}-{edges[members[-1] + 1]:.3g} TeV"
    if shares[worst] <= 0:
        raise BatchError(
            f"irf.precision: {table.source} selects no {particle}s at {where}",
            "reduce the range of the precision, or name another reference",
        )
    return Need(
        showers=math.ceil(1 / (precision**2 * shares[worst])),
        reason=f"background of {particle}s to {precision:.0%} at {where}",
        efficiency=float(shares[worst]),
    )


def runs_of(resolved: ResolvedRequest, needs: dict[str, dict[str, Need]]) -> dict[str, dict]:
    """Whole runs of every sample, rounded up.

    Returns
    -------
    dict
        Variant -> particle -> sample -> ``{"runs": n, "showers_per_run": m}``. Variations have the
        IRF sample only: models and cuts are the nominal ones, as they would be for real data.
        Electrons neither train models nor optimise cuts; protons optimise cuts where the optimiser
        looks at the background.
    """
    optimiser = resolved.pipeline["irf"].get("EventSelectionOptimizer", {})
    gamma_only = optimiser.get("optimization_algorithm") in _GAMMA_ONLY
    nominal = {
        "gamma": ("train", "cuts", "irf"),
        "proton": ("train", "irf") if gamma_only else ("train", "cuts", "irf"),
        "electron": ("irf",),
    }
    simulation = resolved.config.simulation
    share = {"irf": 1.0, "train": simulation.samples.train, "cuts": simulation.samples.cuts}
    production = {}
    for variant in resolved.variants:
        samples = {}
        for particle in PARTICLES:
            per_run = getattr(simulation.particles, particle).showers_per_run
            names = nominal[particle] if variant is None else ("irf",)
            need = needs[variant_name(variant)][particle].showers
            samples[particle] = {
                name: {
                    "runs": max(1, math.ceil(need * share[name] / per_run)),
                    "showers_per_run": per_run,
                }
                for name in names
            }
        production[variant_name(variant)] = samples
    return production


def expected_uncertainty(
    resolved: ResolvedRequest, variant: Systematic | None, showers: int
) -> float:
    """Largest relative uncertainty of a variant's effective area expected in the range."""
    request, thrown = resolved.request, resolved.config.simulation.particles.gamma
    efficiency, energy_share, offset_share = _efficiencies(
        request,
        variant_efficiency(resolved.efficiency, variant),
        "gamma",
        thrown,
        _range_edges(request),
        _rings(request),
    )
    return float(relative_uncertainty(efficiency, showers * energy_share * offset_share).max())
