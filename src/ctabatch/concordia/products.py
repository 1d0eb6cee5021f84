"""The outputs of runs as products: sidecars beside them, ingest into the data lake."""

from pathlib import Path

from ctabatch.concordia.definition import LICENCES
from ctabatch.concordia.plan import Plan
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError, IntegrityError
from ctabatch.files import read_json, write_json
from ctabatch.lake.metadata import (
    ProductMetadata,
    build_product_metadata,
    new_file,
    sidecar_of,
    write_sidecar,
)
from ctabatch.lake.names import lfn_root
from ctabatch.lake.open import open_lake

#: Primary -> number of the Particle Data Group.
PDG = {
    "gamma": 22,
    "positron": -11,
    "electron": 11,
    "mu+": -13,
    "mu-": 13,
    "proton": 2212,
    "helium": 1000020040,
    "nitrogen": 1000070140,
    "silicon": 1000140280,
    "iron": 1000260560,
}
APPROXIMATE = {
    "openiact": "Approximate open simulation, no official product.",
    "chasm": "Longitudinal profiles are a parametrisation: approximate, no official product.",
}
#: What the file of a program is, in the terms of ctao-datamodel.
FORMATS = {
    "openiact": ("DL1", {"name": "ctapipe", "version": "DL1"}),
    "chasm": ("SIM", {"name": "CORSIKA IACT", "version": "eventio"}),
    "corsika7": ("SIM", {"name": "CORSIKA", "version": "7"}),
}


def write_sidecars(config: Configuration, plan_path: Path, manifest: dict) -> list[Path]:
    """Write the sidecar of each run's product where it is not there yet; returns the products.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        Gives contact and site.
    plan_path : pathlib.Path
        ``plan.json``.
    manifest : dict
        The checked runs, of `ctabatch.concordia.manifest.collect`.
    """
    plan, products = Plan.read(plan_path), []
    for record in manifest["records"]:
        product = Path(record["folder"]) / record["product"]
        noted = next(item for item in record["outputs"] if item["name"] == product.name)
        sidecar = sidecar_of(product)
        # A new id with each writing would make the same product another one in the lake.
        known = read_json(sidecar) if sidecar.exists() else {"file": {}, "extra": {}}
        if (
            known["file"].get("adler32") != noted["adler32"]
            or known["extra"].get("concordia__image_sha256") != record["image_sha256"]
        ):
            write_sidecar(product, product_metadata(config, plan, record))
        products.append(product)
    return products


def product_metadata(config: Configuration, plan: Plan, record: dict) -> ProductMetadata:
    """Build the metadata of a run's product from its record."""
    request, code, card = config.concordia, plan.recipe.code, plan.card
    site = {"site_id": request.ingest.site} if request and request.ingest else {}
    level, model = FORMATS[code]
    program, version = record["program"].split()
    return build_product_metadata(
        description=f"{record['program']}: {card.primary} showers, run {record['run']}",
        data={
            "level": level,
            "division": "Event",
            "association": "Subarray",
            "type": "AirShowerSim",
        },
        instance={"particle_pdgid": PDG[card.primary], **site},
        curation={"release": release_name(plan)},
        model=model,
        contact=config.contact.model_dump(),
        activity={
            "process": "simulation",
            "name": "concordia-run",
            "start": record["start"].removesuffix("+00:00"),
            "end": record["end"].removesuffix("+00:00"),
            "configuration_id": record["request_digest"],
            "software": {"name": program, "version": version},
        },
        disclaimer=APPROXIMATE.get(code),
        extra={
            "concordia__options_digest": record["options_digest"],
            "concordia__request_digest": record["request_digest"],
            "concordia__image_sha256": record["image_sha256"],
            "concordia__run": record["run"],
            "concordia__seed_block": record["seed_block"],
            "concordia__seeds": record["seeds"],
            "concordia__program": record["program"],
            "concordia__licence": LICENCES[code],
            "concordia__primary": card.primary,
            "concordia__showers": card.showers_per_run,
            "concordia__energy_min_tev": card.energy_min.to_value("TeV"),
            "concordia__energy_max_tev": card.energy_max.to_value("TeV"),
            "concordia__zenith_min_deg": card.zenith_min.to_value("deg"),
            "concordia__zenith_max_deg": card.zenith_max.to_value("deg"),
        },
    )


def release_name(plan: Plan) -> str:
    """Return the name of the release in the lake: the same for the same request, whoever asks."""
    return f"concordia-{plan.recipe.code}-{plan.request_digest[:12]}"


def ingest_runs(config: Configuration, plan_path: Path, manifest_path: Path, output: Path) -> dict:
    """Put the products of complete runs into the data lake; once is as good as twice.

    Raises
    ------
    ctabatch.errors.InputError
        The request has no section ``ingest``.
    ctabatch.errors.IntegrityError
        A product has no sidecar of this manifest, or changed.
    """
    if config.concordia is None or config.concordia.ingest is None:
        raise InputError("is missing", "concordia.ingest", "the site of the showers")
    plan, manifest, lake = Plan.read(plan_path), read_json(manifest_path), config.lake
    if manifest["request_digest"] != plan.request_digest:
        raise IntegrityError("the manifest belongs to another plan", "make the manifest again")
    products = [Path(record["folder"]) / record["product"] for record in manifest["records"]]
    files = [new_file(path, vo=lake.vo, scope=lake.scope) for path in products]
    dataset = f"{lake.scope}:{lfn_root(lake.vo, lake.scope)}/concordia/{release_name(plan)}"
    # A person with another range of runs of the same request adds to the dataset.
    dataset += f"-{plan.first_run:06d}-{plan.last_run:06d}"
    result = open_lake(lake).ingest(files, dataset=dataset, rse=lake.default_rse)
    content = {
        "dataset": dataset,
        "rse": lake.default_rse,
        "products": [file.did for file in files],
        "registered": list(result.registered),
        "present": list(result.present),
    }
    write_json(output, content)
    return content
