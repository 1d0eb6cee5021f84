"""How showers are thrown and grouped into runs (section ``simulation``)."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from ctabatch.config.base import Energy, Offset, Section, quantity_type

PARTICLES = ("gamma", "proton", "electron")


class Throwing(Section):
    """The phase space in which one kind of primary particle is thrown.

    In a configuration a key that is left out keeps the particle's default.
    """

    # The keys are required of the model, not of the file: `Particles` fills in its defaults.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("required"))

    energy_min: Energy
    """Lowest energy."""
    energy_max: Energy
    """Highest energy."""
    spectral_index: Annotated[float, Field(strict=True, ge=-4, lt=-1)] = -2.0
    """Signed index of the power law of thrown energies; pyirf can't count the showers of -1."""
    view_cone: Offset
    """Half opening angle of the cone of directions around the pointing."""
    scatter_radius: quantity_type("m", 10, 1e5)
    """Radius of the disc, perpendicular to the shower, over which cores are spread."""
    showers_per_run: Annotated[int, Field(strict=True, ge=100, le=10_000_000)]
    """Showers in one run; large enough for the start of a job to be a small part of it."""

    @model_validator(mode="after")
    def _range(self):
        if self.energy_max <= self.energy_min:
            raise ValueError(
                f"energy_max ({self.energy_max}) must be above energy_min ({self.energy_min})"
            )
        return self


class Particles(Section):
    """Thrown primaries."""

    gamma: Throwing = Throwing(
        energy_min="0.02 TeV",
        energy_max="100 TeV",
        view_cone="5 deg",
        scatter_radius="1500 m",
        showers_per_run=40_000,
    )
    """Gamma rays, diffuse."""
    proton: Throwing = Throwing(
        energy_min="0.05 TeV",
        energy_max="200 TeV",
        view_cone="7 deg",
        scatter_radius="1500 m",
        showers_per_run=100_000,
    )
    """Protons, the main background."""
    electron: Throwing = Throwing(
        energy_min="0.02 TeV",
        energy_max="50 TeV",
        view_cone="7 deg",
        scatter_radius="1500 m",
        showers_per_run=40_000,
    )
    """Electrons and positrons."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value):
        if not isinstance(value, dict):
            return value
        return value | {
            name: cls.model_fields[name].default.model_dump(mode="json") | value[name]
            for name in PARTICLES
            if isinstance(value.get(name), dict)
        }


class Samples(Section):
    """Sizes of the three disjoint samples: models, cuts and IRF never see the same event."""

    train: Annotated[float, Field(strict=True, gt=0, le=5)] = 0.5
    """Events that train the models, in units of the IRF sample; gammas and protons."""
    cuts: Annotated[float, Field(strict=True, gt=0, le=5)] = 0.25
    """Events that optimise the cuts, in units of the IRF sample."""


class SimulationSettings(Section):
    """Production settings that hold for every request."""

    particles: Particles = Field(default_factory=Particles)
    """Phase space of each primary."""
    samples: Samples = Field(default_factory=Samples)
    """Sizes of the samples."""
