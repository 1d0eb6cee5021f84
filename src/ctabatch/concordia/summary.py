"""The closing summary of a request, as JSON, as text and as an HTML page."""

from importlib.resources import files
from pathlib import Path
from statistics import median

import jinja2

from ctabatch import __version__
from ctabatch.files import read_json, write_json, write_text
from ctabatch.plans import finished


def summarise(plan_path: Path, output: Path, report: Path | None = None) -> dict:
    """Sum up a request whose runs are complete.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``; ``image.json``, ``manifest.json`` and, if there is one, ``ingest.json`` lie
        beside it.
    output : pathlib.Path
        ``summary.json``.
    report : pathlib.Path, optional
        HTML page to write.
    """
    folder = Path(plan_path).parent
    plan, image, manifest = (
        read_json(path) for path in (plan_path, folder / "image.json", folder / "manifest.json")
    )
    ingest = read_json(folder / "ingest.json") if (folder / "ingest.json").exists() else None
    records = manifest["records"]
    content = {
        "name": plan["name"],
        "options_digest": manifest["options_digest"],
        "request_digest": manifest["request_digest"],
        "image": {
            "origin": image["origin"],
            "sha256": manifest["image_sha256"],
            "bytes": image["bytes"],
            "signed_by": image["signed_by"],
            "pushed": image.get("pushed"),
            "program": records[0]["program"],
            "licence": image["manifest"]["licence"],
        },
        "runs": len(records),
        "first_run": manifest["first_run"],
        "showers": manifest["showers"],
        "bytes": manifest["bytes"],
        "seconds": round(sum(record["seconds"] for record in records), 3),
        "median_seconds": round(median(record["seconds"] for record in records), 3),
        "hosts": sorted({record["host"] for record in records}),
        "folder": str(folder / "runs"),
        "dataset": ingest["dataset"] if ingest else None,
    }
    write_json(output, content)
    if report:
        write_text(report, _page(plan, image, manifest, ingest, content))
    return content


def _page(plan: dict, image: dict, manifest: dict, ingest: dict | None, content: dict) -> str:
    styles = files("ctabatch.report").joinpath("style.css").read_text(encoding="utf-8")
    templates = files("ctabatch.concordia").joinpath("templates")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
    )
    return environment.get_template("report.html.j2").render(
        plan=plan,
        image=image,
        manifest=manifest,
        ingest=ingest,
        summary=content,
        styles=styles,
        version=__version__,
    )


def describe_plan(content: dict) -> str:
    """Say in a few lines what a plan will do."""
    image, recipe = content["image"], content["image"]["manifest"]["recipe"]
    last = content["first_run"] + content["runs"] - 1
    return "\n".join(
        [
            f"image   {image['digest'][:12]}  {recipe['code']} {recipe['version']}",
            f"        {'; '.join(image['steps'])}",
            f"        {image['where']} ({megabytes(image['bytes'])})",
            f"        {image['manifest']['licence']}",
            f"runs    {content['runs']} (numbers {content['first_run']} to {last}), "
            f"{content['showers']} showers, seed block {content['seed_block']}",
        ]
    )


def describe_summary(content: dict) -> str:
    """Say in a few lines what came out."""
    image = content["image"]
    origin = {
        "use": "was there",
        "pull": "pulled from the registry",
        "copy": "copied from CVMFS",
        "build": "built",
    }[image["origin"]]
    last = content["first_run"] + content["runs"] - 1
    lines = [
        f"image    {content['options_digest'][:12]}  {image['program']}, {origin}, "
        f"{megabytes(image['bytes'])}, signature {image['signed_by'] or 'none'}",
        f"runs     {content['runs']} (numbers {content['first_run']} to {last}), "
        f"{content['showers']} showers, {megabytes(content['bytes'])}, "
        f"{content['seconds']:.1f} s of simulation",
        f"files    {content['folder']}",
    ]
    if content["dataset"]:
        lines.append(f"in lake  {content['dataset']}")
    return "\n".join(lines)


def read_summary(folder: Path) -> dict:
    """Read the summary in a folder of results."""
    allowed = "a digest, a plan.json, or a folder below results/concordia"
    return read_json(finished(folder, "concordia show", allowed))


def megabytes(size: int | None) -> str:
    """Write a number of bytes in MB."""
    return f"{size / 1e6:.1f} MB" if size else "size unknown"
