"""The plan of a request: which image, what happens to get it, which runs."""

import json
from dataclasses import dataclass
from pathlib import Path

from ctabatch.concordia.card import ShowerCard
from ctabatch.concordia.cards import render, seeds
from ctabatch.concordia.definition import build_opts
from ctabatch.concordia.lookup import check_source, locate, request_digest
from ctabatch.concordia.recipe import Recipe
from ctabatch.concordia.store import Store
from ctabatch.config.base import canonical
from ctabatch.config.concordia import ConcordiaRequest
from ctabatch.errors import BatchError, InputError
from ctabatch.files import read_json
from ctabatch.identity import digest

FORMAT = 2
#: What to do where the image changed after the plan.
PLAN_AGAIN = "plan again; Snakemake does with --forcerun concordia_make_plan"


def runs_digest(options_digest: str, card: ShowerCard, seed_block: int) -> str:
    """Return the SHA-256 of what a run's content follows from, except its number.

    Parameters
    ----------
    options_digest : str
        Of the image.
    card : ShowerCard
        The showers.
    seed_block : int
        Seed block of the request.
    """
    return digest({"image": options_digest, "card": canonical(card), "seed_block": seed_block})


def identity_of(request: ConcordiaRequest | None) -> str | None:
    """Return the `runs_digest` of a request, None without one; asks neither store nor registry."""
    if request is None:
        return None
    return runs_digest(request_digest(request), request.card, request.seed_block)


def make_plan(
    request: ConcordiaRequest, previous: tuple[Path, ...] = (), shared: bool = True
) -> dict:
    """Find out what will happen, without doing any of it.

    Parameters
    ----------
    request : ConcordiaRequest
        What a person asks for.
    previous : tuple of pathlib.Path
        Plans or manifests of earlier requests, beside those of ``request.after``, whose random
        seeds must not be used again.
    shared : bool
        Whether the runs see this machine's files; if not, workers fetch the image themselves.

    Returns
    -------
    dict
        The content of ``plan.json``.
    """
    last = request.first_run + request.runs - 1
    for path in (*request.after, *previous):
        _refuse_clash(request, last, read_json(path), path)
    # Rendering the first card finds what only the program's template can know.
    render(request.recipe, request.card, request.seed_block, request.first_run)
    location = locate(request)
    if not shared:
        _refuse_unreachable(request, location.action)
    sha256 = request.source.sha256 if request.source else None
    record = Store(request.images.store).find(location.digest) if location.action == "use" else None
    if location.action == "build":
        check_source(request)
    what = steps(request, location.action, record)
    # A signature that is still to be made changes the file.
    known = None if "sign" in what else location.sha256
    return {
        "format": FORMAT,
        "name": request.name,
        "image": {
            "digest": location.digest,
            "action": location.action,
            "where": location.where,
            "sha256": known,
            "bytes": location.size,
            "steps": what,
            "manifest": record["manifest"] if record else build_opts(request.recipe, sha256),
            "signed_by": record["signed_by"] if record else None,
        },
        "request_digest": identity_of(request),
        "store": str(request.images.store),
        "recipe": request.recipe.model_dump(mode="json"),
        "card": request.card.model_dump(mode="json"),
        "seed_block": request.seed_block,
        "first_run": request.first_run,
        "runs": request.runs,
        "showers": request.runs * request.card.showers_per_run,
        "seeds": [
            seeds(request.seed_block, request.first_run)[0],
            seeds(request.seed_block, last)[-1],
        ],
    }


def steps(request: ConcordiaRequest, action: str, record: dict | None) -> list[str]:
    """Say in words what getting the image will do."""
    images = request.images
    said = {
        "use": ["use the image of the local store"],
        "pull": ["pull from the registry", "check its signature", "keep it in the local store"],
        "copy": ["copy from CVMFS", "check its signature", "keep it in the local store"],
        "build": ["build", "self test", *(["sign"] if images.keys.sign else [])],
    }[action]
    target = images.registry
    pushes = action in ("use", "build") and target and target.push
    if pushes and (record or {}).get("pushed") != target.address:
        if record and not record["signed_by"]:
            said = [*said, "sign"]
        said = [*said, f"push to {target.address}, unless it is there"]
    return said


def _refuse_unreachable(request: ConcordiaRequest, action: str) -> None:
    """Refuse a request whose workers would have no place to fetch the image from."""
    images = request.images
    if images.registry and (images.registry.push or action == "pull"):
        return
    if images.cvmfs and (images.cvmfs / f"{request_digest(request)}.sif").is_file():
        return
    raise InputError(
        "the runs go to workers that don't see this machine's files, so they must be able to "
        "fetch the image",
        "concordia.images",
        "a registry with 'push: true', or a registry or CVMFS folder that holds the image already",
    )


def _refuse_clash(request: ConcordiaRequest, last: int, earlier, path: Path) -> None:
    try:
        block, first, runs = (earlier[key] for key in ("seed_block", "first_run", "runs"))
    except (KeyError, TypeError):
        raise InputError("is neither a plan nor a manifest of concordia", str(path)) from None
    if block == request.seed_block and first <= last and request.first_run <= first + runs - 1:
        common = max(first, request.first_run), min(first + runs - 1, last)
        raise InputError(
            f"runs {common[0]} to {common[1]} would repeat the random seeds of {path}",
            "concordia.first_run",
            "other run numbers, or another seed_block",
        )


@dataclass(frozen=True)
class Plan:
    """A plan as it is read back from ``plan.json``."""

    name: str
    digest: str
    sha256: str | None
    store: Path
    recipe: Recipe
    card: ShowerCard
    seed_block: int
    first_run: int
    runs: int

    @property
    def last_run(self) -> int:
        """Number of the last run."""
        return self.first_run + self.runs - 1

    @property
    def request_digest(self) -> str:
        """What the content of a run follows from, see `runs_digest`."""
        return runs_digest(self.digest, self.card, self.seed_block)

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read ``plan.json``; anything else is an `InputError`."""
        return cls.parse(read_json(path), path)

    @classmethod
    def parse(cls, content, path: Path) -> "Plan":
        """Check the content of a plan; `path` is for messages."""
        try:
            if content["format"] != FORMAT:
                raise BatchError(f"{path} was written by another version", "plan again")
            return cls(
                content["name"],
                content["image"]["digest"],
                content["image"]["sha256"],
                Path(content["store"]),
                Recipe.model_validate_json(json.dumps(content["recipe"])),
                ShowerCard.model_validate_json(json.dumps(content["card"])),
                content["seed_block"],
                content["first_run"],
                content["runs"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"is no plan of concordia ({str(error).splitlines()[0]})", str(path)
            ) from None
