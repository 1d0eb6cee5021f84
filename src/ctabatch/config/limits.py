"""What a request may cost before it is refused (section ``limits``)."""

from typing import Annotated

from pydantic import Field

from ctabatch.config.base import Memory, Section


class Limits(Section):
    """Upper limits of one request; the plan refuses what passes them, and says what would fit."""

    cpu_hours: Annotated[float, Field(strict=True, gt=0)] = 200.0
    """CPU time of all jobs together, in hours."""
    storage: Memory = "500 GB"
    """Disk space of temporary files and products together."""
    jobs: Annotated[int, Field(strict=True, gt=0)] = 20_000
    """Number of jobs."""
    showers: Annotated[int, Field(strict=True, gt=0)] = 2_000_000_000
    """Number of thrown showers."""
