"""The request of an instrument response function (section ``irf``)."""

import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ctabatch.config.base import (
    Azimuth,
    Duration,
    Energy,
    FieldRadius,
    Fraction,
    SafePathText,
    Section,
    Zenith,
    shorten,
)


def _word(pattern: str, words: str):
    return Annotated[str, Field(pattern=pattern, json_schema_extra={"x-allowed": words})]


Name = _word(
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$",
    "up to 48 letters, digits, '_' and '-', the first a letter or digit",
)
Version = _word(
    r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}$",
    "up to 32 letters, digits, '.', '+', '_' and '-', the first a letter or digit",
)
Period = Annotated[
    str,
    Field(
        max_length=80,
        json_schema_extra={
            "x-allowed": "an ISO interval such as 2026-01-01/2026-04-01, or the name of a period"
        },
    ),
]


_PERIOD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
_NO_PERIOD = (
    "{} is neither the name of a period nor an ISO interval such as '2026-01-01/2026-04-01'"
)


def parse_interval(period: str) -> tuple[datetime, datetime] | None:
    """Read an ISO 8601 interval ``start/end``; None if `period` is the name of a period.

    Raises
    ------
    ValueError
        One end is not a date, or the end does not come after the start.
    """
    if "/" not in period:
        return None
    first, _, last = period.partition("/")
    try:
        start, end = datetime.fromisoformat(first.strip()), datetime.fromisoformat(last.strip())
    except ValueError:
        raise ValueError(_NO_PERIOD.format(shorten(period))) from None
    if start.tzinfo or end.tzinfo:
        raise ValueError(f"{shorten(period)} has a time zone; times are UTC, without one")
    if end <= start:
        raise ValueError(f"{shorten(period)} does not end after it starts")
    return start, end


class Pointing(Section):
    """Direction in which the telescopes point, in the horizontal frame."""

    zenith: Annotated[Zenith, Field(examples=["20 deg"])]
    """Zenith angle."""
    azimuth: Azimuth = "180 deg"
    """Azimuth, from geographic north (0 deg) through east (90 deg)."""


class Model(Section):
    """Programs and physics models that simulate showers and telescopes."""

    simulator: Literal["openiact", "corsika-simtel"] = "openiact"
    """``openiact`` is embedded, open and approximate; ``corsika-simtel`` runs your licensed
    image."""
    version: Version | None = Field(None, examples=["7.8010_2025-02-01"])
    """Version of the simulator; that of this package for ``openiact`` when left out."""
    high_energy_interaction: Literal["openiact", "QGSJETII", "QGSJETIII", "EPOS", "SIBYLL"] = (
        "openiact"
    )
    """Hadronic interaction model above 80 GeV; ``openiact`` is the toy model of the open
    simulator."""
    low_energy_interaction: Literal["openiact", "URQMD", "FLUKA", "GHEISHA"] = "openiact"
    """Hadronic interaction model below 80 GeV."""
    container: SafePathText | None = Field(None, examples=["images/corsika-simtel.sif"])
    """Image with CORSIKA and sim_telarray (``corsika-simtel`` only); a path or ``oras://``
    address."""

    @model_validator(mode="after")
    def _models_fit_simulator(self):
        interactions = (self.high_energy_interaction, self.low_energy_interaction)
        if self.simulator == "openiact" and interactions != ("openiact", "openiact"):
            raise ValueError("the interaction models of simulator 'openiact' are 'openiact'")
        if self.simulator == "corsika-simtel":
            if "openiact" in interactions:
                raise ValueError(
                    "simulator 'corsika-simtel' needs high_energy_interaction and "
                    "low_energy_interaction of CORSIKA"
                )
            if not self.container or not self.version:
                raise ValueError("simulator 'corsika-simtel' needs a container and a version")
        return self


class Systematic(Section):
    """One named variation of the simulated world; gives one IRF beside the nominal one."""

    name: Name = Field(examples=["throughput-low"])
    """Name of the variation; it becomes part of the product's name."""
    kind: Literal["optical_throughput", "energy_scale", "nsb", "atmosphere"]
    """What is varied."""
    change: Fraction | None = Field(None, examples=["-10 %"])
    """Relative change, such as ``-10 %`` (all kinds but ``atmosphere``)."""
    atmosphere: Name | None = Field(None, examples=["la-palma-summer"])
    """Name of the atmosphere to use instead (kind ``atmosphere``)."""

    @model_validator(mode="after")
    def _one_change(self):
        if self.kind == "atmosphere" and (self.atmosphere is None or self.change is not None):
            raise ValueError("kind 'atmosphere' needs 'atmosphere', and no 'change'")
        if self.kind != "atmosphere" and (self.change is None or self.atmosphere is not None):
            raise ValueError(f"kind {self.kind!r} needs 'change', and no 'atmosphere'")
        if self.change is not None and self.change.value == 0:
            raise ValueError("a change of 0 % is the nominal IRF")
        return self


class Precision(Section):
    """How well the effective area and the background are to be known."""

    effective_area: Annotated[float, Field(strict=True, ge=0.005, le=0.5)] = 0.1
    """Wanted relative uncertainty of the effective area in each bin of the range below."""
    background: Annotated[float, Field(strict=True, ge=0.01, le=1.0)] = 0.2
    """Wanted relative uncertainty of the background rate in each decade of energy."""
    energy_min: Energy = "0.1 TeV"
    """Lower end of the energy range in which the precision is wanted."""
    energy_max: Energy = "10 TeV"
    """Upper end of the energy range in which the precision is wanted."""
    offset_max: FieldRadius = "1 deg"
    """Outer radius of the offset range, from the centre of the field of view."""
    reference: SafePathText = "pilot"
    """Where the effective area for the estimate comes from: ``pilot`` (the open simulator's own
    table) or the path of an IRF file."""

    @model_validator(mode="after")
    def _range(self):
        if self.energy_max <= self.energy_min:
            raise ValueError(
                f"energy_max ({self.energy_max}) must be above energy_min ({self.energy_min})"
            )
        return self


class Binning(Section):
    """Bins of the IRF."""

    energy_min: Energy = "0.05 TeV"
    """Lower edge of the first energy bin, true and reconstructed."""
    energy_max: Energy = "50 TeV"
    """Upper edge of the last energy bin."""
    bins_per_decade: Annotated[int, Field(strict=True, ge=1, le=20)] = 5
    """Energy bins a decade."""
    offset_max: FieldRadius = "4 deg"
    """Outer edge of the last offset bin."""
    offset_bins: Annotated[int, Field(strict=True, ge=1, le=12)] = 4
    """Number of offset bins, of equal width."""

    @model_validator(mode="after")
    def _range(self):
        if self.energy_max <= self.energy_min:
            raise ValueError(
                f"energy_max ({self.energy_max}) must be above energy_min ({self.energy_min})"
            )
        return self


class ProductName(Section):
    """Parts of the product's name that the request does not give itself."""

    production: Name = "Open1"
    """Name of the production, first part of the file name (as ``Prod5`` in published ones)."""
    version: _word(r"^v[0-9]{1,9}(\.[0-9]{1,9}){0,3}$", "a version such as v1.0") = "v0.1"
    """Version, last part of the file name."""


class IRFRequest(Section):
    """What a person asks for: an IRF for a time, a place, a pointing and a model."""

    name: Name = Field(examples=["north-20deg-winter"])
    """Name of the request; results go to ``results/irf/<name>``. Not part of the identity."""
    period: Period = Field(examples=["2026-01-01/2026-04-01"])
    """ISO interval ``2026-01-01/2026-04-01`` (UTC) or the name of a period of the conditions."""
    site: Literal["CTAO-North", "CTAO-South"]
    """Site of the array."""
    subarray: Name = Field(examples=["CTAO-North"])
    """Name of a layout in ``config/subarrays``."""
    pointing: Pointing
    """Direction of the telescopes."""
    model: Model = Field(default_factory=Model)
    """Programs and physics models."""
    nsb: Literal["dark", "halfmoon"] = "dark"
    """Level of the night-sky background; its rate comes from the conditions."""
    systematics: tuple[Systematic, ...] = ()
    """Named variations, each of which gives one more IRF."""
    precision: Precision = Field(default_factory=Precision)
    """Wanted precision; it decides how many events are simulated."""
    binning: Binning = Field(default_factory=Binning)
    """Bins of the IRF."""
    observation_time: Duration = "50 h"
    """Observation time for which the cuts are optimised; part of the product's name."""
    product: ProductName = Field(default_factory=ProductName)
    """Parts of the product's name."""

    @field_validator("period")
    @classmethod
    def _period(cls, value):
        if parse_interval(value) is None and not _PERIOD_NAME.fullmatch(value):
            raise ValueError(_NO_PERIOD.format(shorten(value)))
        return value

    @model_validator(mode="after")
    def _consistent(self):
        names = [item.name for item in self.systematics]
        if "nominal" in names or len(set(names)) != len(names):
            raise ValueError("names of systematics must differ from each other and from 'nominal'")
        wanted, bins = self.precision, self.binning
        if wanted.energy_min < bins.energy_min or wanted.energy_max > bins.energy_max:
            raise ValueError(
                f"precision range {wanted.energy_min} to {wanted.energy_max} leaves the binning's "
                f"{bins.energy_min} to {bins.energy_max}"
            )
        if wanted.offset_max > bins.offset_max:
            raise ValueError(
                f"precision.offset_max ({wanted.offset_max}) is beyond binning.offset_max "
                f"({bins.offset_max})"
            )
        return self
