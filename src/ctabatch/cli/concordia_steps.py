"""The steps of the workflow's target ``concordia``, as commands of ``cta-batch concordia``."""

from pathlib import Path

import click

from ctabatch.cli.options import (
    FILE,
    FOLDER,
    config_option,
    output_option,
    plan_option,
    read_config,
)


@click.command()
@click.option("--job", "job_path", type=FILE, help="What 'build --job' wrote, on any machine.")
@click.option("--plan", "plan_path", type=FILE, help="The plan, on the machine with the store.")
@click.option("--run", "number", type=int, required=True, help="Run number.")
@click.option("--output", "-o", type=FOLDER, help="Folder of the run; appears when it is complete.")
@click.option("--archive", type=FILE, help="Write the folder as tar archive instead.")
def run(job_path, plan_path, number, output, archive):
    """Make one run of a plan with the planned image, and none other.

    On a machine without the store (--job) the image is fetched once, its signature verified, and
    kept for later jobs, see docs/concordia.md.

    \b
    Example:
      cta-batch concordia run --plan plan.json --run 17 -o runs/000017
      cta-batch concordia run --job job.json --run 17 --archive 000017.tar
    """
    import tempfile

    from ctabatch.concordia.job import Job
    from ctabatch.concordia.plan import Plan
    from ctabatch.concordia.runs import pack, perform, perform_job
    from ctabatch.concordia.summary import megabytes
    from ctabatch.errors import InputError

    if bool(job_path) == bool(plan_path) or bool(output) == bool(archive):
        raise InputError("give --plan or --job, and --output or --archive")
    parent = (archive or output).absolute().parent
    parent.mkdir(parents=True, exist_ok=True)

    def make(folder):
        if job_path:
            return perform_job(Job.read(job_path), number, folder)
        return perform(Plan.read(plan_path), number, folder)

    if output:
        done = make(output)
    else:
        with tempfile.TemporaryDirectory(prefix=".run-", dir=parent) as name:
            folder = Path(name) / f"{number:06d}"
            done = make(folder)
            pack(folder, archive)
    size = sum(item["bytes"] for item in done["outputs"])
    click.echo(
        f"run {number}: {done['program']}, {done['seconds']} s, {megabytes(size)}, "
        f"image sha256 {done['image_sha256']}"
    )


@click.command(name="fetch-image")
@click.option("--job", "job_path", type=FILE, required=True, help="What 'build --job' wrote.")
def fetch_image(job_path):
    """Fetch the image of a job description to this node, verify it, and print its path.

    'run' does this by itself; beforehand it shows whether a node can have the image.

    \b
    Example:
      cta-batch concordia fetch-image --job job.json
    """
    from ctabatch.concordia.job import Job
    from ctabatch.concordia.node import image_of

    click.echo(image_of(Job.read(job_path)))


@click.command()
@plan_option
@output_option
@click.option("--config", "config_path", help="Configuration; writes sidecars of the products.")
@click.option("--partial", is_flag=True, help="Missing runs are no error.")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
def manifest(plan_path, output, config_path, partial, folders):
    """Check that each run was made by the planned image, and list what there is.

    FOLDERS are those of runs, or hold such. Exit code 1 and the numbers of the missing runs unless
    --partial is given; make those alone.

    \b
    Example:
      cta-batch concordia manifest --plan plan.json -o manifest.json runs
    """
    from ctabatch.concordia.manifest import Incomplete, collect, ranges
    from ctabatch.concordia.plan import Plan
    from ctabatch.concordia.summary import megabytes
    from ctabatch.files import write_json

    config = read_config(config_path)[0] if config_path else None
    content, missing = collect(Plan.read(plan_path), list(folders))
    if missing and not partial:
        raise Incomplete(f"{len(missing)} runs are missing: {ranges(missing)}", "run them alone")
    if config:
        from ctabatch.concordia.products import write_sidecars

        write_sidecars(config, plan_path, content)
    write_json(output, content)
    click.echo(
        f"{len(content['records'])} of {content['runs']} runs, {megabytes(content['bytes'])}"
    )


@click.command()
@config_option
@plan_option
@click.option("--manifest", "manifest_path", type=FILE, required=True, help="The manifest.")
@output_option
def ingest(config_path, plan_path, manifest_path, output):
    """Put the products of a complete request into the data lake, with their metadata.

    \b
    Example:
      cta-batch concordia ingest --plan plan.json --manifest manifest.json -o ingest.json
    """
    from ctabatch.concordia.products import ingest_runs

    done = ingest_runs(read_config(config_path)[0], plan_path, manifest_path, output)
    click.echo(
        f"{len(done['registered'])} registered, {len(done['present'])} were there already: "
        f"{done['dataset']}"
    )


@click.command()
@plan_option
@output_option
@click.option("--report", type=FILE, help="HTML page to write.")
def summarise(plan_path, output, report):
    """Write the closing summary of a request, and its report.

    \b
    Example:
      cta-batch concordia summarise --plan plan.json -o summary.json --report report.html
    """
    from ctabatch.concordia.summary import describe_summary
    from ctabatch.concordia.summary import summarise as write_summary

    click.echo(describe_summary(write_summary(plan_path, output, report)))


STEPS = (run, fetch_image, manifest, ingest, summarise)
