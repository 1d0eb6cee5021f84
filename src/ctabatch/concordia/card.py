"""The showers of a run: model of the input card, and what it demands of the program."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ctabatch.config.base import Length, Offset, Section, quantity_type

#: CORSIKA's particle codes (user's guide, table of particle identifications).
PARTICLES = {
    "gamma": 1,
    "positron": 2,
    "electron": 3,
    "mu+": 5,
    "mu-": 6,
    "proton": 14,
    "helium": 402,
    "nitrogen": 1407,
    "silicon": 2814,
    "iron": 5626,
}
#: Primaries that the open programs can simulate.
OPEN_PARTICLES = {"openiact": ("gamma", "electron", "proton"), "chasm": ("gamma", "electron")}
#: Beyond this zenith angle a flat atmosphere is wrong (CORSIKA user's guide, option CURVED).
FLAT_LIMIT = 70.0

ShowerEnergy = quantity_type("GeV", 0.1, 1e12)
ShowerZenith = quantity_type("deg", 0, 180)
Angle = quantity_type("deg", -360, 360)
Position = quantity_type("m", -1e5, 1e5)
Wavelength = quantity_type("nm", 100, 2000)
Field_ = quantity_type("uT", -100, 100)
Threshold = quantity_type("GeV", 1e-5, 1e6)


class Detector(Section):
    """A sphere that collects Cherenkov light."""

    x: Position
    """Position to (magnetic) north."""
    y: Position
    """Position to west."""
    z: Position = "0 m"
    """Height of the centre above the observation level."""
    radius: quantity_type("m", 0.01, 1000)
    """Radius of the sphere."""


class Thinning(Section):
    """Thinning of low-energy particles (option THIN)."""

    fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 1e-6
    """Energy below which particles are thinned, as a fraction of the primary's."""
    weight_max: Annotated[float, Field(strict=True, ge=1, le=1e10)] = 100.0
    """Largest weight of a particle."""
    radius: Length = "0 m"
    """Core distance within which particles are thinned once more."""


class Cuts(Section):
    """Kinetic energies below which particles are dropped."""

    hadrons: Threshold = "0.3 GeV"
    """Hadrons."""
    muons: Threshold = "0.1 GeV"
    """Muons."""
    electrons: Threshold = "0.02 GeV"
    """Electrons and positrons."""
    photons: Threshold = "0.02 GeV"
    """Photons and neutral pions."""


class ShowerCard(Section):
    """What is thrown in each run."""

    primary: Literal[tuple(PARTICLES)]
    """Primary particle."""
    energy_min: ShowerEnergy
    """Lowest energy."""
    energy_max: ShowerEnergy
    """Highest energy."""
    spectral_index: Annotated[float, Field(strict=True, ge=-5, le=0)] = -2.0
    """Signed index of the power law of energies."""
    zenith_min: ShowerZenith
    """Smallest zenith angle of the arrival direction."""
    zenith_max: ShowerZenith
    """Largest zenith angle; equal to the smallest for a fixed direction."""
    azimuth_min: Angle = "0 deg"
    """Smallest azimuth (program's convention: CORSIKA counts the flight direction from magnetic
    north over west; the open programs from north over east)."""
    azimuth_max: Angle = "0 deg"
    """Largest azimuth."""
    view_cone: Offset = "0 deg"
    """Half opening angle of a cone of directions (option VIEWCONE)."""
    scatter_radius: Length = "0 m"
    """Radius of the disc over which cores are spread."""
    showers_per_run: Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
    """Showers in one run."""
    observation_level: quantity_type("m", -5000, 10000) = "2156 m"
    """Height of the ground above sea level."""
    atmosphere: Annotated[int, Field(strict=True, ge=1, le=99)] = 6
    """Number of the atmosphere: table of option ATMEXT, or CORSIKA's built-in model without it."""
    magnetic_north: Field_ = "30.4 uT"
    """Horizontal component of the magnetic field."""
    magnetic_down: Field_ = "23.9 uT"
    """Vertical component of the magnetic field, downwards."""
    wavelength_min: Wavelength = "240 nm"
    """Lower end of the Cherenkov band."""
    wavelength_max: Wavelength = "700 nm"
    """Upper end of the Cherenkov band."""
    cuts: Cuts = Cuts()
    """Energy cuts (CORSIKA)."""
    thinning: Thinning | None = None
    """Thinning (option THIN)."""
    detectors: Annotated[tuple[Detector, ...], Field(max_length=1000)] = ()
    """Light collectors (corsika7 with IACT, chasm)."""
    subarray: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")] | None = None
    """Name of a layout in ``config/subarrays`` (openiact)."""

    @model_validator(mode="after")
    def _ranges(self):
        for low, high in (
            ("energy_min", "energy_max"),
            ("zenith_min", "zenith_max"),
            ("azimuth_min", "azimuth_max"),
            ("wavelength_min", "wavelength_max"),
        ):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(
                    f"{low} ({getattr(self, low)}) is above {high} ({getattr(self, high)})"
                )
        return self

    @property
    def fixed_direction(self) -> bool:
        """Whether all showers come from one direction (before the view cone)."""
        return self.zenith_min == self.zenith_max and self.azimuth_min == self.azimuth_max


def card_refusal(card: ShowerCard, recipe) -> str | None:
    """Return why a program made by `recipe` can't run a card, None if it can."""
    return (_corsika if recipe.code == "corsika7" else _open)(card, recipe)


def _corsika(card: ShowerCard, recipe) -> str | None:
    options = recipe.options
    zenith = card.zenith_max.value
    if card.subarray:
        return "subarray is for openiact; give corsika7 its detectors"
    if bool(card.detectors) != ("IACT" in options):
        return "detectors need option IACT, and option IACT needs detectors"
    if card.view_cone.value > 0 and "VIEWCONE" not in options:
        return "view_cone needs option VIEWCONE"
    if card.view_cone.value > 0 and not card.fixed_direction:
        return "a view cone needs one direction: equal limits of zenith and of azimuth"
    if card.thinning and "THIN" not in options:
        return "thinning needs option THIN"
    if zenith > 90 and "UPWARD" not in options:
        return f"zenith_max {zenith:g} deg (from below) needs option UPWARD"
    if FLAT_LIMIT < zenith <= 90 and "CURVED" not in options:
        return f"zenith_max {zenith:g} deg is beyond {FLAT_LIMIT:g} deg and needs option CURVED"
    if "ATMEXT" not in options and card.atmosphere > 22:
        return f"atmosphere {card.atmosphere} needs option ATMEXT; built in are 1 to 22"
    return None


def _open(card: ShowerCard, recipe) -> str | None:
    allowed = OPEN_PARTICLES[recipe.code]
    if card.primary not in allowed:
        return f"primary {card.primary!r}: {recipe.code} simulates {', '.join(allowed)}"
    if card.zenith_max.value > FLAT_LIMIT:
        return f"{recipe.code} simulates zenith angles up to {FLAT_LIMIT:g} deg"
    if card.thinning:
        return f"thinning is for corsika7, not for {recipe.code}"
    if recipe.code == "chasm":
        if not card.detectors or card.subarray:
            return "chasm needs detectors, and no subarray"
        if card.view_cone.value > 0:
            return "chasm has no view cone; give a range of zenith and azimuth"
    else:
        if not card.subarray or card.detectors:
            return "openiact needs a subarray, and no detectors"
        if not card.fixed_direction:
            return "openiact needs one direction: equal limits of zenith and of azimuth"
        if card.scatter_radius.value <= 0:
            return "openiact needs a scatter_radius above 0 m"
        if not 1 <= card.energy_min.value <= card.energy_max.value <= 1e6:
            return "openiact simulates energies from 1 GeV to 1 PeV"
    return None
