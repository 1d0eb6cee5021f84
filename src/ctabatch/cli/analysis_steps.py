"""Steps of the analysis workflow, called by its rules; each can be run by hand, too."""

import click

from ctabatch.cli.options import FILE, config_option, output_option, plan_option, read_config
from ctabatch.cli.output import ProgressBar

group_option = click.option(
    "--group", type=click.IntRange(min=0), required=True, help="Number of the group, from 0."
)
fit_option = click.option("--fit", "fit_path", type=FILE, required=True, help="Result of the fit.")
reduced_argument = click.argument("reduced", type=FILE, nargs=-1, required=True)


@click.command()
@config_option
@plan_option
@group_option
@output_option
def transfer(config_path, plan_path, group, output):
    """Bring the observations of a group to the cache, verified, as one archive.

    \b
    Example:
      cta-batch analysis transfer --plan results/analysis/demo/plan.json --group 0 \\
          --output results/analysis/demo/cache/0.tar
    """
    from ctabatch.analysis.transfer import transfer as run

    config, _ = read_config(config_path)
    with ProgressBar("transfer") as progress:
        bad = run(config, plan_path, group, output, progress)
    for item in bad:
        click.echo(f"left out: observation {item['obs_id']}: {item['reason']}", err=True)


@click.command()
@plan_option
@group_option
@click.option("--archive", type=FILE, required=True, help="Archive of the transfer.")
@output_option
def reduce(plan_path, group, archive, output):
    """Reduce the observations of a group with Gammapy.

    \b
    Example:
      cta-batch analysis reduce --plan results/analysis/demo/plan.json --group 0 \\
          --archive results/analysis/demo/cache/0.tar --output results/analysis/demo/reduced/0.tar
    """
    from ctabatch.analysis.reduce import reduce_group

    result = reduce_group(plan_path, group, archive, output)
    click.echo(f"{len(result['observations'])} observations reduced")
    for item in result["bad"]:
        click.echo(f"left out: observation {item['obs_id']}: {item['reason']}", err=True)


@click.command()
@plan_option
@reduced_argument
@output_option
def stack(plan_path, reduced, output):
    """Stack all reduced groups, given in order; writes the dataset in Gammapy's format.

    \b
    Example:
      cta-batch analysis stack --plan results/analysis/demo/plan.json \\
          results/analysis/demo/reduced/0.tar --output results/analysis/demo/stacked.fits.gz
    """
    from ctabatch.analysis.steps import stack_groups

    counts = stack_groups(plan_path, list(reduced), output)["on_region"]
    click.echo(f"{counts['counts']} counts, excess {counts['excess']:.1f}")


@click.command()
@plan_option
@reduced_argument
@click.option("--stacked", type=FILE, required=True, help="Stacked dataset to write.")
@output_option
@click.option("--report-only", is_flag=True, help="Exit 0 even if no candidate converges.")
def fit(plan_path, reduced, stacked, output, report_only):
    """Stack the reduced groups, fit all candidate models and compare them.

    Exits 1 if none converges; the result is written in any case.

    \b
    Example:
      cta-batch analysis fit --plan results/analysis/demo/plan.json \\
          results/analysis/demo/reduced/0.tar --stacked results/analysis/demo/stacked.fits.gz \\
          --output results/analysis/demo/fit.json
    """
    from ctabatch.analysis.fit import require_convergence
    from ctabatch.analysis.steps import fit as run

    result = run(plan_path, list(reduced), stacked, output)
    for name, item in result["candidates"].items():
        mark = "  (best)" if name == result["best"] else ""
        click.echo(f"{name}: -2 ln L {item['stat']}, AIC {item['aic']}, TS {item['ts']}{mark}")
    if not report_only:
        require_convergence(result)


@click.command()
@plan_option
@click.option("--stacked", type=FILE, required=True, help="Stacked dataset.")
@fit_option
@reduced_argument
@output_option
def products(plan_path, stacked, fit_path, reduced, output):
    """Make flux points, light curve, maps, plots and summary, as one archive.

    \b
    Example:
      cta-batch analysis products --plan results/analysis/demo/plan.json \\
          --stacked results/analysis/demo/stacked.fits.gz --fit results/analysis/demo/fit.json \\
          results/analysis/demo/reduced/0.tar --output results/analysis/demo/products.tar
    """
    from ctabatch.analysis.steps import products as run

    result = run(plan_path, stacked, fit_path, list(reduced), output)
    click.echo(f"made {', '.join(result['files'])}")


@click.command()
@plan_option
@click.option("--archive", type=FILE, required=True, help="Archive of the products.")
@output_option
def report(plan_path, archive, output):
    """Unpack the products beside the report, and write the HTML report.

    \b
    Example:
      cta-batch analysis report --plan results/analysis/demo/plan.json \\
          --archive results/analysis/demo/products.tar --output results/analysis/demo/report.html
    """
    from ctabatch.analysis.report import write_report

    click.echo(write_report(plan_path, archive, output))


@click.command()
@config_option
@plan_option
@fit_option
@output_option
def save(config_path, plan_path, fit_path, output):
    """Save the results into the data lake, or into a folder, as the request says.

    Refuses if no fit converged. Running it again completes what was interrupted.

    \b
    Example:
      cta-batch analysis save --plan results/analysis/demo/plan.json \\
          --fit results/analysis/demo/fit.json --output results/analysis/demo/saved.json
    """
    from ctabatch.analysis.save import save as run

    config, _ = read_config(config_path)
    result = run(config, plan_path, fit_path, output)
    for did in result["products"].values():
        click.echo(f"in the data lake: {did}")
    if result["folder"]:
        click.echo(f"in {result['folder']}")


@click.command()
@config_option
@plan_option
@output_option
def release(config_path, plan_path, output):
    """Give up the cache and disk copies of an analysis, and check that nothing is left.

    \b
    Example:
      cta-batch analysis release --plan results/analysis/demo/plan.json \\
          --output results/analysis/demo/released.json
    """
    from ctabatch.analysis.transfer import release as run

    config, _ = read_config(config_path)
    result = run(config, plan_path, output)
    click.echo(
        f"cache released: {len(result['cache_removed'])} files removed, "
        f"{len(result['requests_released'])} staging requests given up"
    )


STEPS = (transfer, reduce, stack, fit, products, report, save, release)
