"""Save the results of an analysis: into the data lake as DL4 and DL5, or into a folder."""

import shutil
from pathlib import Path

from ctabatch.analysis.fit import require_convergence
from ctabatch.analysis.plan import read_plan
from ctabatch.analysis.products import FILES
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError, IntegrityError
from ctabatch.files import read_json, replacing, write_json
from ctabatch.lake.base import NewFile
from ctabatch.lake.metadata import (
    NO_ID,
    build_product_metadata,
    new_file,
    read_sidecar,
    write_sidecar,
)
from ctabatch.lake.names import lfn_root
from ctabatch.lake.open import open_lake

_MODEL = {
    "name": "GADF",
    "version": "v0.3",
    "url": "https://gamma-astro-data-formats.readthedocs.io",
}

#: Saved besides the products of `FILES`.
_ALSO = {
    "summary.json": ("Numbers of the analysis", "DL5", "Model"),
    "report.html": ("Report of the analysis", "DL5", "Service"),
}


def save(config: Configuration, plan_path: Path, fit_path: Path, output: Path) -> dict:
    """Save the results as the request says.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration.
    plan_path : pathlib.Path
        ``plan.json``; the products lie beside it.
    fit_path : pathlib.Path
        ``fit.json``.
    output : pathlib.Path
        ``saved.json``: what is where.

    Raises
    ------
    ctabatch.analysis.fit.FitFailed
        No candidate converged; nothing is saved.
    """
    plan, request = read_plan(plan_path)
    require_convergence(read_json(fit_path))
    folder = plan_path.parent
    names = [name for name in (*FILES, *_ALSO) if (folder / name).is_file()]
    content = {"products": {}, "folder": None}
    if request.save in ("lake", "both"):
        files = [describe_product(config, plan, folder / name) for name in names]
        result = open_lake(config.lake).ingest(files, dataset=dataset_did(config, plan))
        content |= {
            "products": {file.path.name: file.did for file in files},
            "dataset": dataset_did(config, plan),
            "registered": list(result.registered),
            "present": list(result.present),
        }
    if request.save in ("download", "both"):
        target = request.download / request.name
        for name in names:
            with replacing(target / name) as temporary:
                shutil.copyfile(folder / name, temporary)
        content["folder"] = str(target)
    write_json(output, content)
    return content


def describe_product(config: Configuration, plan: dict, path: Path) -> NewFile:
    """Write the sidecar of a product where there is none of this release, and describe it for ingest.

    A product that was made again with the same bytes may lie beside the sidecar of an earlier release.
    """
    try:
        known = read_sidecar(path).flat().get("curation__release")
    except (InputError, IntegrityError):
        known = None
    if known != release_name(plan):
        write_sidecar(path, product_metadata(config, plan, path.name))
    return new_file(path, vo=config.lake.vo, scope=config.lake.scope)


def product_metadata(config: Configuration, plan: dict, name: str):
    """Metadata of a product: what it is, and from which observations it was made."""
    title, level, division = (FILES | _ALSO)[name]
    inputs = [
        {"id": item.get("id", NO_ID), "uri": item["did"], "role": "observation"}
        for item in plan["observations"]
    ]
    return build_product_metadata(
        description=f"{title} of analysis {plan['name']}",
        data={
            "level": level,
            "division": division,
            "association": "Target",
            # ctao-datamodel 1.4 has no types of DL4 and DL5 yet; analysis__product tells them apart
            "type": "Observation",
        },
        instance={"site_id": plan["site"], "target_id": plan["request"]["models"]["source"]},
        curation={"release": release_name(plan), "license": "cc-by"},
        model=_MODEL,
        contact=config.contact.model_dump(),
        activity={
            "process": "science_analysis",
            "name": "analysis",
            "start": plan["created"],
            "configuration_id": plan["digest"],
            "inputs": inputs,
        },
        disclaimer=plan["disclaimer"],
        extra={
            "analysis__request_digest": plan["digest"],
            "analysis__name": plan["name"],
            "analysis__product": name.split(".")[0],
            "analysis__observations": len(plan["observations"]),
            "analysis__livetime_s": sum(item.get("livetime_s", 0) for item in plan["observations"]),
            "proposal_id": _project(plan),
            **{f"software__{key}": value for key, value in plan["software"].items()},
        },
    )


def _project(plan: dict) -> str | None:
    """The project that all observations belong to, if there is one."""
    found = {item.get("project") for item in plan["observations"]}
    return found.pop() if len(found) == 1 else None


def release_name(plan: dict) -> str:
    """Name of the release in the lake; counted where the same request was saved before."""
    name = f"analysis-{plan['name']}-{plan['digest'][:12]}"
    return name if plan["revision"] == 1 else f"{name}-r{plan['revision']}"


def dataset_did(config: Configuration, plan: dict) -> str:
    """DID of the dataset that holds the results of a request."""
    root = lfn_root(config.lake.vo, config.lake.scope)
    return f"{config.lake.scope}:{root}/analysis/{release_name(plan)}"
