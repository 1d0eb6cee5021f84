"""The models and cuts of a production as products, so that data can be processed with the same.

Models are pickles, which run code when they are read: they are used only with the checksum that the
catalogue knows and the SHA-256 in their metadata, see `ctabatch.reprocessing.inputs.fetch_models`.
"""

import hashlib
from pathlib import Path

from ctabatch.config.model import Configuration
from ctabatch.errors import BatchError
from ctabatch.files import read_json, write_json
from ctabatch.irf.matching import MODEL_KINDS
from ctabatch.irf.product import production_metadata
from ctabatch.lake.base import NewFile
from ctabatch.lake.metadata import build_product_metadata, new_file, write_sidecar

#: Kind -> file below ``models/`` of a production.
MODEL_FILES = {"energy": "energy.pkl", "classifier": "classifier.pkl", "cuts": "cuts.fits"}

_DESCRIPTIONS = {
    "energy": "Energy regressor",
    "classifier": "Particle classifier",
    "cuts": "Cuts on gammaness and direction",
}


def describe_models(config: Configuration, plan_path: Path) -> None:
    """Write the sidecars of the models of a plan."""
    from importlib.metadata import version

    plan, folder = read_json(plan_path), Path(plan_path).parent / "models"
    for kind in MODEL_KINDS:
        path = folder / MODEL_FILES[kind]
        write_sidecar(
            path,
            build_product_metadata(
                description=f"{_DESCRIPTIONS[kind]} of IRF {plan['products']['nominal']}",
                data={
                    "level": "DL2",
                    "division": "Service",
                    "association": "Subarray",
                    "type": "RecoModel",
                },
                model={"name": "ctapipe", "version": version("ctapipe")},
                **production_metadata(
                    config,
                    plan,
                    {
                        "models__kind": kind,
                        "models__sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    },
                ),
            ),
        )


def models_of(config: Configuration, plan_path: Path) -> dict[str, NewFile]:
    """Models of a plan as the lake will take them: kind -> file, DID and metadata."""
    plan, folder = read_json(plan_path), Path(plan_path).parent / "models"
    return {
        kind: new_file(
            folder / MODEL_FILES[kind],
            vo=config.lake.vo,
            scope=config.lake.scope,
            name=f"{plan['products']['nominal']}.{MODEL_FILES[kind]}",
        )
        for kind in MODEL_KINDS
    }


def check_model(path: Path, output: Path) -> None:
    """Read a trained model as the jobs will; ctapipe's own message does not name the file.

    Parameters
    ----------
    path : pathlib.Path
        Pickle of a ctapipe tool.
    output : pathlib.Path
        JSON file with class, telescope types and SHA-256 of the model.

    Raises
    ------
    ctabatch.errors.BatchError
        The file is no model of ctapipe: truncated, overwritten, or of another version.
    """
    import hashlib

    from ctapipe.reco import Reconstructor

    try:
        model = Reconstructor.read(path)
        types = sorted(str(telescope) for telescope in model.subarray.telescope_types)
    except Exception as error:  # a damaged pickle may raise anything
        raise BatchError(
            f"{path} is no model of ctapipe: {type(error).__name__}: {error}",
            "remove it and run again: it will be trained anew",
        ) from None
    content = {
        "class": type(model).__name__,
        "telescope_types": types,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
    }
    write_json(output, content)
