"""The request of a PI analysis: DL3 to spectrum, light curve and maps (section ``analysis``)."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ctabatch.config.base import Energy, SafePath, Section, Switch, Text, quantity_type, shorten
from ctabatch.config.irf import Name
from ctabatch.config.matching import MatchingSettings

Longitude = quantity_type("deg", -180, 360)
Latitude = quantity_type("deg", -90, 90)
Radius = quantity_type("deg", 0.005, 10)
Angle = quantity_type("deg", 0.005, 30)
PointingOffset = quantity_type("deg", 0.05, 10)
ZenithMax = quantity_type("deg", 1, 90)
Livetime = quantity_type("s", 0, 1e6)
ThetaSquared = quantity_type("deg2", 1e-4, 25)
Bins = Annotated[int, Field(strict=True, ge=1, le=200)]
Instant = Annotated[
    str, Field(json_schema_extra={"x-allowed": "a UTC time such as 2026-01-31 or 2026-01-31T22:00"})
]
Project = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$",
        json_schema_extra={"x-allowed": "up to 64 letters, digits, '.', '_', '/' and '-'"},
    ),
]
Did = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-_]{0,24}:/[A-Za-z0-9][/A-Za-z0-9.\-_]{0,248}$",
        json_schema_extra={"x-allowed": "a DID such as test:/ctao.dpps.test/test/data/file.fits"},
    ),
]


class Position(Section):
    """A direction on the sky."""

    frame: Literal["icrs", "galactic"] = "icrs"
    """Frame of `lon` and `lat`: right ascension and declination, or Galactic."""
    lon: Annotated[Longitude, Field(examples=["83.633 deg"])]
    """Right ascension, or Galactic longitude."""
    lat: Annotated[Latitude, Field(examples=["22.014 deg"])]
    """Declination, or Galactic latitude."""


class Region(Position):
    """A circle on the sky."""

    radius: Annotated[Radius, Field(examples=["0.3 deg"])]
    """Its radius."""


class DataSource(Section):
    """Where the observations come from: give exactly one of these."""

    project: Project | None = None
    """All valid DL3 of this project that you may see."""
    query: Text | None = Field(None, examples=["obs__object = Crab and obs__zenith_deg < 40"])
    """Query of ``cta-batch search``; the data level DL3 need not be written."""
    basket: Name | None = None
    """DL3 files in this basket of yours, see ``cta-batch basket``."""
    dids: tuple[Did, ...] = ()
    """DL3 files by name."""

    @model_validator(mode="after")
    def _one_source(self):
        given = [name for name in type(self).model_fields if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"data has {' and '.join(given) or 'nothing'}; give exactly one of project, query, "
                "basket and dids"
            )
        return self


class Selection(Section):
    """Which of the found observations are used; decided before anything is transferred."""

    offset_max: PointingOffset = "2.5 deg"
    """Largest angle between target and pointing. Events beyond it are left out, too."""
    zenith_max: ZenithMax = "70 deg"
    """Largest mean zenith angle."""
    livetime_min: Livetime = "0 s"
    """Shortest livetime."""
    start: Instant | None = None
    """Observations that start at this time or later."""
    end: Instant | None = None
    """Observations that end at this time or earlier."""

    @field_validator("start", "end")
    @classmethod
    def _time(cls, value):
        if value is None:
            return None
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{shorten(value)} is no time such as 2026-01-31T22:00") from None
        if instant.tzinfo:
            raise ValueError(f"{shorten(value)} has a time zone; times are UTC, without one")
        return instant.strftime("%Y-%m-%dT%H:%M:%S")


class EnergyAxis(Section):
    """A logarithmic energy axis."""

    min: Energy = "0.1 TeV"
    """Lowest edge."""
    max: Energy = "10 TeV"
    """Highest edge."""
    bins: Bins = 10
    """Number of bins."""

    @model_validator(mode="after")
    def _rising(self):
        if self.max <= self.min:
            raise ValueError(f"energies from {self.min} to {self.max} do not rise")
        return self


class Energies(Section):
    """Energy axes of the reduced data."""

    reco: EnergyAxis = Field(default_factory=EnergyAxis)
    """Reconstructed energy."""
    true: EnergyAxis = EnergyAxis(min="0.03 TeV", max="30 TeV", bins=24)
    """True energy; wider than the reconstructed one, and finer."""

    @model_validator(mode="after")
    def _true_covers_reco(self):
        if self.true.min > self.reco.min or self.true.max < self.reco.max:
            raise ValueError(
                f"true energies ({self.true.min} to {self.true.max}) do not cover the "
                f"reconstructed ones ({self.reco.min} to {self.reco.max})"
            )
        return self


class Geometry(Section):
    """Sky map of a 3-D analysis, centred on the target."""

    width: Angle = "4 deg"
    """Width and height of the map."""
    bin_size: Angle = "0.02 deg"
    """Size of a pixel."""
    bin_size_irf: Angle = "0.2 deg"
    """Size of a pixel of the projected IRFs."""

    @model_validator(mode="after")
    def _not_too_many_pixels(self):
        pixels = (self.width / self.bin_size).to_value("") ** 2
        if pixels > 4_000_000:
            raise ValueError(f"a map of {pixels:.3g} pixels; at most 4,000,000 are allowed")
        if self.bin_size >= self.width:
            raise ValueError(f"bin_size {self.bin_size} must be below width {self.width}")
        return self


class Background(Section):
    """How the background is estimated."""

    method: Literal["reflected", "fov"] | None = None
    """``reflected`` regions (1-D) or ``fov`` background model (3-D); the one that fits the
    dimension by default."""
    exclusion: tuple[Region, ...] = ()
    """Regions with known gamma-ray emission, left out of the background. The on region of a 1-D
    analysis always is."""
    reflected_regions_min: Annotated[int, Field(strict=True, ge=1, le=50)] = 1
    """Fewest reflected regions that an observation must have."""


class SafeRange(Section):
    """Energies at which the IRFs are trusted (Gammapy's safe mask)."""

    methods: tuple[Literal["aeff-default", "aeff-max", "edisp-bias", "offset-max"], ...] = (
        "offset-max",
    )
    """Methods of Gammapy's ``SafeMaskMaker``; `selection.offset_max` is the largest offset."""
    aeff_percent: Annotated[float, Field(strict=True, gt=0, lt=100)] = 10.0
    """For ``aeff-max``: per cent of the largest effective area."""
    bias_percent: Annotated[float, Field(strict=True, gt=0, lt=100)] = 10.0
    """For ``edisp-bias``: largest energy bias, in per cent."""


class Models(Section):
    """Sky models, in YAML files of Gammapy's own format."""

    candidates: dict[Name, SafePath] = Field(
        min_length=1, max_length=20, examples=[{"power-law": "config/models/power-law.yaml"}]
    )
    """Name to file of each candidate; all are fitted, the one with the smallest AIC is used."""
    source: Annotated[str, Field(pattern=r"^\S{1,60}$", json_schema_extra={"x-allowed": "a name"})]
    """Name of the model, in each file, that is the target."""
    detection: Annotated[float, Field(strict=True, ge=0, le=1000)] = 9.0
    """Test statistic above which the target counts as detected; below it, upper limits are given
    for the spectral shape of the file."""


class FluxPointsProduct(Section):
    """Flux points of the target."""

    bins: Bins = 5
    """Number of energy bins, between the limits of `energy.reco`."""
    optional: tuple[Literal["errn-errp", "ul", "scan"], ...] = ("errn-errp", "ul")
    """Optional steps of Gammapy's estimator; upper limits are always computed."""
    reoptimize: Switch = False
    """Fit the other free parameters again in each bin."""


class LightCurveProduct(Section):
    """Light curve of the target, in the whole energy range."""

    interval: Literal["observation", "night"] = "observation"
    """One point for each observation, or for each night (from noon to noon, UTC)."""
    width: Angle = "1 deg"
    """Width of the map around the target that is kept of each observation (3-D)."""


class MapsProduct(Section):
    """Excess, significance and residual maps (3-D)."""

    correlation_radius: Radius = "0.1 deg"
    """Radius within which counts are summed."""


class ThetaSquaredProduct(Section):
    """Distribution of squared angular distances to the target, with a mirrored off position."""

    max: ThetaSquared = "0.1 deg2"
    """Largest squared distance."""
    bins: Bins = 20
    """Number of bins."""


class Products(Section):
    """What is made; ``null`` leaves a product out."""

    flux_points: FluxPointsProduct | None = Field(default_factory=FluxPointsProduct)
    """Flux points."""
    light_curve: LightCurveProduct | None = Field(default_factory=LightCurveProduct)
    """Light curve."""
    maps: MapsProduct | None = Field(default_factory=MapsProduct)
    """Maps."""
    theta2: ThetaSquaredProduct | None = Field(default_factory=ThetaSquaredProduct)
    """Theta-squared distribution."""


class AnalysisRequest(Section):
    """Analysis of DL3 observations of one target with Gammapy."""

    name: Annotated[Name, Field(examples=["crab"])]
    """Name of the request; its results lie in ``results/analysis/<name>``."""
    data: DataSource
    """Observations."""
    target: Position
    """Position of the target."""
    dimension: Literal["1d", "3d"] = "1d"
    """``1d``: spectrum of an on region; ``3d``: map cube with spatial models."""
    selection: Selection = Field(default_factory=Selection)
    """Selection of observations."""
    energy: Energies = Field(default_factory=Energies)
    """Energy axes."""
    irf_match: MatchingSettings = Field(default_factory=MatchingSettings)
    """For observations whose files hold no IRF: how far one of the data lake may be from them."""
    on_radius: Radius = "0.11 deg"
    """Radius of the on region around the target (1-D, and counts of the summary)."""
    geometry: Geometry = Field(default_factory=Geometry)
    """Sky map."""
    background: Background = Field(default_factory=Background)
    """Background."""
    safe_range: SafeRange = Field(default_factory=SafeRange)
    """Safe ranges."""
    models: Models
    """Models."""
    products: Products = Field(default_factory=Products)
    """Products."""
    on_bad_observation: Literal["stop", "skip"] = "stop"
    """An observation that can't be used (missing or corrupt file, no IRF, no off region) stops the
    analysis, or is left out and named in the report."""
    group_size: Annotated[int, Field(strict=True, ge=1, le=1000)] = 20
    """Most observations that one job reduces, one after the other."""
    n_jobs: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    """Processes that a fit or an estimator of Gammapy may use."""
    save: Literal["lake", "download", "both"] = "lake"
    """Ingest the results into the data lake, put them into a folder, or both."""
    download: SafePath = Path("download")
    """Folder for ``download``; the results go to a folder of the request's name in it."""

    @property
    def background_method(self) -> str:
        """The background method, filled in."""
        return self.background.method or {"1d": "reflected", "3d": "fov"}[self.dimension]

    @model_validator(mode="after")
    def _method_fits_dimension(self):
        if self.background_method != {"1d": "reflected", "3d": "fov"}[self.dimension]:
            raise ValueError(
                f"background.method {self.background.method!r} is not for dimension "
                f"{self.dimension!r}; reflected goes with 1d, fov with 3d"
            )
        return self
