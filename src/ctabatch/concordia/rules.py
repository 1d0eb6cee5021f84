"""Combinations of settings that a simulation program refuses, each with the reason.

Source: the CORSIKA 7 user's guide (KIT) and its ``coconut``; only rules that hold for all releases
since 7.5 stand here. `refusal` is asked before anything is built.
"""

#: option -> (option it needs, why).
NEEDS = {
    "IACT": ("CERENKOV", "telescopes collect Cherenkov light, which option CERENKOV produces"),
    "IACTEXT": ("IACT", "it extends the output of the IACT interface"),
    "CEFFIC": ("CERENKOV", "it applies efficiencies to Cherenkov light"),
    "CERWLEN": ("CERENKOV", "it makes the emission of Cherenkov light depend on wavelength"),
}
#: Models that hand charmed particles to the tracking.
CHARM_MODELS = ("DPMJET", "SIBYLL")
#: First release with QGSJET-III.
QGSJETIII_SINCE = 78000


def refusal(recipe) -> str | None:
    """Return why a recipe can't be built, None if it can.

    Parameters
    ----------
    recipe : ctabatch.concordia.recipe.Recipe
        Settings, each valid by itself.
    """
    return _corsika(recipe) if recipe.code == "corsika7" else _other(recipe)


def _other(recipe) -> str | None:
    foreign = {
        "high_energy": recipe.high_energy,
        "low_energy": recipe.low_energy,
        "geometry": recipe.geometry,
        "options": recipe.options,
        "compiler_flags": recipe.compiler_flags,
    }
    for name, value in foreign.items():
        if value:
            return f"{name} is a setting of corsika7; code {recipe.code!r} has nothing to compile"
    packaged = recipe.model_copy(update={"version": None}).resolved_version()
    if recipe.version not in (None, packaged):
        return f"version {recipe.version} of {recipe.code} is not locked here, only {packaged}"
    return None


def _corsika(recipe) -> str | None:
    for name in ("version", "high_energy", "low_energy", "geometry"):
        if getattr(recipe, name) is None:
            return f"corsika7 needs {name}"
    if len(recipe.version) != 5 or not recipe.version.isdigit():
        return f"version {recipe.version!r} of corsika7 must be five digits, such as 78010"
    if not 75000 <= int(recipe.version) < 80000:
        return f"version {recipe.version} of corsika7 is outside 75000 to 79999"
    if recipe.low_energy == "FLUKA":
        return (
            "FLUKA comes with a licence and a library of its own that forbid redistribution, and "
            "this build does not install it; choose URQMD or GHEISHA"
        )
    for option in recipe.options:
        wanted, why = NEEDS.get(option, (None, None))
        if wanted and wanted not in recipe.options:
            return f"option {option} needs option {wanted}: {why}"
    if "CHARM" in recipe.options and recipe.high_energy not in CHARM_MODELS:
        return (
            f"option CHARM needs a model that makes charmed particles "
            f"({' or '.join(CHARM_MODELS)}), not {recipe.high_energy}"
        )
    if recipe.high_energy == "QGSJETIII" and int(recipe.version) < QGSJETIII_SINCE:
        return f"QGSJETIII is in CORSIKA since {QGSJETIII_SINCE}, not in {recipe.version}"
    return None
