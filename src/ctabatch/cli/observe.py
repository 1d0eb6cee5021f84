"""``cta-batch observe``: the open simulator observes a source and writes DL0."""

import click

from ctabatch.cli.options import FOLDER, config_option, read_config


@click.command()
@config_option
@click.option(
    "--output",
    "folder",
    type=FOLDER,
    required=True,
    help="Folder of the DL0 files.",
)
@click.option("--obs-id", type=int, help="Only this observation; all by default.")
def observe(config_path, folder, obs_id):
    """Simulate the observations of the configuration, and write their DL0 files with sidecars.

    What is observed stands in the section 'observation'. The files hold waveforms, time stamps and the
    telescopes' pointing as from an array, approximately: the simulator is open and not official, and
    the sidecars say so. Files that are there already are left as they are.

    \b
    Example:
      cta-batch observe --config config/demo-reprocessing.yaml --output dl0
      cta-batch lake ingest dl0/*.h5 --config config/demo-reprocessing.yaml
    """
    from ctabatch.cli.output import ProgressBar
    from ctabatch.errors import InputError
    from ctabatch.lake.metadata import read_sidecar
    from ctabatch.simulation.dl0 import observe as make
    from ctabatch.simulation.observation import plan_observations

    config, where = read_config(config_path)
    plan = plan_observations(config, where)
    known = sorted({chunk.obs_id for chunk in plan.chunks()})
    if obs_id is not None and obs_id not in known:
        raise InputError(
            f"the configuration has no observation {obs_id}",
            "--obs-id",
            f"{known[0]} to {known[-1]}",
        )
    with ProgressBar("DL0 files") as progress:
        paths = make(plan, folder, progress, only=obs_id)
    for path in paths:
        found = read_sidecar(path).extra
        click.echo(
            f"{path}: {found['obs__triggers']} events, zenith {found['obs__zenith_deg']:.1f} deg, "
            f"live {found['obs__livetime_s']:.6g} s"
        )
