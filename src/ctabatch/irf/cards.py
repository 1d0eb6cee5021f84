"""Run cards of the open simulator: one for each sample of a production."""

from ctabatch.config.irf import Systematic
from ctabatch.irf.resolve import ResolvedRequest
from ctabatch.simulation.card import RunCard


def sample_name(variant: str, particle: str, sample: str) -> str:
    """Name of a sample, unique in a production: ``nominal_gamma_train``."""
    return f"{variant}_{particle}_{sample}"


def make_card(
    resolved: ResolvedRequest,
    variant: Systematic | None,
    particle: str,
    sample: str,
    showers_per_run: int,
) -> RunCard:
    """Make the run card of one sample.

    Parameters
    ----------
    resolved : ResolvedRequest
        The request.
    variant : Systematic or None
        The variation; None for the nominal production.
    particle, sample : str
        Primary, and ``train``, ``cuts`` or ``irf``.
    showers_per_run : int
        Showers of one run.
    """
    request, conditions = resolved.request, resolved.conditions
    thrown = getattr(resolved.config.simulation.particles, particle)
    factor = {"optical_throughput": 1.0, "energy_scale": 1.0, "nsb": 1.0}
    atmosphere = conditions.atmosphere
    if variant is not None and variant.kind == "atmosphere":
        atmosphere = variant.atmosphere
    elif variant is not None:
        factor[variant.kind] = 1 + variant.change.to_value("")
    return RunCard(
        sample=sample_name(variant.name if variant else "nominal", particle, sample),
        particle=particle,
        energy_min=thrown.energy_min,
        energy_max=thrown.energy_max,
        spectral_index=thrown.spectral_index,
        view_cone=thrown.view_cone,
        scatter_radius=thrown.scatter_radius,
        showers_per_run=showers_per_run,
        zenith=request.pointing.zenith,
        azimuth=request.pointing.azimuth,
        site=resolved.layout.site,
        telescopes=resolved.layout.telescopes,
        atmosphere=resolved.atmospheres[atmosphere],
        nsb=conditions.nsb[request.nsb] * factor["nsb"],
        optical_throughput=factor["optical_throughput"],
        type_throughput=type_throughput(conditions, resolved.layout),
        energy_scale=factor["energy_scale"],
    )


def type_throughput(conditions, layout) -> dict[str, float]:
    """Light that reaches the photon counters by telescope type of a layout, from the conditions."""
    return {
        telescope.type: conditions.optical_throughput.get(telescope.type.partition("-")[0], 1.0)
        for telescope in layout.telescopes
    }
