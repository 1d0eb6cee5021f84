"""The request to reprocess DL0 to DL3 (section ``reprocessing``)."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ctabatch.config.base import Duration, Section, Text, quantity_type, shorten
from ctabatch.config.irf import Name, parse_interval
from ctabatch.config.lake import RseName
from ctabatch.config.matching import MatchingSettings

Volume = quantity_type("GB", 1e-6, 1e9)


class StagingSettings(Section):
    """How DL0 is brought from tape to disk."""

    rse: RseName | None = None
    """Storage element on disk to stage to; `lake.staging_rse` by default."""
    lifetime: Duration = "48 h"
    """How long the disk copies of a wave are held at most, should nobody release them."""
    timeout: Duration | None = None
    """How long to wait for the copies of a wave; as long as `lifetime` by default."""
    wave_volume: Annotated[Volume | None, Field(examples=["2000 GB"])] = None
    """Most data to have on disk at once; all that quota and free space allow by default. What does
    not fit is processed in waves: stage, process, release, next."""


class ReprocessingRequest(Section):
    """Which observations are processed anew. Selections are combined: all of them must hold."""

    name: Name = Field(examples=["crab-2026"])
    """Name of the request; results go to ``results/reprocessing/<name>``."""
    observations: tuple[Annotated[int, Field(strict=True, ge=0)], ...] = ()
    """Observation ids."""
    period: Annotated[str | None, Field(examples=["2026-01-10/2026-01-12"])] = None
    """Observations that start within this ISO interval ``start/end`` (UTC, the end excluded)."""
    query: Annotated[Text | None, Field(examples=["proposal_id = P42"])] = None
    """Observations with a DL0 file that matches, in the language of ``cta-batch search``."""
    incomplete: Literal["stop", "skip"] = "stop"
    """What to do if an observation lacks files, metadata or an IRF: refuse the request, or leave
    the observation out and say so."""
    matching: MatchingSettings = MatchingSettings()
    """How far IRF and models may be from an observation."""
    staging: StagingSettings = StagingSettings()
    """How DL0 is brought from tape to disk."""

    @field_validator("period")
    @classmethod
    def _interval(cls, value):
        if value is not None and parse_interval(value) is None:
            raise ValueError(f"{shorten(value)} is not an interval such as '2026-01-10/2026-01-12'")
        return value

    @field_validator("observations")
    @classmethod
    def _different(cls, value):
        twice = next((item for item in value if value.count(item) > 1), None)
        if twice is not None:
            raise ValueError(f"observation {twice} is there twice")
        return value

    @model_validator(mode="after")
    def _selects(self):
        if not self.observations and self.period is None and self.query is None:
            raise ValueError("needs observations, period or query, to say what is reprocessed")
        return self
