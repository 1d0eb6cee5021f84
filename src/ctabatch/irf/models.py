"""The models and cuts of a production as products, so that data can be processed with the same.

Models are pickles, which run code when they are read: they are used only with the checksum that the
catalogue knows and the SHA-256 in their metadata, see `ctabatch.reprocessing.inputs.fetch_models`.
"""

import hashlib
from pathlib import Path

from ctabatch.config.model import Configuration
from ctabatch.files import read_json
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
