"""The plan of a request: which image, what happens to get it, which runs."""

import json
from dataclasses import dataclass
from pathlib import Path

from ctabatch.concordia.card import ShowerCard
from ctabatch.concordia.cards import render, seeds
from ctabatch.concordia.definition import build_opts
from ctabatch.concordia.lookup import check_source, locate
from ctabatch.concordia.recipe import Recipe
from ctabatch.concordia.store import Store
from ctabatch.config.concordia import ConcordiaRequest
from ctabatch.errors import BatchError, InputError
from ctabatch.files import read_json

FORMAT = 1


def make_plan(request: ConcordiaRequest, previous: tuple[Path, ...] = ()) -> dict:
    """Find out what will happen, without doing any of it.

    Parameters
    ----------
    request : ConcordiaRequest
        What a person asks for.
    previous : tuple of pathlib.Path
        Plans or manifests of earlier requests whose random seeds must not be used again.

    Returns
    -------
    dict
        The content of ``plan.json``.
    """
    last = request.first_run + request.runs - 1
    for path in previous:
        _refuse_clash(request, last, read_json(path), path)
    # Rendering the first card finds what only the program's template can know.
    render(request.recipe, request.card, request.seed_block, request.first_run)
    location = locate(request)
    sha256 = request.source.sha256 if request.source else None
    record = Store(request.images.store).find(location.digest) if location.action == "use" else None
    if location.action == "build":
        check_source(request)
    return {
        "format": FORMAT,
        "name": request.name,
        "image": {
            "digest": location.digest,
            "action": location.action,
            "where": location.where,
            "sha256": location.sha256,
            "bytes": location.size,
            "steps": steps(request, location.action, record),
            "manifest": record["manifest"] if record else build_opts(request.recipe, sha256),
            "signed_by": record["signed_by"] if record else None,
        },
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
        said = [*said, f"push to {target.address}, unless it is there"]
    return said


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

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read ``plan.json``; anything else is an `InputError`."""
        content = read_json(path)
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
