"""The request of an air-shower simulation in a container (section ``concordia``)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ctabatch.concordia.card import ShowerCard, card_refusal
from ctabatch.concordia.recipe import Recipe
from ctabatch.config.base import Duration, Memory, SafePath, Section, Switch
from ctabatch.config.irf import Name

#: CORSIKA's run number has six digits.
MAXIMUM_RUN = 999_999
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
GroupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_.:-]{1,200}$")]


class Source(Section):
    """The licensed source code: your own copy, never passed on."""

    archive: SafePath
    """Path of the ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz`` archive."""
    sha256: Sha256
    """Its SHA-256."""


class Registry(Section):
    """An OCI registry that holds images."""

    address: Annotated[
        str,
        Field(pattern=r"^[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)+$", max_length=200),
    ]
    """Host, port and repository, such as ``registry.example.org/cta/concordia``."""
    private: Switch = False
    """Only members of the licence holder can read it; licensed images go to no other."""
    push: Switch = False
    """Push images that were built here."""
    insecure: Switch = False
    """Speak plain HTTP; for a registry on this machine only."""

    @model_validator(mode="after")
    def _plain_http_stays_here(self):
        host = self.address.partition("/")[0].partition(":")[0]
        if self.insecure and host not in ("localhost", "127.0.0.1"):
            raise ValueError(f"insecure is only for a registry on this machine, not for {host}")
        return self


class Keys(Section):
    """ed25519 keys in PEM files (``openssl genpkey -algorithm ed25519``)."""

    sign: SafePath | None = None
    """Private key that signs images built here; readable by its owner only."""
    trusted: tuple[SafePath, ...] = ()
    """Public keys: an image from elsewhere runs only if one of these signed it."""


class Images(Section):
    """Where images are looked for, in this order, and kept."""

    store: SafePath = Path("resources/images")
    """Folder of the local images."""
    registry: Registry | None = None
    """Registry that is asked next."""
    cvmfs: SafePath | None = None
    """Folder with images named ``<digest>.sif``, asked last."""
    keys: Keys = Field(default_factory=Keys)
    """Signatures."""
    build_folder: SafePath = Path("/var/tmp")
    """Folder for the temporary files of a build, some GB; every user can enter it."""

    @model_validator(mode="after")
    def _trust(self):
        if (self.registry or self.cvmfs) and not self.keys.trusted:
            raise ValueError("images from a registry or CVMFS need keys.trusted to check them")
        if self.registry and self.registry.push and not self.keys.sign:
            raise ValueError("registry.push needs keys.sign: unsigned images are not pushed")
        return self


class Membership(Section):
    """Who may submit to a back end, by the claims of the login token."""

    claim: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,200}$")] = "wlcg.groups"
    """Claim that lists the groups; a dotted name is looked for as such, then as nested."""
    all_of: tuple[GroupName, ...] = ()
    """Groups of which a person must be in every one, such as that of ESCAPE."""
    any_of: tuple[GroupName, ...] = ()
    """Groups of which a person must be in at least one, such as those of CTA and KM3NeT."""
    backends: tuple[Literal["egi", "dirac", "slurm", "local"], ...] = ("egi",)
    """Back ends that ask for the membership."""


class Ingest(Section):
    """How the outputs are filed in the data lake (section ``lake``)."""

    site: Literal["CTAO-North", "CTAO-South", "EXTERNAL"]
    """Site that the showers were simulated for; part of the names in the lake. ``EXTERNAL`` for
    any other, such as those of KM3NeT."""


class ConcordiaRequest(Section):
    """What a person asks for: a program, what it simulates, and how often."""

    name: Name
    """Name of the request; results go to ``results/concordia/<name>``. Not part of the identity."""
    recipe: Recipe
    """The program."""
    card: ShowerCard
    """The showers of a run."""
    runs: Annotated[int, Field(strict=True, ge=1)]
    """Number of runs."""
    first_run: Annotated[int, Field(strict=True, ge=1, le=MAXIMUM_RUN)] = 1
    """Number of the first run; the others count on."""
    seed_block: Annotated[int, Field(strict=True, ge=0, le=224)] = 0
    """Block of random seeds; runs of different number or different block share no seed."""
    walltime: Duration = "4 h"
    """Longest time of a run; the batch system ends it then."""
    memory: Memory = "2 GB"
    """Memory of a run."""
    after: tuple[SafePath, ...] = ()
    """Plans or manifests of earlier requests whose random seeds must not be used again."""
    ingest: Ingest | None = None
    """Put the outputs into the data lake; by default they stay in the results only."""
    source: Source | None = None
    """Licensed source code (corsika7)."""
    images: Images = Field(default_factory=Images)
    """Images."""
    membership: Membership = Field(default_factory=Membership)
    """Who may submit."""

    @model_validator(mode="after")
    def _consistent(self):
        last = self.first_run + self.runs - 1
        if last > MAXIMUM_RUN:
            raise ValueError(
                f"runs: {self.runs} from number {self.first_run} end at {last}; run numbers have "
                f"six digits, so at most {MAXIMUM_RUN - self.first_run + 1} runs fit"
            )
        if reason := card_refusal(self.card, self.recipe):
            raise ValueError(f"card: {reason}")
        if self.recipe.code == "corsika7" and self.source is None:
            raise ValueError("source: corsika7 needs your own archive of its source and its sha256")
        if self.recipe.code != "corsika7" and self.source is not None:
            raise ValueError(f"source: code {self.recipe.code!r} needs no source archive")
        target = self.images.registry
        if self.recipe.licensed and target and target.push and not target.private:
            raise ValueError(
                "images.registry: the licence of corsika7 forbids to push its image to a "
                "registry that is not marked 'private: true'"
            )
        return self
