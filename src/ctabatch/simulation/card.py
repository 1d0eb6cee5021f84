"""Run cards: all that the open simulator needs to know about a sample of showers, in one file.

A card is JSON with the ending ``.openiact.json`` and needs no other file, so that a worker anywhere
can run it. One card describes a *sample* (particle, energies, pointing, telescopes, sky); the run
number selects one of its statistically independent runs.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ctabatch.config.base import (
    Azimuth,
    Energy,
    Length,
    Offset,
    Section,
    Zenith,
    canonical,
    quantity_type,
)
from ctabatch.config.load import parse_section
from ctabatch.errors import InputError
from ctabatch.files import read_json, write_text
from ctabatch.identity import digest
from ctabatch.simulation.primaries import MASSES

#: Version of the card format *and* of the physics: one more whenever the same card gives other events.
CARD_VERSION = 2

#: File names of cards end so.
CARD_SUFFIX = ".openiact.json"

Coordinate = quantity_type("m", -1e5, 1e5)
MagneticField = quantity_type("uT", -100, 100)
Latitude = quantity_type("deg", -90, 90)
Longitude = quantity_type("deg", -180, 360)
Factor = Annotated[float, Field(strict=True, gt=0, le=100)]
TelescopeType = Literal["LST", "MST-NectarCam", "MST-FlashCam", "SST"]


class Site(Section):
    """Where the telescopes stand."""

    name: str
    """Name of the site, such as ``CTAO-North``."""
    latitude: Latitude
    """Geodetic latitude, north positive."""
    longitude: Longitude
    """Geodetic longitude, east positive."""
    altitude: Length
    """Altitude above sea level of the plane z = 0, where the core positions are."""
    magnetic_north: MagneticField = "0 uT"
    """Geomagnetic field towards magnetic north, which counts as the x axis."""
    magnetic_down: MagneticField = "0 uT"
    """Geomagnetic field downwards."""


class Telescope(Section):
    """One telescope: its number, type and position."""

    id: Annotated[int, Field(strict=True, ge=1, le=32767)]
    """Telescope id (tel_id), unique in the array."""
    name: str = ""
    """Name for people, such as ``LSTN-01``."""
    type: TelescopeType
    """Telescope with its camera; the parameters are in `ctabatch.simulation.instrument`."""
    x: Coordinate
    """Position to north of the reference point."""
    y: Coordinate
    """Position to west of the reference point."""
    z: Coordinate
    """Height above the altitude of the site."""


class Layer(Section):
    """One layer of a five-layer atmosphere: overburden T(h) = a + b exp(-h / c)."""

    bottom: Length
    """Lower edge above sea level."""
    a: quantity_type("g / cm2", -1e4, 1e4)
    """Constant of the overburden."""
    b: quantity_type("g / cm2", 0, 1e5)
    """Factor of the exponential; in the topmost layer of the linear term."""
    c: quantity_type("m", 1, 1e9)
    """Scale height; in the topmost layer T(h) = a - b h / c."""


class AtmosphereCard(Section):
    """Density profile and extinction of the air."""

    model: Literal["us-standard", "layers"] = "us-standard"
    """``us-standard``: Linsley's five layers of the U.S. standard atmosphere; ``layers``: as given."""
    layers: tuple[Layer, ...] = ()
    """Five layers from the ground up, for model ``layers``."""
    column_factor: Annotated[float, Field(strict=True, ge=0.8, le=1.2)] = 1.0
    """Factor on the overburden and density at all heights (pressure of the season)."""
    aerosol_optical_depth: Annotated[float, Field(strict=True, ge=0, le=3)] = 0.10
    """Vertical optical depth of the aerosols above the site, at 400 nm."""
    aerosol_scale_height: quantity_type("m", 100, 2e4) = "1200 m"
    """Scale height of the aerosols above the site."""
    angstrom_exponent: Annotated[float, Field(strict=True, ge=-1, le=4)] = 1.2
    """Aerosol optical depth goes with wavelength to the minus this power."""
    ozone_factor: Annotated[float, Field(strict=True, ge=0, le=10)] = 1.0
    """Ozone absorption relative to a column of 300 Dobson units."""

    @model_validator(mode="after")
    def _layers_with_their_model(self):
        if self.model == "layers" and len(self.layers) != 5:
            raise ValueError("model 'layers' needs exactly 5 layers")
        if self.model != "layers" and self.layers:
            raise ValueError(f"layers are for model 'layers', not for '{self.model}'")
        return self


class RunCard(Section):
    """A sample of simulated showers."""

    version: Literal[2] = CARD_VERSION
    """Version of the card format and of the simulation's physics."""
    sample: str
    """Name of the sample, such as ``gamma-train``; another name gives other, independent events."""
    particle: Literal["gamma", "electron", "proton"]
    """Primary particle."""
    energy_min: Energy
    """Smallest energy of the primaries."""
    energy_max: Energy
    """Largest energy of the primaries."""
    spectral_index: Annotated[float, Field(strict=True, ge=-5, le=1)] = -2.0
    """Signed index of the power law that energies are drawn from."""
    view_cone: Offset = "0 deg"
    """Directions fill a cone of this radius evenly; 0 deg is a point source."""
    source_offset: Offset = "0 deg"
    """Distance of a point source from the pointing, towards larger altitude."""
    scatter_radius: Length
    """Shower axes pass through a disc of this radius across the shower direction, evenly."""
    showers_per_run: Annotated[int, Field(strict=True, gt=0)]
    """Number of showers thrown in one run."""
    zenith: Zenith
    """Zenith angle of the pointing."""
    azimuth: Azimuth
    """Azimuth of the pointing, north over east."""
    site: Site
    """Where the array stands."""
    telescopes: Annotated[tuple[Telescope, ...], Field(min_length=1)]
    """The array."""
    atmosphere: AtmosphereCard = AtmosphereCard()
    """The air."""
    nsb: Annotated[float, Field(strict=True, ge=0, le=100)] = 1.0
    """Night-sky background relative to a dark sky."""
    optical_throughput: Factor = 1.0
    """Factor on the light that reaches the photon counters, all telescopes."""
    type_throughput: dict[TelescopeType, Factor] = Field(default_factory=dict)
    """Further factor for single telescope types."""
    energy_scale: Factor = 1.0
    """Factor on the Cherenkov light of all showers (systematic shift of the energy scale)."""
    trigger_telescopes: Annotated[int, Field(strict=True, ge=1, le=10)] = 2
    """Number of telescopes that have to trigger for an event to be stored."""

    @model_validator(mode="after")
    def _consistent(self):
        if self.energy_min >= self.energy_max:
            raise ValueError("energy_min has to be below energy_max")
        if self.energy_min.to_value("TeV") <= MASSES[self.particle]:
            raise ValueError(f"energy_min has to be above the rest mass of the {self.particle}")
        if self.view_cone.value > 0 and self.source_offset.value > 0:
            raise ValueError("source_offset is for a point source (view_cone 0 deg)")
        if self.scatter_radius.value <= 0:
            raise ValueError("scatter_radius has to be above 0 m")
        ids = [telescope.id for telescope in self.telescopes]
        if len(set(ids)) != len(ids):
            raise ValueError("telescopes have to have different ids")
        if self.trigger_telescopes > len(ids):
            raise ValueError("trigger_telescopes is above the number of telescopes")
        return self

    def digest(self) -> str:
        """Return the SHA-256 of the content as hexadecimal text, independent of spelling and order."""
        return digest(canonical(self))

    def seed(self, run: int, stream: int = 0) -> list[int]:
        """Make the entropy of one random stream of a run.

        Parameters
        ----------
        run : int
            Run number.
        stream : int
            Number of the stream within the run.

        Returns
        -------
        list of int
            Entropy for `numpy.random.SeedSequence`: eight words of the digest, run and stream.
        """
        content = bytes.fromhex(self.digest())
        words = [int.from_bytes(content[i : i + 4], "big") for i in range(0, 32, 4)]
        return [*words, run, stream]

    @classmethod
    def read(cls, path) -> "RunCard":
        """Read a card.

        Parameters
        ----------
        path : str or pathlib.Path
            File to read.

        Raises
        ------
        ctabatch.errors.InputError
            The file is absent, no JSON, or has a wrong value; names file and key.
        """
        return parse_section(cls, read_json(path), str(path))

    def write(self, path) -> Path:
        """Write the card under a temporary name and rename it; returns the path.

        Parameters
        ----------
        path : str or pathlib.Path
            Where to; has to end in ``.openiact.json``, which is how ctapipe finds the source.
        """
        path = Path(path)
        if not path.name.endswith(CARD_SUFFIX):
            raise InputError(f"the name of a run card has to end in {CARD_SUFFIX}", where=str(path))
        write_text(path, self.model_dump_json(indent=1) + "\n")
        return path
