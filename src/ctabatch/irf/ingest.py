"""Put validated products into the data lake, and get existing ones out of it."""

from pathlib import Path

from ctabatch.config.model import Configuration
from ctabatch.errors import ConflictError, ValidationFailed
from ctabatch.files import read_json, write_json
from ctabatch.irf.lookup import find_existing
from ctabatch.irf.models import models_of
from ctabatch.irf.product import dataset_did
from ctabatch.lake.base import IngestResult, NewFile
from ctabatch.lake.metadata import new_file
from ctabatch.lake.open import open_lake


def ingest_products(
    config: Configuration,
    plan_path: Path,
    validation_path: Path,
    output: Path,
    folder: Path | None = None,
) -> dict:
    """Ingest the products of a plan with the metadata of their sidecars.

    They lie in `folder`, beside the plan by default. Where somebody else made and ingested the same
    request meanwhile, with the same content, those products stand for these.

    Raises
    ------
    ctabatch.errors.ConflictError
        The lake has a file of the same name with other content.
    ctabatch.errors.ValidationFailed
        A check failed; names product, check and reason. Nothing is ingested.
    """
    plan, validation = read_json(plan_path), read_json(validation_path)
    _refuse_failed(plan, validation)
    files = products_of(config, plan_path, folder)
    models = models_of(config, plan_path)
    lake, all_files = open_lake(config.lake), [*files.values(), *models.values()]
    made_meanwhile = False
    try:
        result = lake.ingest(
            all_files, dataset=dataset_did(config, plan), rse=config.lake.default_rse
        )
    except ConflictError:
        made_meanwhile = _somebody_made(lake, plan, files, models)
        if not made_meanwhile:
            raise
        result = IngestResult((), tuple(item.did for item in all_files))
    content = {
        "products": {variant: file.did for variant, file in files.items()},
        "models": {kind: file.did for kind, file in models.items()},
        "dataset": dataset_did(config, plan),
        "rse": config.lake.default_rse,
        "registered": list(result.registered),
        "present": list(result.present),
        "made_meanwhile": made_meanwhile,
    }
    write_json(output, content)
    return content


def _somebody_made(lake, plan, files, models):
    """Tell whether the same request was made and ingested by somebody else after it was planned.

    The files differ in times and identifiers then, and in nothing else. Without the models, which
    are pickles and can't be compared, the products could not have the same content.
    """
    there = find_existing(lake, plan["digest"], list(files)).valid
    if there != {variant: file.did for variant, file in files.items()}:
        return False
    known = lake.metadata([*there.values(), *(file.did for file in models.values())])
    return all(
        known[file.did]["irf__content_digest"] == file.metadata["irf__content_digest"]
        for file in files.values()
    ) and all(
        known[file.did].get("irf__request_digest") == plan["digest"] for file in models.values()
    )


def products_of(
    config: Configuration, plan_path: Path, folder: Path | None = None
) -> dict[str, NewFile]:
    """Products of a plan as the lake will take them: variant -> file, DID and metadata."""
    plan, folder = read_json(plan_path), folder or Path(plan_path).parent
    return {
        variant: new_file(folder / f"{name}.fits.gz", vo=config.lake.vo, scope=config.lake.scope)
        for variant, name in plan["products"].items()
    }


def fetch_products(
    config: Configuration, plan_path: Path, output: Path, folder: Path | None = None
) -> dict:
    """Fetch the products that a plan found in the lake into `folder`, by default beside the plan."""
    plan, folder = read_json(plan_path), folder or Path(plan_path).parent
    lake = open_lake(config.lake)
    fetched = lake.fetch(list(plan["existing"].values()), folder)
    content = {
        "name": plan["name"],
        "digest": plan["digest"],
        "products": plan["existing"],
        "files": [str(path) for path in fetched.values()],
    }
    write_json(output, content)
    return content


def _refuse_failed(plan: dict, validation: dict) -> None:
    if validation["digest"] != plan["digest"]:
        raise ValidationFailed("the validation belongs to another request", "validate again")
    failed = [
        f"{item['product']}: {check['name']}: {check['message']}"
        for item in validation["variants"].values()
        for check in item["checks"]
        if check["status"] == "failed"
    ]
    if failed or not validation["passed"]:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise ValidationFailed(
            f"not ingested, a check failed: {failed[0] if failed else 'see validation.json'}{more}",
            "see report.html",
        )
