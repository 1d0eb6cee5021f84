"""What the open simulator observes (section ``observation``)."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ctabatch.config.base import Day, Energy, Offset, Section, Text, quantity_type, shorten
from ctabatch.config.irf import Name

Seconds = quantity_type("s", 1, 36_000)
DeadTime = quantity_type("s", 0, 1)
RightAscension = quantity_type("deg", 0, 360)
Declination = quantity_type("deg", -90, 90)
PositionAngle = quantity_type("deg", -360, 360)
Radius = quantity_type("m", 10, 1e4)
Flux = quantity_type("1 / (cm2 s TeV)", 0, 1)


class Target(Section):
    """A point on the sky."""

    name: Text = Field(examples=["Simulated source"])
    """Name of the object."""
    ra: Annotated[RightAscension, Field(examples=["67.6 deg"])]
    """Right ascension, ICRS."""
    dec: Annotated[Declination, Field(examples=["8.8 deg"])]
    """Declination, ICRS."""


class SourceSpectrum(Section):
    """Flux of the source: amplitude (E / reference)^(-index - curvature log10(E / reference)).

    The defaults are the Crab Nebula's (MAGIC, JHEAP 5-6, 2015, 30).
    """

    model: Literal["power-law", "log-parabola"] = "log-parabola"
    """``power-law`` has no curvature."""
    scale: Annotated[float, Field(strict=True, gt=0, le=1000)] = 1.0
    """Factor on the flux: with the other defaults the flux in units of the Crab Nebula's."""
    amplitude: Flux = "3.23e-11 1 / (cm2 s TeV)"
    """Flux at the reference energy."""
    reference: Energy = "1 TeV"
    """Reference energy."""
    index: Annotated[float, Field(strict=True, ge=0, le=6)] = 2.47
    """Spectral index at the reference energy, positive for a falling spectrum."""
    curvature: Annotated[float, Field(strict=True, ge=-2, le=2)] = 0.24
    """Growth of the index a decade of energy; 0 for a power law."""

    @model_validator(mode="after")
    def _curved(self):
        if self.model == "power-law" and self.curvature != 0:
            raise ValueError("model 'power-law' needs curvature 0")
        return self


class ThrownGammas(Section):
    """Gamma rays of the source that are simulated; all of them are, where telescopes can see them."""

    energy_min: Energy = "0.1 TeV"
    """Lowest energy; below it the source emits nothing."""
    energy_max: Energy = "50 TeV"
    """Highest energy."""
    scatter_radius: Radius = "700 m"
    """Shower axes pass through a disc of this radius around the array."""

    @model_validator(mode="after")
    def _range(self):
        if self.energy_max <= self.energy_min:
            raise ValueError("energy_max must be above energy_min")
        return self


class ThrownBackground(ThrownGammas):
    """Cosmic rays that are simulated, of those that arrive.

    Their rate in nature is far above what a laptop simulates: what is left out is stated in the
    metadata of the data.
    """

    view_cone: Offset = "2.5 deg"
    """Directions fill a cone of this radius around the pointing."""


class ObservedParticles(Section):
    """Which part of what arrives is simulated."""

    gamma: ThrownGammas = Field(default_factory=ThrownGammas)
    """Gamma rays of the source."""
    proton: ThrownBackground | None = ThrownBackground(
        energy_min="6 TeV", energy_max="100 TeV", scatter_radius="400 m", view_cone="2.5 deg"
    )
    """Protons (spectrum of CTAO's IRF description, pyirf's ``IRFDOC_PROTON_SPECTRUM``); null for
    none."""
    electron: ThrownBackground | None = ThrownBackground(
        energy_min="0.5 TeV", energy_max="20 TeV", scatter_radius="400 m", view_cone="2.5 deg"
    )
    """Electrons and positrons (``IRFDOC_ELECTRON_SPECTRUM``); null for none."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value):
        """A key that is left out keeps the particle's default."""
        if not isinstance(value, dict):
            return value
        given = {
            name: value[name] for name in cls.model_fields if isinstance(value.get(name), dict)
        }
        return value | {
            name: cls.model_fields[name]
            .get_default(call_default_factory=True)
            .model_dump(mode="json")
            | content
            for name, content in given.items()
        }


class ObservationSettings(Section):
    """Simulated observations of a point source, written as DL0 by ``cta-batch observe``.

    Times of arrival are those of a Poisson process, the telescopes track; the open simulator stands in
    for the array.
    """

    site: Literal["CTAO-North", "CTAO-South"]
    """Site of the array."""
    subarray: Name = Field(examples=["CTAO-North"])
    """Name of a layout in ``config/subarrays``."""
    target: Target
    """Position of the source."""
    start: str = Field(examples=["2026-01-15T22:00:00"])
    """Start of the first observation, UTC; conditions are those of this time."""
    observations: Annotated[int, Field(strict=True, ge=1, le=1000)] = 2
    """Number of observations."""
    duration: Annotated[Seconds, Field(examples=["60 s"])] = "60 s"
    """Length of an observation; whole seconds."""
    pause: quantity_type("s", 0, 36_000) = "60 s"
    """Time between two observations; whole seconds."""
    chunk: Seconds = "30 s"
    """Length of a DL0 file of an observation; whole seconds."""
    obs_id: Annotated[int, Field(strict=True, ge=1, le=2_000_000_000)] = 1001
    """Id of the first observation; the others count on."""
    wobble: Offset = "0.5 deg"
    """Distance of the pointing from the source."""
    wobble_angles: Annotated[tuple[PositionAngle, ...], Field(min_length=1)] = ("0 deg", "180 deg")
    """Position angles of the pointing, north through east, taken in turn by the observations."""
    spectrum: SourceSpectrum = Field(default_factory=SourceSpectrum)
    """Spectrum of the source."""
    particles: ObservedParticles = Field(default_factory=ObservedParticles)
    """Which part of what arrives is simulated."""
    nsb: Literal["dark", "halfmoon"] = "dark"
    """Level of the night-sky background; its rate comes from the conditions."""
    dead_time: DeadTime = "0.0001 s"
    """Time for which the array is dead after an event."""
    seed: Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)] = 1
    """Another seed gives other, independent observations."""
    proposal_id: Name = "P1"
    """Proposal that the observations belong to."""
    release_date: Day | None = Field(None, examples=["2027-01-15"])
    """Day on which the data become public; one year after the observation when left out."""
    release: Name = "simulated-observations"
    """Data release in the lake."""

    @field_validator("start", mode="before")
    @classmethod
    def _start(cls, value):
        # YAML makes a time of it.
        moment = value if isinstance(value, datetime) else None
        if isinstance(value, str):
            with suppress(ValueError):
                moment = datetime.fromisoformat(value)
        if moment is None or moment.tzinfo is not None or moment.microsecond:
            raise ValueError(
                f"{shorten(str(value))} is no time such as '2026-01-15T22:00:00' (UTC)"
            )
        return moment.isoformat()

    @model_validator(mode="after")
    def _whole_seconds(self):
        for name in ("duration", "pause", "chunk"):
            if getattr(self, name).to_value("s") % 1:
                raise ValueError(f"{name} must be whole seconds")
        if self.chunk > self.duration:
            raise ValueError(f"chunk ({self.chunk}) is longer than duration ({self.duration})")
        return self
