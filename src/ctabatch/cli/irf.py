"""``cta-batch irf``: plan, make and check instrument response functions."""

from pathlib import Path

import click

from ctabatch.cli.irf_steps import STEPS
from ctabatch.cli.options import FILE, FOLDER, config_option, json_option, read_config
from ctabatch.cli.output import print_result
from ctabatch.cli.plans import make_and_print, plan_output_option, read_to_show, show_options


@click.group()
def irf():
    """Instrument response functions: plan, validate, show, and the steps of the workflow.

    \b
    Examples:
      cta-batch irf plan --config config/config.yaml
      cta-batch irf validate results/irf/demo/Open1-CTAO-North-....fits.gz
      cta-batch irf show results/irf/demo
    """


@irf.command()
@config_option
@plan_output_option
@json_option
def plan(config_path, output, as_json):
    """Say what a request will do and cost, before anything is done.

    Looks up the conditions and the data lake, counts the events that the wanted precision needs and
    refuses what passes the limits. Beside the plan goes binning.yaml, with the bins for ctapipe.

    \b
    Example:
      cta-batch irf plan --config config/config.yaml
    """
    from ctabatch.irf.describe import describe_plan
    from ctabatch.irf.plan import make_plan, write_plan

    make_and_print(config_path, output, as_json, make_plan, write_plan, describe_plan)


@irf.command()
@show_options
def show(folder, plan_path, as_json):
    """Show the results of a request: products, where they lie, how long and how much.

    \b
    Examples:
      cta-batch irf show results/irf/demo
      cta-batch irf show --plan results/irf/demo/plan.json
    """
    from ctabatch.irf.describe import describe_plan
    from ctabatch.irf.summary import describe_summary, read_summary

    content = read_to_show("irf show", folder, plan_path, read_summary)
    print_result(content, as_json, describe_summary if plan_path is None else describe_plan)


@irf.command()
@click.argument("product", type=FILE, required=False)
@config_option
@click.option("--plan", "plan_path", type=FILE, help="Validate the products of this plan.")
@click.option("--folder", type=FOLDER, help="Where they lie; beside the plan by default.")
@click.option("--output", type=FILE, help="Write validation.json here (with --plan).")
@click.option("--plots", type=FOLDER, help="Write plots into this folder (with --plan).")
@click.option("--report-only", is_flag=True, help="Exit 0 even if a check fails.")
@json_option
def validate(product, config_path, plan_path, folder, output, plots, report_only, as_json):
    """Check an IRF: every check has a name, a verdict and a reason.

    With a file name, checks any IRF in GADF format; with --plan, the products of a request, against
    what was asked for. Exits 1 if a check fails.

    \b
    Examples:
      cta-batch irf validate Prod5-North-20deg-....fits.gz
      cta-batch irf validate --plan results/irf/demo/plan.json --output validation.json
    """
    from ctabatch.errors import InputError, ValidationFailed
    from ctabatch.irf.checking import describe_result, validate_file, validate_plan

    if plan_path is not None:
        config, _ = read_config(config_path)
        result = validate_plan(plan_path, config.validation, output, plots, folder)
    elif product is not None:
        config = read_config(config_path)[0] if Path(config_path).is_file() else None
        result = validate_file(product, config.validation if config else None)
    else:
        raise InputError("names nothing to check", "irf validate", "an IRF file, or --plan FILE")
    print_result(result, as_json, describe_result)
    if not result["passed"] and not report_only:
        raise ValidationFailed("the product did not pass its checks", "see the failed checks above")


@irf.command()
@click.argument("irf_file", type=FILE)
@click.option("--zenith", type=float, required=True, help="Zenith angle of the production, in deg.")
@click.option("--made-by", required=True, help="How the IRF was made; kept in the table.")
@click.option("--output", type=FILE, required=True, help="Table, config/pilot/<subarray>.ecsv.")
def pilot(irf_file, zenith, made_by, output):
    """Make a pilot table of an IRF, from which later plans estimate numbers of events.

    \b
    Example:
      cta-batch irf pilot results/irf/demo/irf/nominal.fits.gz --zenith 20 \\
          --made-by 'make demo' --output config/pilot/CTAO-North.ecsv
    """
    from ctabatch.irf.reference import write_pilot

    write_pilot(irf_file, output, zenith, made_by)
    click.echo(f"wrote {output}")


for step in STEPS:
    irf.add_command(step)
