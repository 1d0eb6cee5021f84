"""``cta-batch dl3``: make, verify and index DL3 files of observations."""

import click

from ctabatch.cli.options import FILE, FOLDER, json_option, read_config
from ctabatch.cli.output import ProgressBar, print_result


@click.group()
def dl3():
    """DL3 of observations: create, verify, index.

    \b
    Examples:
      cta-batch dl3 create --events run.dl2.h5 --cuts cuts.fits --irf IRF.fits.gz \\
          --select config/pipeline/irf.yaml --observation OBS.json --output OBS.dl3.fits.gz
      cta-batch dl3 verify OBS.dl3.fits.gz --observation OBS.json --output verification.json
      cta-batch dl3 index *.dl3.fits.gz --output .
    """


@dl3.command()
@click.option(
    "--events", type=FILE, multiple=True, required=True, help="DL2 file; may be given repeatedly."
)
@click.argument("more_events", type=FILE, nargs=-1)
@click.option("--cuts", type=FILE, required=True, help="cuts.fits of the IRF production.")
@click.option("--irf", "irf_path", type=FILE, required=True, help="IRF product.")
@click.option(
    "--select", type=FILE, required=True, help="Configuration of the IRF production, irf.yaml."
)
@click.option(
    "--observation",
    type=FILE,
    required=True,
    help="JSON with the flat metadata of the observation, or a list of those of its DL0 files.",
)
@click.option("--output", type=FILE, required=True, help="DL3 file to write.")
@click.option(
    "--lineage", type=FILE, help="JSON with further flat keys for the sidecar, such as dl3__irf."
)
@click.option("--config", "config_path", help="Configuration file that gives the contact.")
@click.option(
    "--chunk-size",
    type=click.IntRange(100),
    default=50_000,
    show_default=True,
    help="Most events in memory at once, before selection.",
)
def create(
    events,
    more_events,
    cuts,
    irf_path,
    select,
    observation,
    output,
    lineage,
    config_path,
    chunk_size,
):
    """Make the DL3 file of an observation from DL2 files, with the cuts of the IRF.

    The models of the IRF production have to be applied to the DL2 files. Writes the sidecar
    OUTPUT.meta.json, too.

    \b
    Example:
      cta-batch dl3 create --events chunk1.dl2.h5 chunk2.dl2.h5 --cuts cuts.fits \\
          --irf IRF.fits.gz --select config/pipeline/irf.yaml --observation OBS.json \\
          --output OBS.dl3.fits.gz
    """
    from ctabatch.dl3.create import create_dl3
    from ctabatch.errors import InputError
    from ctabatch.files import read_json

    extra = read_json(lineage) if lineage else {}
    if not isinstance(extra, dict):
        raise InputError("is no object of flat keys", str(lineage))
    with ProgressBar("events") as progress:
        metadata = create_dl3(
            [*events, *more_events],
            cuts=cuts,
            irf=irf_path,
            select=select,
            observation=observation,
            output=output,
            config=read_config(config_path)[0] if config_path else None,
            lineage=extra,
            chunk_size=chunk_size,
            progress=progress,
        )
    found = metadata.extra
    click.echo(
        f"{output}: {found['dl3__events']} events of observation "
        f"{metadata.product.instance.obs_id}, live {found['obs__livetime_s']:.6g} s of "
        f"{found['obs__ontime_s']:.6g} s"
    )


@dl3.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "--observation",
    type=FILE,
    multiple=True,
    help="What DL0 says about an observation; once, or once a file.",
)
@click.option("--output", type=FILE, help="Write the result here as JSON.")
@click.option("--max-zenith", type=float, help="Largest zenith angle of the pointing, deg.")
@click.option(
    "--max-irf-zenith", type=float, help="Largest difference of zenith from the IRF's, deg."
)
@click.option(
    "--max-irf-azimuth", type=float, help="Largest difference of azimuth from the IRF's, deg."
)
@click.option("--report-only", is_flag=True, help="Exit 0 even if a check fails.")
@json_option
def verify(
    files,
    observation,
    output,
    max_zenith,
    max_irf_zenith,
    max_irf_azimuth,
    report_only,
    as_json,
):
    """Check DL3 files: every check has a name, a verdict and a reason. Exits 1 if one fails.

    \b
    Example:
      cta-batch dl3 verify OBS.dl3.fits.gz --observation OBS.json --output verification.json
    """
    from ctabatch.dl3.observation import Observation
    from ctabatch.dl3.verification import Limits, describe, verify_files
    from ctabatch.errors import ValidationFailed

    given = {"zenith": max_zenith, "irf_zenith": max_irf_zenith, "irf_azimuth": max_irf_azimuth}
    limits = Limits(**{key: value for key, value in given.items() if value is not None})
    known = [Observation.read(path) for path in observation]
    result = verify_files(files, known, limits, output)
    print_result(result, as_json, describe)
    if not result["passed"] and not report_only:
        raise ValidationFailed("a DL3 file did not pass its checks", "see the failed checks above")


@dl3.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--output", "folder", type=FOLDER, required=True, help="Folder of the index files.")
def index(files, folder):
    """Write hdu-index.fits.gz and obs-index.fits.gz, by which Gammapy finds the files.

    \b
    Example:
      cta-batch dl3 index results/dl3/*.dl3.fits.gz --output results/dl3
    """
    from ctabatch.dl3.index import write_index

    for path in write_index(files, folder):
        click.echo(f"wrote {path}")
