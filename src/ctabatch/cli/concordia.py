"""``cta-batch concordia``: air-shower simulations in containers."""

from pathlib import Path

import click

from ctabatch.cli.concordia_steps import STEPS
from ctabatch.cli.options import DEFAULT_CONFIG, FILE, FOLDER, json_option, read_config
from ctabatch.cli.output import print_result
from ctabatch.cli.plans import plan_output_option


def config_options(function):
    """Add the configuration, as argument or option; '-' reads it from standard input."""
    function = click.option(
        "--config",
        "-c",
        "config_path",
        help=f"Configuration file ('-': standard input); {DEFAULT_CONFIG} by default.",
    )(function)
    return click.argument("config_file", required=False, metavar="[CONFIG]")(function)


def read_request(config_file, config_path):
    """Return the configuration, which must have a section ``concordia``."""
    from ctabatch.errors import InputError

    if config_file and config_path:
        raise InputError("is given twice", "CONFIG", "as argument or by --config")
    config, where = read_config(config_file or config_path or str(DEFAULT_CONFIG))
    config.section("concordia", where)
    return config


@click.group()
def concordia():
    """Configure an air-shower simulation, get its container image, run it.

    \b
    Example:
      cta-batch concordia plan config/test/concordia.yaml
      cta-batch concordia build config/test/concordia.yaml
      snakemake concordia --configfile config/test/concordia.yaml
      cta-batch concordia show results/concordia/test-light-pool
    """


@concordia.command()
@config_options
@plan_output_option
@click.option(
    "--after",
    "previous",
    type=FILE,
    multiple=True,
    help="Plan or manifest of an earlier request; its random seeds are not used again.",
)
@click.option(
    "--backend",
    help="Back end that the runs are for: membership is checked, and that workers can fetch the image.",
)
@json_option
def plan(config_file, config_path, output, previous, backend, as_json):
    """Say which image and runs a request needs, and what will happen to get them.

    Nothing is built, pulled or run.

    \b
    Example:
      cta-batch concordia plan config/test/concordia.yaml
      cta-batch concordia plan config/test/concordia.yaml --backend dirac
    """
    from ctabatch.concordia.plan import make_plan
    from ctabatch.concordia.summary import describe_plan
    from ctabatch.files import write_json
    from ctabatch.plans import check_folder

    config = read_request(config_file, config_path)
    if output:
        check_folder(output.parent)
    if backend:
        from ctabatch.concordia.membership import check_login

        check_login(config, backend)
    content = make_plan(config.concordia, previous, shared=backend not in ("dirac", "egi"))
    if output:
        write_json(output, content)
    print_result(content, as_json, describe_plan)


@concordia.command()
@config_options
@click.option("--output", "-o", type=FILE, help="Write the record of the image (JSON) here.")
@click.option("--plan", "plan_path", type=FILE, help="The plan; the image must be that of it.")
@click.option("--job", type=FILE, help="With --plan: write what workers need to make the runs.")
def build(config_file, config_path, output, plan_path, job):
    """Get the image of a request: use, pull or copy it, else build, test, sign and push it.

    \b
    Example:
      cta-batch concordia build config/test/concordia.yaml -o image.json
    """
    from ctabatch.concordia.build import obtain
    from ctabatch.concordia.job import write_job
    from ctabatch.concordia.summary import megabytes
    from ctabatch.errors import InputError
    from ctabatch.files import write_json

    if bool(job) != bool(plan_path):
        raise InputError("--plan and --job go together")
    request = read_request(config_file, config_path).concordia
    record = obtain(request)
    if job:
        write_job(request, plan_path, record, job)
    if output:
        write_json(output, record)
    click.echo(
        f"{record['options_digest']}  {megabytes(record['bytes'])}  sha256 {record['sha256']}"
    )


@concordia.command()
@click.argument("what")
@click.option(
    "--store",
    type=FOLDER,
    default=Path("resources/images"),
    show_default=True,
    help="Folder of the local images.",
)
@json_option
def show(what, store, as_json):
    """Print what an image is, what a plan will do, or what came out of a request.

    WHAT is the digest of an image in the local store, or its first digits; a plan.json; or a folder
    of results.

    \b
    Example:
      cta-batch concordia show 3fa9
      cta-batch concordia show results/concordia/test-light-pool/plan.json
      cta-batch concordia show results/concordia/test-light-pool
    """
    from ctabatch.concordia.plan import Plan
    from ctabatch.concordia.store import Store
    from ctabatch.concordia.summary import describe_plan, describe_summary, read_summary
    from ctabatch.files import read_json

    path = Path(what)
    if path.suffix == ".json" or path.is_file():
        Plan.read(path)
        content, text = read_json(path), describe_plan
    elif path.is_dir():
        content, text = read_summary(path), describe_summary
    else:
        images = Store(store)
        content = images.find(images.match(what))

        def text(record):
            return _describe_image(record, images.image(record["options_digest"]))

    print_result(content, as_json, text)


def _describe_image(record, path):
    import yaml

    from ctabatch.concordia.summary import megabytes

    kinds = ", ".join(f"{count} {kind}" for kind, count in record["software"].items())
    shown = {key: record["manifest"][key] for key in ("recipe", "software")}
    return "\n".join(
        [
            f"digest     {record['options_digest']}",
            f"file       {path}",
            f"size       {megabytes(record['bytes'])}",
            f"sha256     {record['sha256']}",
            f"signature  {record['signed_by'] or 'none'}",
            f"licence    {record['manifest']['licence']}",
            f"packages   {kinds} (in the image: /opt/concordia/sbom.json)",
            yaml.safe_dump(shown, sort_keys=True).rstrip(),
        ]
    )


for step in STEPS:
    concordia.add_command(step)
