"""``cta-batch reprocessing``: plan a reprocessing of DL0 to DL3, show it, and its steps."""

from pathlib import Path

import click

from ctabatch.cli.options import config_option, read_config
from ctabatch.cli.reprocessing_steps import STEPS

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


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
@click.option("--output", type=FILE, help="Write plan.json here.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(config_path, output, as_json):
    """Say what a request will do and cost, before anything is staged.

    Selects DL0 in the data lake, checks that each observation is complete, finds its IRF and models,
    looks for DL3 that exists already, and fills waves that fit on the staging disk.

    \b
    Example:
      cta-batch reprocessing plan --config config/demo-reprocessing.yaml
    """
    import json

    from ctabatch.irf.plan import check_folder
    from ctabatch.reprocessing.describe import describe_plan
    from ctabatch.reprocessing.plan import make_plan, write_plan

    config, where = read_config(config_path)
    if output is not None:
        check_folder(output.parent)
    content = make_plan(config, where)
    if output is not None:
        write_plan(content, output)
    click.echo(json.dumps(content, indent=2) if as_json else describe_plan(content))


@reprocessing.command()
@click.argument("folder", type=FOLDER, required=False)
@click.option("--plan", "plan_path", type=FILE, help="Show this plan instead of results.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(folder, plan_path, as_json):
    """Show the results of a request: DL3 in the lake, cost, and that nothing is left.

    \b
    Examples:
      cta-batch reprocessing show results/reprocessing/demo
      cta-batch reprocessing show --plan results/reprocessing/demo/plan.json
    """
    import json

    from ctabatch.errors import InputError
    from ctabatch.files import read_json
    from ctabatch.reprocessing.describe import describe_plan, describe_summary
    from ctabatch.reprocessing.summary import read_summary

    if plan_path is None and folder is None:
        raise InputError(
            "names nothing to show", "reprocessing show", "a folder of results, or --plan FILE"
        )
    content = read_summary(folder) if plan_path is None else read_json(plan_path)
    describe = describe_summary if plan_path is None else describe_plan
    click.echo(json.dumps(content, indent=2) if as_json else describe(content))


@reprocessing.command()
@config_option
@click.option("--plan", "plan_path", type=FILE, required=True, help="The plan, plan.json.")
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
