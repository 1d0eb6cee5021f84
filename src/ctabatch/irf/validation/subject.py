"""What a check looks at: the IRF, the wanted range, the thresholds and the production's numbers."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ctabatch.irf.benchmarks import read_benchmark
from ctabatch.irf.component import energy_bins_in_range, offset_bins_in_range
from ctabatch.irf.reading import TITLES, IRFFile
from ctabatch.irf.statistics import energy_fraction, offset_fraction
from ctabatch.irf.validation.result import Failed, Skipped


@dataclass(frozen=True)
class Subject:
    """One IRF file and all that is known about it.

    Parameters
    ----------
    irf : IRFFile
        The opened file.
    precision : ctabatch.config.irf.Precision
        Wanted precision and its range.
    settings : ctabatch.config.validation.ValidationSettings
        Thresholds.
    request : ctabatch.config.irf.IRFRequest or None
        The request that the file answers; None for a published file. With a request, absent numbers
        of the production fail a check; without one they skip it.
    benchmarks : pathlib.Path or None
        Benchmarks of ``ctapipe-compute-irf`` for the same events.
    thrown : dict
        Particle to the numbers of its sample, see `ctabatch.irf.validation.validate`.
    """

    irf: IRFFile
    precision: object
    settings: object
    request: object = None
    benchmarks: Path | None = None
    thrown: dict | None = None

    def component(self, kind):
        """Return a component, or skip the check where it is absent."""
        if kind not in self.irf.components:
            raise Skipped(f"no usable {TITLES[kind]}, see check 'components'")
        return self.irf.components[kind]

    def finite_component(self, kind):
        """Return a component; skip the check where it is absent or has values that are no numbers."""
        component = self.component(kind)
        if not all(np.isfinite(array).all() for array in component.values.values()):
            raise Skipped("values are not finite, see check 'finite'")
        return component

    def absent(self, what):
        """Raise for numbers of the production that are not there."""
        if self.request is None:
            return Skipped(f"no {what}")
        return Failed(f"no {what}: the check can't be left out for a product of a request")

    @property
    def energies(self):
        """Ends of the wanted energy range in TeV."""
        wanted = self.precision
        return wanted.energy_min.to_value("TeV"), wanted.energy_max.to_value("TeV")

    @property
    def offset_max(self):
        """Outer radius of the wanted range in deg."""
        return self.precision.offset_max.to_value("deg")

    def in_range(self, component):
        """Select the bins of the wanted range; shape of the component's energy and offset axes."""
        energy = energy_bins_in_range(component.edges["ENERG"], *self.energies)
        if "THETA" not in component.edges:
            centers = [component.centers(axis) for axis in ("DETX", "DETY")]
            distance = np.hypot(centers[0][:, None], centers[1][None, :])
            return energy[:, None, None] & (distance <= self.offset_max)[None]
        offset = offset_bins_in_range(component.edges["THETA"], self.offset_max)
        return energy[:, None] & offset[None, :]

    @cached_property
    def counts(self):
        """Selected gammas in each bin of the effective area, or None; shape (energy, offset)."""
        if self.benchmarks is None:
            return None
        area = self.component("aeff")
        table = read_benchmark(self.benchmarks, "ENERGY BIAS RESOLUTION", ("N_EVENTS",))
        for axis in ("ENERG", "THETA"):
            edges = table[axis]
            if edges.shape != area.edges[axis].shape or not np.allclose(
                edges, area.edges[axis], rtol=1e-4, atol=1e-6
            ):
                raise Failed(f"{self.benchmarks.name} has other {axis} bins than {area.name}")
        return table["N_EVENTS"]

    def thrown_of(self, particle):
        """Return the numbers of a particle's sample, or raise where they are absent."""
        if not self.thrown or particle not in self.thrown:
            raise self.absent(f"numbers of thrown {particle}s")
        return self.thrown[particle]

    def thrown_area(self, particle):
        """Area over which cores are spread, in m2."""
        return math.pi * self.thrown_of(particle)["scatter_radius_m"] ** 2

    def thrown_in_bins(self, particle, component):
        """Showers thrown in each bin, shape (energy, offset)."""
        sample = self.thrown_of(particle)
        energy, offset = component.edges["ENERG"], np.radians(component.edges["THETA"])
        share = energy_fraction(
            energy[:-1],
            energy[1:],
            sample["energy_min_TeV"],
            sample["energy_max_TeV"],
            sample["spectral_index"],
        )
        ring = offset_fraction(offset[:-1], offset[1:], math.radians(sample["view_cone_deg"]))
        return sample["showers"] * share[:, None] * ring[None, :]
