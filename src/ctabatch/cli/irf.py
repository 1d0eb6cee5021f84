"""``cta-batch irf``: plan, make and check instrument response functions."""

from pathlib import Path

import click

from ctabatch.cli.irf_steps import STEPS
from ctabatch.cli.options import config_option, read_config

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


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
@click.option("--output", type=FILE, help="Write plan.json here, and binning.yaml beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(config_path, output, as_json):
    """Say what a request will do and cost, before anything is done.

    Looks up the conditions and the data lake, counts the events that the wanted precision needs and
    refuses what passes the limits.

    \b
    Example:
      cta-batch irf plan --config config/config.yaml
    """
    import json

    from ctabatch.irf.describe import describe_plan
    from ctabatch.irf.plan import check_folder, make_plan, write_plan

    config, where = read_config(config_path)
    if output is not None:
        check_folder(output.parent)
    content = make_plan(config, where)
    if output is not None:
        write_plan(content, output)
    click.echo(json.dumps(content, indent=2) if as_json else describe_plan(content))


@irf.command()
@click.argument("folder", type=FOLDER, required=False)
@click.option("--plan", "plan_path", type=FILE, help="Show this plan instead of results.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(folder, plan_path, as_json):
    """Show the results of a request: products, where they lie, how long and how much.

    \b
    Examples:
      cta-batch irf show results/irf/demo
      cta-batch irf show --plan results/irf/demo/plan.json
    """
    import json

    from ctabatch.errors import InputError
    from ctabatch.files import read_json

    if plan_path is None and folder is None:
        raise InputError("names nothing to show", "irf show", "a folder of results, or --plan FILE")
    if plan_path is not None:
        from ctabatch.irf.describe import describe_plan as describe

        content = read_json(plan_path)
    else:
        from ctabatch.irf.summary import describe_summary as describe
        from ctabatch.irf.summary import read_summary

        content = read_summary(folder)
    click.echo(json.dumps(content, indent=2) if as_json else describe(content))


@irf.command()
@click.argument("product", type=FILE, required=False)
@config_option
@click.option("--plan", "plan_path", type=FILE, help="Validate the products of this plan.")
@click.option("--folder", type=FOLDER, help="Where they lie; beside the plan by default.")
@click.option("--output", type=FILE, help="Write validation.json here (with --plan).")
@click.option("--plots", type=FOLDER, help="Write plots into this folder (with --plan).")
@click.option("--report-only", is_flag=True, help="Exit 0 even if a check fails.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(product, config_path, plan_path, folder, output, plots, report_only, as_json):
    """Check an IRF: every check has a name, a verdict and a reason.

    With a file name, checks any IRF in GADF format; with --plan, the products of a request, against
    what was asked for. Exits 1 if a check fails.

    \b
    Examples:
      cta-batch irf validate Prod5-North-20deg-....fits.gz
      cta-batch irf validate --plan results/irf/demo/plan.json --output validation.json
    """
    import json

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
    click.echo(json.dumps(result, indent=2) if as_json else describe_result(result))
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
