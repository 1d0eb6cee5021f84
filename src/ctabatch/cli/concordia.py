"""``cta-batch concordia``: air-shower simulations in containers."""

from pathlib import Path

import click

FILE = click.Path(dir_okay=False, path_type=Path)
CONFIG = click.option(
    "--config", "-c", "config", type=FILE, required=True, help="Configuration file."
)


@click.group()
def concordia():
    """Configure an air-shower simulation, get its container image, run it.

    \b
    Example:
      cta-batch concordia plan --config config.yaml -o plan.json
      cta-batch concordia build --config config.yaml
      cta-batch concordia run --plan plan.json --run 1 -o runs/000001
      cta-batch concordia manifest --plan plan.json -o manifest.json runs/*
    """


def _request(path: Path):
    from ctabatch.config.load import load_config
    from ctabatch.errors import InputError

    request = load_config(path).concordia
    if request is None:
        raise InputError("section 'concordia' is missing", str(path))
    return request


def _megabytes(size) -> str:
    return f"{size / 1e6:.1f} MB" if size else "size unknown"


@concordia.command()
@CONFIG
@click.option("--output", "-o", type=FILE, help="Write plan.json here.")
@click.option(
    "--after",
    "previous",
    type=FILE,
    multiple=True,
    help="Plan or manifest of an earlier request; its random seeds are not used again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(config, output, previous, as_json):
    """Say which image and runs a request needs, and what will happen to get them.

    Nothing is built, pulled or run.

    \b
    Example:
      cta-batch concordia plan --config config/test/concordia.yaml
    """
    import json

    from ctabatch.concordia.plan import make_plan
    from ctabatch.files import write_json

    content = make_plan(_request(config), previous)
    if output:
        write_json(output, content)
    if as_json:
        click.echo(json.dumps(content, indent=2))
        return
    image = content["image"]
    recipe = image["manifest"]["recipe"]
    click.echo(f"image   {image['digest'][:12]}  {recipe['code']} {recipe['version']}")
    click.echo(f"        {'; '.join(image['steps'])}")
    click.echo(f"        {image['where']} ({_megabytes(image['bytes'])})")
    click.echo(f"        {image['manifest']['licence']}")
    last = content["first_run"] + content["runs"] - 1
    click.echo(
        f"runs    {content['runs']} (numbers {content['first_run']} to {last}), "
        f"{content['showers']} showers, seed block {content['seed_block']}"
    )


@concordia.command()
@CONFIG
@click.option("--output", "-o", type=FILE, help="Write the record of the image (JSON) here.")
def build(config, output):
    """Get the image of a request: use, pull or copy it, else build, test, sign and push it.

    \b
    Example:
      cta-batch concordia build --config config/test/concordia.yaml -o image.json
    """
    from ctabatch.concordia.build import obtain
    from ctabatch.files import write_json

    record = obtain(_request(config))
    if output:
        write_json(output, record)
    click.echo(
        f"{record['options_digest']}  {_megabytes(record['bytes'])}  sha256 {record['sha256']}"
    )


@concordia.command()
@click.option("--plan", "plan_file", type=FILE, required=True, help="The plan.")
@click.option("--run", "number", type=int, required=True, help="Run number.")
@click.option(
    "--output",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of the run; appears when the run is complete.",
)
@click.option("--image", type=FILE, help="Image file, where the store is not at hand.")
@click.option("--record", type=FILE, help="Record of the image, as 'build -o' wrote it.")
def run(plan_file, number, output, image, record):
    """Make one run of a plan with the planned image, and none other.

    \b
    Example:
      cta-batch concordia run --plan plan.json --run 17 -o runs/000017
    """
    from ctabatch.concordia.plan import Plan
    from ctabatch.concordia.runs import perform
    from ctabatch.files import read_json

    done = perform(
        Plan.read(plan_file), number, output, image, read_json(record) if record else None
    )
    size = sum(item["bytes"] for item in done["outputs"])
    click.echo(f"run {number}: {done['program']}, {done['seconds']} s, {_megabytes(size)}")


@concordia.command()
@click.option("--plan", "plan_file", type=FILE, required=True, help="The plan.")
@click.option("--output", "-o", type=FILE, required=True, help="Write the manifest here.")
@click.option("--partial", is_flag=True, help="Missing runs are no error.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
def manifest(plan_file, output, partial, folders):
    """Check that each run was made by the planned image, and list what there is.

    Exit code 1 and the numbers of the missing runs unless --partial is given; make those alone.

    \b
    Example:
      cta-batch concordia manifest --plan plan.json -o manifest.json runs/*
    """
    from ctabatch.concordia.manifest import Incomplete, collect, ranges
    from ctabatch.concordia.plan import Plan
    from ctabatch.files import write_json

    content, missing = collect(Plan.read(plan_file), list(folders))
    if missing and not partial:
        raise Incomplete(f"{len(missing)} runs are missing: {ranges(missing)}", "run them alone")
    write_json(output, content)
    count = len(content["records"])
    click.echo(f"{count} of {content['runs']} runs, {_megabytes(content['bytes'])}")


@concordia.command()
@click.argument("digest")
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("resources/images"),
    show_default=True,
    help="Folder of the local images.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(digest, store, as_json):
    """Print what an image of the local store is; DIGEST may be its first digits.

    \b
    Example:
      cta-batch concordia show 3fa9
    """
    import json

    import yaml

    from ctabatch.concordia.store import Store

    images = Store(store)
    record = images.find(images.match(digest))
    if as_json:
        click.echo(json.dumps(record, indent=2))
        return
    click.echo(f"digest     {record['options_digest']}")
    click.echo(f"file       {images.image(record['options_digest'])}")
    click.echo(f"size       {_megabytes(record['bytes'])}")
    click.echo(f"sha256     {record['sha256']}")
    click.echo(f"signature  {record['signed_by'] or 'none'}")
    click.echo(f"licence    {record['manifest']['licence']}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in record["software"].items())
    click.echo(f"packages   {kinds} (in the image: /opt/concordia/sbom.json)")
    shown = {key: record["manifest"][key] for key in ("recipe", "software")}
    click.echo(yaml.safe_dump(shown, sort_keys=True).rstrip())
