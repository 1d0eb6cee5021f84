"""Checks that need numbers of the production: counts, thrown area, reached precision."""

import numpy as np

from ctabatch.irf.benchmarks import read_benchmark
from ctabatch.irf.statistics import relative_uncertainty
from ctabatch.irf.validation.coverage import decade_name, decades
from ctabatch.irf.validation.result import Failed, Skipped, fail_in_bins


def counts(subject):
    """Every bin of the wanted range has a minimum of selected gammas."""
    area = subject.component("aeff")
    events = subject.counts
    if events is None:
        raise subject.absent("benchmarks file with numbers of events")
    wanted, minimum = subject.in_range(area), subject.settings.minimum_counts
    few = (events < minimum) & wanted
    fail_in_bins(area, few, f"fewer than {minimum} selected gammas", events, -events)
    lowest = events[wanted].min() if wanted.any() else 0
    return f"at least {lowest:.0f} selected gammas a bin (minimum {minimum})", {
        "lowest": lowest,
        "minimum": minimum,
    }


def thrown_area(subject):
    """Effective areas stay well below the area over which showers were thrown.

    A larger fraction means that showers beyond the edge would have been seen, too: the area is cut
    off. Bins with fewer selected events than ``minimum_counts`` are left out, and so are those whose
    excess is within two standard deviations of counting: a few electrons reach any fraction by chance.
    """
    area = subject.finite_component("aeff")
    limit = subject.settings.thrown_area_fraction
    largest = {}
    for particle, component in {"gamma": area, **subject.irf.other_areas}.items():
        fraction = component.data / subject.thrown_area(particle)
        thrown = subject.thrown_in_bins(particle, component)
        selected = fraction * thrown
        # binomial, for the fraction that is the limit
        chance = np.sqrt(limit * (1 - limit) / np.maximum(thrown, 1e-9))
        bad = (fraction >= limit + 2 * chance) & (selected >= subject.settings.minimum_counts)
        what = f"{component.name} reaches {limit:g} of the thrown area or more"
        fail_in_bins(component, bad, what, fraction, fraction)
        largest[particle] = fraction.max()
    return f"effective area of gammas is at most {largest['gamma']:.2g} of the thrown area", {
        "largest_fraction": largest,
        "limit": limit,
    }


def precision_effective_area(subject):
    """The effective area is as precise as wanted in each bin of the range.

    Binomial: ``sqrt((1 - eps) / (n eps))`` for ``n`` thrown gammas in the bin and
    ``eps = Aeff / (pi R^2)``.
    """
    area = subject.finite_component("aeff")
    allowed = subject.precision.effective_area * subject.settings.precision_margin
    efficiency = area.data / subject.thrown_area("gamma")
    reached = relative_uncertainty(efficiency, subject.thrown_in_bins("gamma", area))
    wanted = subject.in_range(area)
    what = (
        f"effective area is less precise than wanted ({subject.precision.effective_area:.3g}, "
        f"with margin {allowed:.3g})"
    )
    fail_in_bins(area, (reached > allowed) & wanted, what, reached, reached)
    worst = reached[wanted].max() if wanted.any() else np.inf
    return f"relative uncertainty at most {worst:.3g} (wanted {allowed / _margin(subject):.3g})", {
        "worst": worst,
        "wanted": subject.precision.effective_area,
        "margin": _margin(subject),
    }


def precision_background(subject):
    """The background rate is as precise as wanted in each decade of the range, ``1 / sqrt(n)``.

    The number of events ``n`` follows from the rate and the mean weight of an event, which the
    benchmarks give as the ratio of weighted and plain numbers. Protons and electrons are counted
    together, as if they had the same weight.
    """
    component = subject.finite_component("bkg")
    if not (component.data > 0).any():
        raise Skipped("the background is empty, see check 'background'")
    if subject.benchmarks is None or subject.request is None:
        raise subject.absent("benchmarks file with numbers of background events")
    if component.model != "BKG_2D":
        raise Failed(f"{component.name} is {component.model}: events are counted for BKG_2D only")
    events = background_events(subject, component)
    allowed = subject.precision.background * subject.settings.precision_margin
    wanted = subject.in_range(component)
    in_energy = np.where(wanted, events, 0).sum(axis=1)
    reached = {}
    for members in decades(component.edges["ENERG"], wanted.any(axis=1)):
        number = in_energy[members].sum()
        value = 1 / np.sqrt(number) if number > 0 else np.inf
        reached[decade_name(component, members)] = value
        if value > allowed:
            raise Failed(
                f"background is less precise than wanted {decade_name(component, members)}: "
                f"{number:.0f} events give {value:.3g} (wanted {subject.precision.background:.3g}, "
                f"with margin {allowed:.3g})",
                reached=reached,
            )
    if not reached:
        raise Failed("no bin of the background lies in the wanted range")
    worst = max(reached.values())
    return f"relative uncertainty at most {worst:.3g} a decade", {
        "reached": reached,
        "wanted": subject.precision.background,
        "margin": _margin(subject),
    }


def background_events(subject, component):
    """Number of simulated background events after cuts, shape (energy, offset).

    Parameters
    ----------
    subject : Subject
        With request (its ``observation_time`` gave the weights) and benchmarks.
    component : Component
        A background of class BKG_2D.
    """
    table = read_benchmark(
        subject.benchmarks, "SENSITIVITY", ("N_BACKGROUND", "N_BACKGROUND_WEIGHTED")
    )
    plain, weighted = table["N_BACKGROUND"], table["N_BACKGROUND_WEIGHTED"]
    if table["THETA"].shape != component.edges["THETA"].shape:
        raise Failed(f"{subject.benchmarks.name} has other offset bins than {component.name}")
    energy = np.diff(component.edges["ENERG"]) * 1e6  # TeV -> MeV
    theta = np.radians(component.edges["THETA"])
    ring = 4 * np.pi * np.diff(np.sin(theta / 2) ** 2)
    time = subject.request.observation_time.to_value("s")
    rate = component.data * energy[:, None] * ring[None, :] * time
    centers = np.sqrt(table["ENERG"][:-1] * table["ENERG"][1:])
    events = np.zeros_like(rate)
    for offset in range(rate.shape[1]):
        known = (plain[:, offset] > 0) & (weighted[:, offset] > 0)
        if known.any():
            # the bins of the two tables may differ by the last one: interpolate the mean weight
            weight = np.exp(
                np.interp(
                    np.log(component.centers("ENERG")),
                    np.log(centers[known]),
                    np.log(weighted[known, offset] / plain[known, offset]),
                )
            )
            events[:, offset] = rate[:, offset] / weight
    return events


def _margin(subject):
    return subject.settings.precision_margin
