"""Where jobs may run (section ``compute``)."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ctabatch.config.base import Duration, Memory, Section, Url
from ctabatch.config.lake import RseName

#: A resource is a partition, a site, or ``localhost``; patterns may hold ``*``.
ResourceName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$",
        json_schema_extra={"x-allowed": "a site, a partition or localhost"},
    ),
]
ResourcePattern = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9*][A-Za-z0-9._+*-]{0,127}$",
        json_schema_extra={"x-allowed": "a site, a partition or localhost; * stands for any text"},
    ),
]
Backend = Literal["local", "slurm", "dirac"]


class SiteLimits(Section):
    """What one job gets at most at a site; the DiracX server does not tell it."""

    cpus: int | None = Field(default=None, gt=0, strict=True)
    """Processors of a job."""
    memory: Memory | None = None
    """Memory of a job."""
    walltime: Duration | None = None
    """Wall-clock time of a job."""
    disk: Memory | None = None
    """Scratch space of a job."""


class DiracSettings(Section):
    """How the resources of a DIRAC server are asked for."""

    url: Url | None = None
    """Address of the DiracX server; that of the variable `DIRACX_URL` by default."""
    cpu_power: Annotated[float, Field(strict=True, gt=0)] = 10.0
    """HS06 of one core: turns the server's `MaxCPUTime` into wall-clock time. The same number as
    `dirac-cpu-power` of the Snakemake profile."""
    limits: dict[ResourcePattern, SiteLimits] = Field(default_factory=dict)
    """Limits by site; the first pattern that matches counts."""


class ComputeSettings(Section):
    """Where jobs may run: plans list these resources, ``cta-batch resources`` shows them. What
    runs a workflow is the Snakemake profile."""

    backends: tuple[Backend, ...] = Field(default=("local",), min_length=1)
    """Back ends that are asked: `local` (this machine), `slurm` (partitions), `dirac` (sites)."""
    pin: tuple[ResourcePattern, ...] = ()
    """Only these resources, for instance `LCG.DESY-ZEUTHEN.de` or `LCG.*`; all by default."""
    ban: tuple[ResourcePattern, ...] = ()
    """Never these resources."""
    rse_sites: dict[RseName, tuple[ResourceName, ...]] = Field(default_factory=dict)
    """Resources that are near to a storage element of the lake; needed to rank by nearness of the
    data. The embedded lake is near to `localhost` and to all Slurm partitions."""
    patience: float = Field(default=60, ge=0, le=86400, strict=True)
    """Seconds during which a server that is away is asked again."""
    dirac: DiracSettings = DiracSettings()
    """Settings of the back end `dirac`."""

    @model_validator(mode="after")
    def _names_differ(self):
        if both := sorted(set(self.pin) & set(self.ban)):
            raise ValueError(f"{', '.join(both)} can't be both in pin and in ban")
        return self


def matches(pattern: str, name: str) -> bool:
    """Tell whether a name fits a pattern, in which ``*`` stands for any text."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None
