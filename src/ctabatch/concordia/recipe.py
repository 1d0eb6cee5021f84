"""What a person configures of a simulation program: code, models, geometry, options, base image."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ctabatch.concordia.rules import refusal
from ctabatch.config.base import Section, shorten

Code = Literal["corsika7", "openiact", "chasm"]
HighEnergy = Literal["QGSJETII", "QGSJETIII", "EPOS", "SIBYLL", "DPMJET"]
LowEnergy = Literal["URQMD", "FLUKA", "GHEISHA"]
Geometry = Literal["HORIZONTAL", "VOLUMEDET", "VOLUMECORR"]
Option = Literal[
    "ATMEXT",
    "CEFFIC",
    "CERENKOV",
    "CERWLEN",
    "CHARM",
    "CURVED",
    "EHISTORY",
    "IACT",
    "IACTEXT",
    "LPM",
    "MUPROD",
    "NEUTRINO",
    "PRESHOWER",
    "SLANT",
    "TAULEP",
    "THIN",
    "TRAJECT",
    "UPWARD",
    "VIEWCONE",
]
#: The only compiler flags that are passed on; each stands alone, without an argument of its own.
FLAG = (
    r"^(-O[0-3s]|-Ofast|-g|-fPIC|-ftree-vectorize|-fno-automatic|-funroll-loops|-ffast-math"
    r"|-fno-fast-math|-std=legacy|-m(arch|tune)=[a-z0-9]+(-[a-z0-9]+)*|-mavx2?|-mavx512f|-mfma"
    r"|-msse4\.[12])$"
)
Flag = Annotated[str, Field(pattern=FLAG, max_length=40)]

BASE = re.compile(
    r"bootstrap:(?P<suite>trixie)"
    r"|docker://(?P<image>[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*)@sha256:(?P<docker>[0-9a-f]{64})"
    r"|file:(?P<path>[A-Za-z0-9._/-]+)@sha256:(?P<file>[0-9a-f]{64})"
)

PRESETS: dict[str, dict[str, Any]] = {
    "cta-iact": {
        "code": "corsika7",
        "high_energy": "QGSJETIII",
        "low_energy": "URQMD",
        "geometry": "VOLUMEDET",
        "options": ["CERENKOV", "IACT", "IACTEXT", "ATMEXT", "VIEWCONE"],
    },
    "km3net-muon": {
        "code": "corsika7",
        "high_energy": "SIBYLL",
        "low_energy": "URQMD",
        "geometry": "HORIZONTAL",
        "options": ["CURVED", "CHARM", "TAULEP"],
    },
}
#: Versions that the lock files of this package hold.
LOCKED = {"chasm": "1.0.0"}


class Recipe(Section):
    """A simulation program as it is to be compiled or installed."""

    preset: Literal["cta-iact", "km3net-muon"] | None = None
    """Start from these settings; keys given beside it win. Not part of the identity."""
    code: Code
    """``corsika7`` (your licensed source), ``openiact`` (this package) or ``chasm`` (PyPI)."""
    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9a-z]+)*$", max_length=16)] | None = None
    """CORSIKA: five digits such as 78010; other codes: the packaged version when left out."""
    high_energy: HighEnergy | None = None
    """Hadronic interaction model at high energies (CORSIKA)."""
    low_energy: LowEnergy | None = None
    """Hadronic interaction model below 80 GeV (CORSIKA)."""
    geometry: Geometry | None = None
    """Detector geometry (CORSIKA): flat, volume, or vertical string."""
    options: tuple[Option, ...] = ()
    """Compile-time options (CORSIKA), in any order."""
    compiler_flags: tuple[Flag, ...] = ()
    """Flags for the C, C++ and Fortran compilers (CORSIKA)."""
    base: str = "bootstrap:trixie"
    """Base image: ``bootstrap:trixie`` (from the Debian archive that this machine uses),
    ``docker://NAME@sha256:DIGEST`` or ``file:PATH@sha256:DIGEST``."""
    debian_release: Annotated[str, Field(pattern=r"^13\.[0-9]{1,2}$")] | None = None
    """Refuse to build on another point release of Debian than this, such as ``13.7``."""

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, content):
        preset = content.get("preset") if isinstance(content, dict) else None
        if isinstance(preset, str) and preset in PRESETS:
            return {**PRESETS[preset], **content}
        return content

    @field_validator("options", mode="before")
    @classmethod
    def _geometry_is_no_option(cls, value):
        for item in value if isinstance(value, (list, tuple)) else ():
            if item in ("HORIZONTAL", "VOLUMEDET", "VOLUMECORR"):
                raise ValueError(f"{item} is a geometry: write 'geometry: {item}'")
        return value

    @field_validator("options", mode="after")
    @classmethod
    def _any_order(cls, value):
        return tuple(sorted(set(value)))

    @field_validator("base")
    @classmethod
    def _pinned(cls, value):
        if not BASE.fullmatch(value):
            raise ValueError(
                f"{shorten(value)} is not bootstrap:trixie, docker://NAME@sha256:DIGEST or "
                "file:PATH@sha256:DIGEST (a tag can change, a digest can't)"
            )
        return value

    @model_validator(mode="after")
    def _possible(self):
        if reason := refusal(self):
            raise ValueError(reason)
        return self

    def identity(self) -> dict[str, Any]:
        """Return what decides the content of the image; neither preset nor where the base lies."""
        content = self.model_dump(exclude={"preset", "base", "version"})
        base = BASE.fullmatch(self.base)
        content["base"] = base["docker"] or base["file"] or base["suite"]
        content["version"] = self.resolved_version()
        return content

    def resolved_version(self) -> str:
        """Return the version of the program that will be in the image."""
        if self.version:
            return self.version
        if self.code == "openiact":
            from importlib.metadata import version

            return version("ctabatch")
        return LOCKED[self.code]

    @property
    def licensed(self) -> bool:
        """Whether the program's licence forbids to redistribute the image."""
        return self.code == "corsika7"
