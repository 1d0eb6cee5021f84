"""Model files in Gammapy's own format: checked before anything runs.

Gammapy silently ignores a parameter that a model does not have, and takes the default of one that is
misspelt. The names it knows are kept in a small table in the user's cache, because importing
Gammapy takes seconds and a plan should not.
"""

import contextlib
import json
from importlib.metadata import version
from pathlib import Path

import platformdirs

from ctabatch.config.analysis import AnalysisRequest
from ctabatch.errors import InputError
from ctabatch.files import write_json

PARTS = ("spectral", "spatial", "temporal")

#: Name of the stacked dataset, which a background model of a file must name.
STACKED = "stacked"


def check_models(request: AnalysisRequest) -> dict[str, dict]:
    """Check all candidate models of a request.

    Returns
    -------
    dict
        Candidate to ``file``, ``sha256``, the names of its ``components``, and its ``text``: jobs on
        other machines have no files of the person's.

    Raises
    ------
    ctabatch.errors.InputError
        A file is missing, is no model file, lacks the source, or has an unknown model type or
        parameter; names the file, the component and what is allowed.
    """
    import hashlib

    checked = {}
    for name, path in request.models.candidates.items():
        components = read_components(path)
        names = [component["name"] for component in components]
        if request.models.source not in names:
            raise InputError(
                f"has no model {request.models.source!r} (analysis.models.source)",
                str(path),
                ", ".join(names),
            )
        content = Path(path).read_bytes()
        checked[name] = {
            "file": str(path),
            "sha256": hashlib.sha256(content).hexdigest(),
            "components": names,
            "text": content.decode(),
        }
    return checked


def read_components(path: Path) -> list[dict]:
    """Read the components of a model file and check their types and parameters."""
    from ctabatch.config.load import read_yaml

    components = read_yaml(path).get("components")
    if not isinstance(components, list) or not components:
        raise InputError("has no models", f"{path}: components", "a list of models")
    known = known_parameters()
    for number, component in enumerate(components):
        where = f"{path}: components[{number}]"
        if not isinstance(component, dict) or not isinstance(component.get("name"), str):
            raise InputError("has no name", where, "keys name, type, spectral, spatial, temporal")
        where = f"{path}: {component['name']}"
        for part in PARTS:
            if component.get(part) is not None:
                _check_part(component[part], known[part], f"{where}.{part}")
        if component.get("type") == "FoVBackgroundModel":
            names = component.get("datasets_names")
            if names not in ([STACKED], STACKED):
                raise InputError(
                    f"names the datasets {names!r}", f"{where}.datasets_names", f"[{STACKED}]"
                )
        elif component.get("spectral") is None:
            raise InputError("has no spectral model", where, "a key spectral")
    return components


def _check_part(part, known: dict[str, list[str] | None], where: str) -> None:
    model = part.get("type") if isinstance(part, dict) else None
    if model not in known:
        raise InputError(f"unknown model type {model!r}", f"{where}.type", ", ".join(sorted(known)))
    parameters = part.get("parameters", [])
    if not isinstance(parameters, list) or not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in parameters
    ):
        raise InputError("has a parameter without a name", f"{where}.parameters")
    allowed = known[model]
    for item in parameters:
        if allowed is not None and item["name"] not in allowed:
            raise InputError(
                f"{model} has no parameter {item['name']!r}",
                f"{where}.parameters",
                ", ".join(allowed),
            )


def known_parameters() -> dict[str, dict[str, list[str] | None]]:
    """Return model types and their parameters: part -> type -> names, None where they vary.

    Read from the user's cache; written there from Gammapy's registries by the first call for an
    installed version.
    """
    path = (
        Path(platformdirs.user_cache_dir("ctabatch")) / f"gammapy-models-{version('gammapy')}.json"
    )
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        table = _from_gammapy()
    with contextlib.suppress(OSError):  # no writable cache: looked up again next time
        write_json(path, table)
    return table


def _from_gammapy() -> dict:
    from gammapy.modeling.models import (
        SPATIAL_MODEL_REGISTRY,
        SPECTRAL_MODEL_REGISTRY,
        TEMPORAL_MODEL_REGISTRY,
    )

    registries = (SPECTRAL_MODEL_REGISTRY, SPATIAL_MODEL_REGISTRY, TEMPORAL_MODEL_REGISTRY)
    table = {}
    for part, registry in zip(PARTS, registries, strict=True):
        table[part] = {}
        for model in registry:
            # models whose parameters depend on their data declare none
            names = [parameter.name for parameter in getattr(model, "default_parameters", [])]
            for tag in [model.tag] if isinstance(model.tag, str) else model.tag:
                table[part][tag] = names or None
    return table


def load_models(text: str, dimension: str = "3d", where: str = ""):
    """Make Gammapy's `~gammapy.modeling.models.Models` of the text of a model file.

    Positions and extensions do not enter a 1-D likelihood: they are frozen there, or no fit would
    converge.
    """
    from gammapy.modeling.models import Models

    try:
        models = Models.from_yaml(text)
        for model in models if dimension == "1d" else ():
            if getattr(model, "spatial_model", None) is not None:
                model.spatial_model.freeze()
        return models
    except Exception as error:  # any library's: the values are the user's
        reason = " ".join(str(error).split())
        raise InputError(
            f"Gammapy can't read the models: {type(error).__name__}: {reason}", where
        ) from None
