"""Resolve a request: add what the conditions database, the layout and the files say.

The resolved request is what identity is made of (`ResolvedRequest.canonical`): not the name, the
limits or the size of jobs, but everything that changes the product.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from ctabatch.conditions.lookup import Conditions, lookup_atmosphere, lookup_conditions
from ctabatch.config.base import canonical
from ctabatch.config.irf import IRFRequest, Systematic
from ctabatch.config.load import read_yaml
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError
from ctabatch.identity import digest
from ctabatch.irf.reference import EfficiencyTable, load_efficiency
from ctabatch.simulation.card import CARD_VERSION
from ctabatch.simulation.subarrays import Layout, load_subarray

#: Raised when the meaning of the canonical form changes.
CANONICAL_FORMAT = 1

#: Version of the open simulator: that of its cards, one more whenever the same card gives other events.
SIMULATOR_VERSION = str(CARD_VERSION)


@dataclass(frozen=True)
class ResolvedRequest:
    """A request with everything that it depends on."""

    config: Configuration
    request: IRFRequest
    conditions: Conditions
    layout: Layout  #: only the telescopes that are available
    atmospheres: dict  #: name -> parameters, for the nominal and all varied atmospheres
    efficiency: EfficiencyTable
    pipeline: dict  #: content of the ctapipe configuration files

    @property
    def variants(self) -> tuple[Systematic | None, ...]:
        """The nominal IRF (None) and the systematic variations."""
        return (None, *self.request.systematics)

    @property
    def types(self) -> list[str]:
        """Type (LST, MST or SST) of each telescope that takes part."""
        return [telescope.type.partition("-")[0] for telescope in self.layout.telescopes]

    @cached_property
    def canonical(self) -> dict:
        """Everything that changes the product, in SI units, without names."""
        request = self.request
        content = canonical(request)
        for key in ("name", "product", "period"):
            del content[key]
        content["precision"]["reference"] = self.efficiency.identity
        content["systematics"] = sorted(content["systematics"], key=lambda item: item["name"])
        thrown = canonical(self.config.simulation)
        for particle in thrown["particles"].values():
            del particle["showers_per_run"]
        return {
            "format": CANONICAL_FORMAT,
            "request": content,
            "conditions": {
                "atmosphere": self.conditions.atmosphere,
                "nsb": canonical(self.conditions.nsb[request.nsb]),
                "optical_throughput": canonical(dict(self.conditions.optical_throughput)),
                "version": self.conditions.version,
            },
            "atmospheres": canonical(self.atmospheres),
            "layout": canonical(self.layout),
            "simulation": thrown,
            "pipeline": canonical(self.pipeline),
            "versions": versions(request),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical request: the identity of the product."""
        return digest(self.canonical)


def versions(request: IRFRequest) -> dict[str, str]:
    """Versions of what makes the product."""
    simulator = request.model.simulator
    own = SIMULATOR_VERSION if simulator == "openiact" else request.model.version
    return {simulator: own} | {name: version(name) for name in ("ctapipe", "pyirf")}


def resolve(config: Configuration, where: str = "configuration") -> ResolvedRequest:
    """Look up everything that a request depends on.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration.
    where : str
        Name of its file, for messages.

    Raises
    ------
    ctabatch.errors.InputError
        No request, an unknown subarray, a period without conditions, a telescope list that is
        empty, an unreadable reference, or a missing pipeline file.
    """
    request = config.section("irf", where)
    model = request.model
    if model.simulator == "openiact" and model.version not in (None, SIMULATOR_VERSION):
        raise InputError(
            f"version {model.version!r} of openiact is not installed",
            f"{where}: irf.model.version",
            f"{SIMULATOR_VERSION}, or leave it out",
        )
    layout = load_subarray(request.subarray)
    if layout.site.name != request.site:
        raise InputError(
            f"subarray {request.subarray!r} stands at {layout.site.name}, not at {request.site}",
            f"{where}: irf.subarray",
        )
    conditions = lookup_conditions(
        config.conditions, request.site, request.period, config.conditions.version
    )
    present = [
        telescope.id
        for telescope in layout.telescopes
        if telescope.id not in conditions.telescopes_unavailable
    ]
    if len(present) < 2:
        raise InputError(
            f"only {len(present)} of {len(layout.telescopes)} telescopes are available in "
            f"{request.period!r}; stereo reconstruction needs two",
            f"{where}: irf.period",
        )
    if request.nsb not in conditions.nsb:
        raise InputError(
            f"the conditions of {request.period!r} have no NSB level {request.nsb!r}",
            f"{where}: irf.nsb",
            ", ".join(sorted(conditions.nsb)),
        )
    names = {conditions.atmosphere} | {
        item.atmosphere for item in request.systematics if item.atmosphere
    }
    return ResolvedRequest(
        config=config,
        request=request,
        conditions=conditions,
        layout=layout.select(present),
        atmospheres={name: lookup_atmosphere(config.conditions, name) for name in sorted(names)},
        efficiency=load_efficiency(request, where),
        pipeline=read_pipeline(config, where),
    )


def read_pipeline(config: Configuration, where: str) -> dict:
    """Content of the ctapipe configuration files: ``process``, ``train`` and ``irf``."""
    return {
        name: _pipeline_file(getattr(config.pipeline, name), f"{where}: pipeline.{name}")
        for name in ("process", "train", "irf")
    }


def pipeline_digest(pipeline: dict) -> str:
    """Identity of the ctapipe configurations, ``activity__configuration_id`` of products."""
    return digest(canonical(pipeline))


def _pipeline_file(path: Path, where: str) -> dict:
    """Content of a ctapipe configuration; its comments and order don't matter for identity."""
    try:
        return read_yaml(path, aliases=True)
    except InputError as error:
        raise InputError(str(error), where) from None
