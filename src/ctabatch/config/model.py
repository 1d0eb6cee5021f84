"""The whole configuration file as one model."""

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ctabatch.config.analysis import AnalysisRequest
from ctabatch.config.base import SafePath, Section, shorten
from ctabatch.config.compute import ComputeSettings
from ctabatch.config.concordia import ConcordiaRequest
from ctabatch.config.conditions import ConditionsSettings
from ctabatch.config.contact import Contact
from ctabatch.config.iam import IamSettings
from ctabatch.config.irf import IRFRequest
from ctabatch.config.lake import LakeSettings
from ctabatch.config.limits import Limits
from ctabatch.config.observation import ObservationSettings
from ctabatch.config.pipeline import PipelineSettings
from ctabatch.config.reprocessing import ReprocessingRequest
from ctabatch.config.simulation import SimulationSettings
from ctabatch.config.validation import ValidationSettings
from ctabatch.errors import InputError


class Configuration(Section):
    """Configuration of the workflow: the requests, and the settings that they share."""

    irf: IRFRequest | None = None
    """Request of an IRF; needed by the target ``irf``."""
    reprocessing: ReprocessingRequest | None = None
    """Request to reprocess observations; needed by the target ``reprocessing``."""
    concordia: ConcordiaRequest | None = None
    """Air-shower simulation in a container, made by ``cta-batch concordia``."""
    analysis: AnalysisRequest | None = None
    """Analysis of DL3 observations; needed by the target ``analysis``."""
    observation: ObservationSettings | None = None
    """Observations that the open simulator makes (``cta-batch observe``)."""
    simulation: SimulationSettings = Field(default_factory=SimulationSettings)
    """Production settings."""
    pipeline: PipelineSettings = Field(default_factory=PipelineSettings)
    """ctapipe configurations."""
    validation: ValidationSettings = Field(default_factory=ValidationSettings)
    """Checks of products."""
    conditions: ConditionsSettings = Field(default_factory=ConditionsSettings)
    """Conditions database."""
    lake: LakeSettings = Field(default_factory=LakeSettings)
    """Data lake."""
    compute: ComputeSettings = Field(default_factory=ComputeSettings)
    """Where jobs may run."""
    iam: IamSettings = Field(default_factory=IamSettings)
    """Logins."""
    limits: Limits = Field(default_factory=Limits)
    """Limits of a request."""
    contact: Contact = Field(default_factory=Contact)
    """Contact for the products."""
    results: SafePath = Path("results")
    """Folder of the results."""

    def section(self, name: str, where: str = "configuration") -> Any:
        """Return a section that a command can't do without.

        Raises
        ------
        ctabatch.errors.InputError
            It is not there; `where` names the file in the message.
        """
        found = getattr(self, name)
        if found is None:
            raise InputError(
                "is missing", f"{where}: {name}", f"a section, see: cta-batch config explain {name}"
            )
        return found

    @model_validator(mode="after")
    def _thrown_range_covers_request(self):
        if self.irf is None:
            return self
        bins, thrown = self.irf.binning, self.simulation.particles.gamma
        if thrown.energy_min > bins.energy_min or thrown.energy_max < bins.energy_max:
            raise ValueError(
                f"irf.binning has energies from {bins.energy_min} to {bins.energy_max}, but "
                f"simulation.particles.gamma throws {thrown.energy_min} to {thrown.energy_max} only"
            )
        if thrown.view_cone < bins.offset_max:
            raise ValueError(
                f"irf.binning.offset_max ({bins.offset_max}) is beyond "
                f"simulation.particles.gamma.view_cone ({thrown.view_cone})"
            )
        return self

    @model_validator(mode="after")
    def _lake_finds_its_login(self):
        rucio = self.lake.rucio
        if rucio is None or rucio.login is None:
            return self
        name = self.iam.default
        if name is None:
            raise ValueError("lake.rucio.login needs iam.provider, the provider that it is of")
        provider = self.iam.providers[name]
        if rucio.login not in provider.services:
            known = ", ".join(provider.services) or "none"
            raise ValueError(
                f"lake.rucio.login {shorten(rucio.login)} is not one of iam.providers.{name}.services "
                f"({known})"
            )
        rucio.use_login_of(name, provider)
        return self
