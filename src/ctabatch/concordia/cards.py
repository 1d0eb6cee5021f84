"""Input cards of the programs, made from the shower card and the run number."""

import functools
import json
from importlib.resources import files

import jinja2

from ctabatch.concordia.card import PARTICLES, ShowerCard
from ctabatch.concordia.recipe import Recipe
from ctabatch.errors import BatchError

#: CORSIKA takes seeds up to this number.
LARGEST_SEED = 900_000_000
#: Random sequences of a run; CORSIKA with Cherenkov light uses four.
SEQUENCES = 4
#: Seeds of one block: room for a million runs.
BLOCK = 1_000_000 * SEQUENCES
#: Where the program writes, seen from inside its container.
OUT = "/work/out"


def seeds(block: int, run: int) -> list[int]:
    """Return the random seeds of a run.

    Each (block, run, sequence) has a number of its own, so that no two runs share a seed.

    Parameters
    ----------
    block : int
        Seed block of the request, 0 to 224.
    run : int
        Run number, 1 to 999999.
    """
    first = block * BLOCK + run * SEQUENCES + 1
    return [first + item for item in range(SEQUENCES)]


def product_name(recipe: Recipe, run: int) -> str:
    """Return the name of the file with the showers of a run."""
    if recipe.code == "openiact":
        return f"run{run:06d}.dl1.h5"
    if recipe.code == "corsika7" and "IACT" not in recipe.options:
        return f"DAT{run:06d}"
    return f"run{run:06d}.corsika"


def template(name: str) -> str:
    """Return the text of a file of the package's ``concordia/templates``."""
    return files("ctabatch.concordia").joinpath("templates", name).read_text(encoding="utf-8")


@functools.cache
def environment() -> jinja2.Environment:
    """Return the template engine: what is not given is an error."""
    return jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(template),
        keep_trailing_newline=True,
        autoescape=False,
    )


def _number(quantity, unit: str | None = None) -> str:
    return f"{quantity.to_value(unit) if unit else quantity.value:.9g}"


def render(recipe: Recipe, card: ShowerCard, block: int, run: int) -> str:
    """Make the input of one run.

    Parameters
    ----------
    recipe : Recipe
        The program.
    card : ShowerCard
        The showers.
    block, run : int
        Seed block and run number.

    Returns
    -------
    str
        CORSIKA's steering cards, or JSON for the open programs.
    """
    if recipe.code == "corsika7":
        return _corsika(recipe, card, block, run)
    make = _chasm if recipe.code == "chasm" else _openiact
    return json.dumps(make(card, block, run), indent=1, sort_keys=True) + "\n"


def _corsika(recipe: Recipe, card: ShowerCard, block: int, run: int) -> str:
    text = (
        environment()
        .get_template("corsika7.card.j2")
        .render(
            card=card,
            run=run,
            seeds=seeds(block, run),
            options=recipe.options,
            particle=PARTICLES[card.primary],
            number=_number,
            folder=OUT,
        )
    )
    for line in text.splitlines():
        # CORSIKA reads 132 columns, and cuts what is longer without a word.
        if len(line) > 132 or not line.isascii():
            raise BatchError(f"the input card has a line that CORSIKA can't read: {line[:60]}...")
    return text


def _chasm(card: ShowerCard, block: int, run: int) -> dict:
    return {
        "run": run,
        "seeds": seeds(block, run),
        "primary": card.primary,
        "energy": [card.energy_min.value, card.energy_max.value],
        "spectral_index": card.spectral_index,
        "zenith": [card.zenith_min.value, card.zenith_max.value],
        "azimuth": [card.azimuth_min.value, card.azimuth_max.value],
        "scatter_radius": card.scatter_radius.value,
        "showers": card.showers_per_run,
        "observation_level": card.observation_level.value,
        "positions": [[d.x.value, d.y.value, d.z.value] for d in card.detectors],
        "radii": [d.radius.value for d in card.detectors],
        "wavelength": [card.wavelength_min.value, card.wavelength_max.value],
    }


def _openiact(card: ShowerCard, block: int, run: int) -> dict:
    from ctabatch.simulation.card import RunCard
    from ctabatch.simulation.subarrays import load_subarray

    layout = load_subarray(card.subarray)
    content = RunCard(
        sample=f"concordia-block{block}",
        particle=card.primary,
        energy_min=card.energy_min,
        energy_max=card.energy_max,
        spectral_index=card.spectral_index,
        view_cone=card.view_cone,
        scatter_radius=card.scatter_radius,
        showers_per_run=card.showers_per_run,
        zenith=card.zenith_min,
        azimuth=card.azimuth_min,
        site=layout.site,
        telescopes=layout.telescopes,
        trigger_telescopes=min(2, len(layout.telescopes)),
    )
    return {"run": run, "card": content.model_dump(mode="json")}


def self_test_card(recipe: Recipe) -> ShowerCard:
    """Make a card of few small showers, which any image of a recipe must be able to run."""
    content = {
        "primary": "gamma",
        "energy_min": "50 GeV",
        "energy_max": "100 GeV",
        "zenith_min": "20 deg",
        "zenith_max": "20 deg",
        "showers_per_run": 2,
        "wavelength_min": "250 nm",
    }
    if recipe.code == "chasm" or "IACT" in recipe.options:
        content["detectors"] = [{"x": "0 m", "y": "0 m", "radius": "10 m"}]
    if recipe.code == "openiact":
        content |= {
            "subarray": "CTAO-North",
            "scatter_radius": "100 m",
            "energy_min": "200 GeV",
            "energy_max": "400 GeV",
            "showers_per_run": 40,
        }
    return ShowerCard(**content)
