"""How far an IRF may be from the observation that it is used for."""

from typing import Annotated, Literal

from pydantic import Field

from ctabatch.config.base import Section, quantity_type

Separation = quantity_type("deg", 0, 180)


class MatchingSettings(Section):
    """Largest distances between the conditions of an IRF and those of an observation."""

    zenith: Annotated[Separation, Field(examples=["5 deg"])] = "5 deg"
    """Largest difference in zenith angle."""
    azimuth: Annotated[Separation, Field(examples=["90 deg"])] = "90 deg"
    """Largest difference in azimuth; not compared where both point closer to the zenith than the
    distance `zenith`. By default IRFs for north and south are enough for every direction."""
    nsb: Annotated[float, Field(strict=True, ge=1, le=100)] = 2.0
    """Largest ratio between the night-sky backgrounds of the two, either way."""
    simulator: Literal["openiact", "corsika-simtel"] | None = None
    """Only IRFs of this simulator are used; any by default."""
