"""Steps of the reprocessing workflow, called by its rules; each can be run by hand, too."""

import sys
import time

import click

from ctabatch.cli.options import (
    FILE,
    FOLDER,
    config_option,
    output_option,
    plan_option,
    read_config,
)

wave_option = click.option("--wave", type=click.IntRange(1), required=True, help="Wave, from 1.")

#: Seconds between lines of progress in a log.
_PERIOD = 10


def _open(config_path, plan_path):
    """Return configuration, lake and plan."""
    from ctabatch.files import read_json
    from ctabatch.lake.open import open_lake

    config, _ = read_config(config_path)
    return config, open_lake(config.lake), read_json(plan_path)


class ProgressLines:
    """Progress as lines for a log, not more often than every ten seconds.

    Parameters
    ----------
    title : str
        What is going on.
    """

    def __init__(self, title):
        self.title, self.last, self.shown = title, 0.0, None

    def __call__(self, done, total, what):
        """Write a line if it is time, or all is done."""
        now = time.monotonic()
        if (done, total) == self.shown or (done < total and now - self.last < _PERIOD):
            return
        self.last, self.shown = now, (done, total)
        click.echo(f"{self.title}: {done} of {total} files, {what}", err=True)


@click.command()
@config_option
@plan_option
@wave_option
@output_option
def stage(config_path, plan_path, wave, output):
    """Bring the DL0 files of a wave from tape to disk.

    Transfers that fail are asked for again a few times, then named. Running it again goes on with the
    same request.

    \b
    Example:
      cta-batch reprocessing stage --plan results/reprocessing/demo/plan.json --wave 1 \\
          --output 1.staged.json
    """
    from ctabatch.cli.output import ProgressBar
    from ctabatch.reprocessing.staging import stage_wave

    _, lake, plan = _open(config_path, plan_path)
    title = f"stage wave {wave} of {len(plan['waves'])}"
    with ProgressBar(title) as bar:
        stage_wave(lake, plan, wave, output, bar or ProgressLines(title))


@click.command()
@config_option
@plan_option
@wave_option
@output_option
def release(config_path, plan_path, wave, output):
    """Give up the disk copies of a wave.

    \b
    Example:
      cta-batch reprocessing release --plan results/reprocessing/demo/plan.json --wave 1 \\
          --output 1.released.json
    """
    from ctabatch.files import write_json
    from ctabatch.reprocessing.staging import release_wave

    _, lake, plan = _open(config_path, plan_path)
    write_json(output, {"wave": wave, "held": release_wave(lake, plan, wave)})


@click.command()
@config_option
@plan_option
@click.option("--file", "name", required=True, help="File name in the plan.")
@output_option
def fetch(config_path, plan_path, name, output):
    """Copy a DL0 file from the disk of the lake, checksum verified.

    \b
    Example:
      cta-batch reprocessing fetch --plan results/reprocessing/demo/plan.json \\
          --file DL0.h5 --output results/reprocessing/demo/dl0/DL0.h5
    """
    from ctabatch.reprocessing.inputs import fetch_dl0

    _, lake, plan = _open(config_path, plan_path)
    fetch_dl0(lake, plan, name, output)


@click.command()
@config_option
@plan_option
@click.option("--irf", "key", required=True, help="Key of an IRF in the plan.")
@click.option("--output", type=FOLDER, required=True, help="Folder to write to.")
def models(config_path, plan_path, key, output):
    """Fetch an IRF and the models it was made with, checksums verified.

    \b
    Example:
      cta-batch reprocessing models --plan results/reprocessing/demo/plan.json \\
          --irf 0123456789ab --output results/reprocessing/demo/models/0123456789ab
    """
    from ctabatch.reprocessing.inputs import fetch_models

    _, lake, plan = _open(config_path, plan_path)
    fetch_models(lake, plan, key, output)


@click.command()
@plan_option
@click.option("--key", required=True, help="Observation in the plan, such as ob0000000042.")
@output_option
@click.option("--lineage", type=FILE, required=True, help="File with what the DL3 is made of.")
def observation(plan_path, key, output, lineage):
    """Write the metadata of an observation for `cta-batch dl3 create` and `verify`.

    \b
    Example:
      cta-batch reprocessing observation --plan results/reprocessing/demo/plan.json \\
          --key ob0000000042 --output OBS.json --lineage OBS.lineage.json
    """
    from ctabatch.files import read_json
    from ctabatch.reprocessing.inputs import write_observation

    write_observation(read_json(plan_path), key, output, lineage)


@click.command()
@config_option
@plan_option
@click.option("--key", required=True, help="Observation in the plan, such as ob0000000042.")
@click.option("--dl3", type=FILE, required=True, help="DL3 file; its sidecar is beside it.")
@click.option("--verification", type=FILE, required=True, help="Result of dl3 verify.")
@output_option
def ingest(config_path, plan_path, key, dl3, verification, output):
    """Ingest a verified DL3; note it with its DL0, and mark older DL3 superseded.

    Refuses if a check failed. Running it again completes what was interrupted.

    \b
    Example:
      cta-batch reprocessing ingest --plan results/reprocessing/demo/plan.json \\
          --key ob0000000042 --dl3 OBS.dl3.fits.gz --verification OBS.json --output ingest.json
    """
    from ctabatch.reprocessing.products import ingest_observation

    config, lake, plan = _open(config_path, plan_path)
    result = ingest_observation(config, lake, plan, key, dl3, verification, output)
    click.echo(f"in the data lake: {result['did']}")
    for did in result["superseded"]:
        click.echo(f"superseded: {did}")


@click.command()
@config_option
@plan_option
@click.option("--output", type=FOLDER, required=True, help="Folder of DL3 files and index.")
def index(config_path, plan_path, output):
    """Write the index files of all DL3 of a request; fetches those that existed before.

    \b
    Example:
      cta-batch reprocessing index --plan results/reprocessing/demo/plan.json \\
          --output results/reprocessing/demo/dl3
    """
    from ctabatch.reprocessing.summary import index as make

    _, lake, _ = _open(config_path, plan_path)
    click.echo(f"indexed {len(make(lake, plan_path, output))} files", file=sys.stderr)


@click.command()
@plan_option
@click.option("--benchmarks", type=FOLDER, help="Folder of benchmarks; beside the plan by default.")
@output_option
def summarise(plan_path, benchmarks, output):
    """Sum up a finished request, and refresh the cost table with what it really took.

    \b
    Example:
      cta-batch reprocessing summarise --plan results/reprocessing/demo/plan.json \\
          --output results/reprocessing/demo/summary.json
    """
    from ctabatch.reprocessing.summary import summarise as make

    make(plan_path, output, benchmarks)


STEPS = (stage, release, fetch, models, observation, ingest, index, summarise)
