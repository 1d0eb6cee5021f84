"""``cta-batch analysis``: analyse DL3 observations with Gammapy."""

import click

from ctabatch.cli.analysis_steps import STEPS
from ctabatch.cli.options import FOLDER, config_option, json_option, read_config
from ctabatch.cli.output import print_result
from ctabatch.cli.plans import (
    job_option,
    make_and_print,
    plan_output_option,
    read_to_show,
    show_options,
)


@click.group()
def analysis():
    """Analysis of DL3 observations: plan, show, and the steps of the workflow.

    \b
    Examples:
      cta-batch analysis plan --config config/demo-analysis.yaml
      cta-batch analysis show results/analysis/demo
    """


@analysis.command()
@config_option
@plan_output_option
@job_option
@json_option
def plan(config_path, output, job, as_json):
    """Say which observations an analysis will use, and what it costs, before anything is done.

    Looks up the observations and their IRFs in the data lake and checks the model files; what can't be
    used is listed with its reason.

    \b
    Example:
      cta-batch analysis plan --config config/demo-analysis.yaml
    """
    from ctabatch.analysis.describe import describe_plan
    from ctabatch.analysis.plan import make_plan, write_plan

    make_and_print(config_path, output, as_json, make_plan, write_plan, describe_plan, job)


@analysis.command()
@show_options
def show(folder, plan_path, as_json):
    """Show the results of an analysis; exits 1 if no fit converged.

    \b
    Examples:
      cta-batch analysis show results/analysis/demo
      cta-batch analysis show --plan results/analysis/demo/plan.json
    """
    from ctabatch.analysis.describe import describe_plan, describe_results, read_results
    from ctabatch.analysis.fit import require_convergence

    content = read_to_show("analysis show", folder, plan_path, read_results)
    if plan_path is not None:
        print_result(content, as_json, describe_plan)
        return
    print_result(content, as_json, describe_results)
    require_convergence(content)


@analysis.command("import")
@click.argument("index", type=FOLDER)
@config_option
@click.option("--site", type=click.Choice(["CTAO-North", "CTAO-South"]), required=True)
@click.option("--subarray", required=True, help="Name of the array layout.")
@click.option("--project", help="Project id that the observations get.")
@click.option("--caldb", type=FOLDER, help="Calibration database, for an index with $CALDB.")
@click.option("--release", default="imported", show_default=True, help="Name of the release.")
@click.option("--disclaimer", help="Text that all reports made of the data show.")
@click.option("--output", type=FOLDER, required=True, help="Folder for the DL3 products.")
def import_(index, config_path, site, subarray, project, caldb, release, disclaimer, output):
    """Make DL3 products of observations with GADF index files, ready for the data lake.

    Events and IRFs of each observation are put into one file with metadata beside it.

    \b
    Example:
      cta-batch analysis import cta-1dc/index/gps --site CTAO-South --subarray baseline \\
          --project GPS --release cta-1dc --output dl3
      cta-batch lake ingest dl3/*.fits.gz
    """
    from ctabatch.analysis.importing import import_observations

    config, _ = read_config(config_path)
    written = import_observations(
        config,
        index,
        output,
        site=site,
        subarray=subarray,
        project=project,
        caldb=caldb,
        release=release,
        disclaimer=disclaimer,
    )
    for path in written:
        click.echo(path)


for step in STEPS:
    analysis.add_command(step)
