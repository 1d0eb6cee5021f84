"""``cta-batch reprocessing``: plan a reprocessing of DL0 to DL3, show it, and its steps."""

import click

from ctabatch.cli.options import FILE, config_option, json_option, plan_option, read_config
from ctabatch.cli.output import print_result
from ctabatch.cli.plans import (
    job_option,
    make_and_print,
    plan_output_option,
    read_to_show,
    show_options,
)
from ctabatch.cli.reprocessing_steps import STEPS


@click.group()
def reprocessing():
    """Reprocess observations: DL0 in the data lake to verified DL3 in the data lake.

    \b
    Examples:
      cta-batch reprocessing plan --config config/demo-reprocessing.yaml
      cta-batch reprocessing show results/reprocessing/demo
      cta-batch reprocessing clean --plan results/reprocessing/demo/plan.json
    """


@reprocessing.command()
@config_option
@plan_output_option
@job_option
@json_option
def plan(config_path, output, job, as_json):
    """Say what a request will do and cost, before anything is staged.

    Selects DL0 in the data lake, checks that each observation is complete, finds its IRF and models,
    looks for DL3 that exists already, and fills waves that fit on the staging disk.

    \b
    Example:
      cta-batch reprocessing plan --config config/demo-reprocessing.yaml
    """
    from ctabatch.reprocessing.describe import describe_plan
    from ctabatch.reprocessing.plan import make_plan, write_plan

    make_and_print(config_path, output, as_json, make_plan, write_plan, describe_plan, job)


@reprocessing.command()
@show_options
def show(folder, plan_path, as_json):
    """Show the results of a request: DL3 in the lake, cost, and that nothing is left.

    \b
    Examples:
      cta-batch reprocessing show results/reprocessing/demo
      cta-batch reprocessing show --plan results/reprocessing/demo/plan.json
    """
    from ctabatch.reprocessing.describe import describe_plan, describe_summary
    from ctabatch.reprocessing.summary import read_summary

    content = read_to_show("reprocessing show", folder, plan_path, read_summary)
    print_result(content, as_json, describe_summary if plan_path is None else describe_plan)


@reprocessing.command()
@config_option
@plan_option
@click.option("--check", is_flag=True, help="Remove nothing; fail if anything is left.")
@click.option("--output", type=FILE, help="With --check: write the result here as JSON.")
def clean(config_path, plan_path, check, output):
    """Give up staging requests and remove temporary files of a run that failed.

    The workflow does it by itself when it fails or is interrupted. Products in the lake stay; the
    next run plans what is missing.

    \b
    Examples:
      cta-batch reprocessing clean --plan results/reprocessing/demo/plan.json
      cta-batch reprocessing clean --check --plan results/reprocessing/demo/plan.json
    """
    from ctabatch.errors import LakeError
    from ctabatch.lake.open import open_lake
    from ctabatch.reprocessing import cleaning

    lake = open_lake(read_config(config_path)[0].lake)
    if check:
        click.echo(cleaning.describe(cleaning.check_clean(lake, plan_path, output)))
        return
    found = cleaning.clean(lake, plan_path)
    click.echo(cleaning.describe(found))
    if found["held"]:
        raise LakeError(
            f"wave {', '.join(map(str, found['held']))} is still held", "run this command again"
        )


for step in STEPS:
    reprocessing.add_command(step)
