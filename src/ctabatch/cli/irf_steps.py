"""Steps of the IRF workflow, called by its rules; each can be run by hand, too."""

import click

from ctabatch.cli.options import (
    FILE,
    FOLDER,
    config_option,
    output_option,
    plan_option,
    read_config,
)

folder_option = click.option(
    "--folder",
    type=FOLDER,
    help="Folder of the products; beside the plan by default.",
)


@click.command()
@plan_option
@click.option("--sample", required=True, help="Name of a sample, such as nominal_gamma_train.")
@output_option
def card(plan_path, sample, output):
    """Write the run card of a sample of the open simulator.

    \b
    Example:
      cta-batch irf card --plan results/irf/demo/plan.json --sample nominal_gamma_irf \\
          --output gamma.openiact.json
    """
    from ctabatch.errors import InputError
    from ctabatch.files import read_json, write_json

    cards = read_json(plan_path).get("cards", {})
    if sample not in cards:
        raise InputError(
            f"{plan_path} has no sample {sample!r}", "--sample", ", ".join(sorted(cards)) or "none"
        )
    write_json(output, cards[sample])


@click.command("corsika-card")
@plan_option
@click.option("--sample", required=True, help="Name of a sample, such as nominal_gamma_train.")
@click.option("--run", type=click.IntRange(1, 999_999), required=True, help="Run number.")
@output_option
def corsika_card(plan_path, sample, run, output):
    """Write the CORSIKA input card of one run, for the licensed chain corsika-simtel.

    \b
    Example:
      cta-batch irf corsika-card --plan results/irf/prod/plan.json --sample nominal_gamma_irf \\
          --run 17 --output run17.card
    """
    from ctabatch.files import read_json, write_text
    from ctabatch.irf.corsika import corsika_card as make

    write_text(output, make(read_json(plan_path), sample, run))


@click.command()
@output_option
def warm(output):
    """Compile ctapipe's numerical functions once, so that parallel jobs find them compiled.

    \b
    Example:
      cta-batch irf warm --output results/irf/compiled.json
    """
    from ctabatch.irf.warm import compile_functions

    compile_functions(output)


@click.command("check-model")
@click.argument("model", type=FILE)
@output_option
def check_model(model, output):
    """Check that a trained model can be read, before many jobs read it.

    \b
    Example:
      cta-batch irf check-model results/irf/demo/models/energy.pkl \\
          --output results/irf/demo/models/energy.json
    """
    from ctabatch.irf.models import check_model as check

    check(model, output)


@click.command()
@config_option
@plan_option
@click.option("--variant", required=True, help="Variant of the request, such as nominal.")
@click.option("--irf", "irf_path", type=FILE, required=True, help="IRF of ctapipe-compute-irf.")
@output_option
def product(config_path, plan_path, variant, irf_path, output):
    """Make a product of a computed IRF: reference metadata in the header and beside the file.

    \b
    Example:
      cta-batch irf product --plan results/irf/demo/plan.json --variant nominal \\
          --irf results/irf/demo/irf/nominal.fits.gz --output PRODUCT.fits.gz
    """
    from ctabatch.irf.product import make_product

    config, _ = read_config(config_path)
    make_product(config, plan_path, variant, irf_path, output)


@click.command()
@config_option
@plan_option
def models(config_path, plan_path):
    """Write the sidecars of the models and cuts of a request, with which they go into the lake.

    \b
    Example:
      cta-batch irf models --plan results/irf/demo/plan.json
    """
    from ctabatch.irf.models import describe_models

    config, _ = read_config(config_path)
    describe_models(config, plan_path)


@click.command()
@config_option
@plan_option
@click.option("--validation", type=FILE, required=True, help="Result of irf validate.")
@folder_option
@output_option
def report(config_path, plan_path, validation, folder, output):
    """Write the HTML report of a request.

    \b
    Example:
      cta-batch irf report --plan results/irf/demo/plan.json \\
          --validation results/irf/demo/validation.json --output results/irf/demo/report.html
    """
    from ctabatch.files import read_json
    from ctabatch.irf.ingest import products_of
    from ctabatch.irf.report import write_report
    from ctabatch.irf.summary import read_benchmarks

    config, _ = read_config(config_path)
    plan = read_json(plan_path)
    write_report(
        folder or plan_path.parent,
        plan,
        read_json(validation),
        output=output,
        measured=read_benchmarks(plan_path.parent / "benchmarks"),
        locations={name: file.did for name, file in products_of(config, plan_path, folder).items()},
    )


@click.command()
@config_option
@plan_option
@click.option("--validation", type=FILE, required=True, help="Result of irf validate.")
@folder_option
@output_option
def ingest(config_path, plan_path, validation, folder, output):
    """Ingest the validated products of a request into the data lake.

    Refuses if a check failed. Running it again completes what was interrupted.

    \b
    Example:
      cta-batch irf ingest --plan results/irf/demo/plan.json \\
          --validation results/irf/demo/validation.json --output results/irf/demo/ingest.json
    """
    from ctabatch.irf.ingest import ingest_products

    config, _ = read_config(config_path)
    result = ingest_products(config, plan_path, validation, output, folder)
    if result["made_meanwhile"]:
        click.echo("somebody else made the same request meanwhile, with the same content")
    for did in result["products"].values():
        click.echo(f"in the data lake: {did}")


@click.command()
@config_option
@plan_option
@folder_option
@output_option
def fetch(config_path, plan_path, folder, output):
    """Fetch the existing products of a request from the data lake.

    \b
    Example:
      cta-batch irf fetch --plan results/irf/demo/plan.json --output results/irf/demo/fetched.json
    """
    from ctabatch.irf.ingest import fetch_products

    config, _ = read_config(config_path)
    for path in fetch_products(config, plan_path, output, folder)["files"]:
        click.echo(f"fetched {path}")


@click.command()
@plan_option
@folder_option
@output_option
def summarise(plan_path, folder, output):
    """Sum up a finished request, and refresh the cost table with what it really took.

    \b
    Example:
      cta-batch irf summarise --plan results/irf/demo/plan.json --output results/irf/demo/summary.json
    """
    from ctabatch.irf.summary import summarise as make

    make(plan_path, output, folder)


STEPS = (
    card, corsika_card, warm, check_model, product, models, report, ingest, fetch, summarise,
)  # fmt: skip
