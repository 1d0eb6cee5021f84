"""``cta-batch jobs``: jobs of workflow runs on DIRAC or Slurm."""

from contextlib import contextmanager
from pathlib import Path

import click

from ctabatch.cli.options import DEFAULT_CONFIG, FOLDER, json_option, read_config
from ctabatch.cli.output import print_json, print_table

#: Most jobs whose logs are printed at once.
_LOGS_AT_ONCE = 20


def _server(command):
    """Options that say which server."""
    for option in (
        click.option(
            "--config",
            "config_path",
            help="Configuration whose section 'compute' is used, '-' for standard input; by default "
            f"{DEFAULT_CONFIG} if it exists.",
        ),
        click.option(
            "--backend",
            type=click.Choice(["dirac", "slurm", "local"]),
            help="By default the first of compute.backends that is not local.",
        ),
    ):
        command = option(command)
    return command


def _selection(command):
    """Options that say which jobs."""
    for option in (
        click.option(
            "--state", help="Only this state: failed, stalled, running, waiting, done, or a state "
            "of the server such as Killed."
        ),
        click.option("--rule", help="Only jobs of this rule or group of rules."),
        click.option(
            "--run", help="Only this workflow run: its job group (DIRAC) or job name (Slurm)."
        ),
        click.argument("ids", nargs=-1, metavar="[NUMBER...]"),
    ):  # fmt: skip
        command = option(command)
    return command


@contextmanager
def _open(config_path, backend):
    from ctabatch.compute.jobs import open_jobs
    from ctabatch.config.compute import ComputeSettings

    if config_path is None and not DEFAULT_CONFIG.exists():
        settings = ComputeSettings()
    else:
        settings = read_config(config_path or str(DEFAULT_CONFIG))[0].compute
    with open_jobs(settings, backend) as server:
        yield server


def _select(ids, run, rule, state):
    from ctabatch.compute.jobs import Selection

    return Selection(tuple(ids), run, rule, state)


@click.group()
def jobs():
    """Jobs of workflow runs on DIRAC or Slurm: list, sum up, logs, kill.

    A run is called by its job group on DIRAC (smk-..., Snakemake's output says it) and by its job
    name on Slurm (ctabatch_...). Only your own jobs, and only those of Snakemake, are shown.

    \b
    Example:
      cta-batch jobs status --backend dirac --watch
    """


@jobs.command("list")
@_selection
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Most rows."
)
@json_option
@_server
def list_(ids, run, rule, state, limit, as_json, config_path, backend):
    """List jobs, failures first.

    \b
    Examples:
      cta-batch jobs list --backend dirac --state failed
      cta-batch jobs list --run smk-0123456789abcdef --rule irf_process --json
    """
    with _open(config_path, backend) as server:
        found = server.find(_select(ids, run, rule, state))
        most = server.limit
    if as_json:
        print_json([job.record() for job in found])
        return
    columns = ["job", "run", "rule", "state", "site", "submitted", "ended"]
    print_table(
        columns,
        [[j.id, j.run, j.rule, j.state, j.site, j.submitted, j.ended] for j in found[:limit]],
    )
    if len(found) > limit:
        click.echo(f"{limit} of {len(found)} jobs shown, see --limit", err=True)
    if len(found) >= most:
        click.echo(f"the server shows {most} jobs at most, the newest", err=True)


@jobs.command()
@_selection
@click.option("--watch", is_flag=True, help="Go on until no job is under way.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2),
    default=10,
    show_default=True,
    help="Seconds between two looks, with --watch.",
)
@json_option
@_server
def status(ids, run, rule, state, watch, interval, as_json, config_path, backend):
    """Count jobs by run, state and site, failures first.

    With --watch, a live table on a terminal and a line for each change elsewhere; it ends with the
    last job, with exit code 1 if any has failed.

    \b
    Examples:
      cta-batch jobs status --backend dirac
      cta-batch jobs status --run smk-0123456789abcdef --watch
    """
    from ctabatch.compute.jobs.model import counts

    selection = _select(ids, run, rule, state)
    with _open(config_path, backend) as server:
        if watch:
            from ctabatch.cli.jobs_watch import watch_jobs

            watch_jobs(lambda: server.find(selection), interval, as_json)
            return
        found = counts(server.find(selection))
    if as_json:
        print_json(found)
        return
    names = ("run", "kind", "state", "site", "jobs")
    print_table(names, [[row[name] for name in names] for row in found])


@jobs.command()
@_selection
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    default=50,
    show_default=True,
    help="Lines at the end of each file; 0 for all.",
)
@_server
def logs(ids, run, rule, state, lines, config_path, backend):
    """Print the logs of jobs.

    DIRAC: from their output sandboxes. Slurm: from the working directory of the run.

    \b
    Examples:
      cta-batch jobs logs 1234 --backend dirac
      cta-batch jobs logs --run smk-0123456789abcdef --state failed
    """
    import tempfile

    from ctabatch.errors import InputError

    selection = _narrow(ids, run, rule, state)
    with _open(config_path, backend) as server, tempfile.TemporaryDirectory() as folder:
        found = _some(server.find(selection))
        if len(found) > _LOGS_AT_ONCE:
            raise InputError(
                f"that are {len(found)} jobs", "jobs logs", f"up to {_LOGS_AT_ONCE}; see jobs fetch"
            )
        files = server.fetch(found, Path(folder))
        for job in found:
            click.echo(f"=== {job.id} {job.rule}: {job.state}" + f" at {job.site}" * bool(job.site))
            for path in files[job.id]:
                click.echo(f"--- {path.relative_to(Path(folder) / job.id)}")
                text = path.read_text(errors="replace").splitlines()
                click.echo("\n".join(text[-lines:] if lines else text))
    _complain_without_output(found, files)


@jobs.command()
@_selection
@click.option(
    "-o",
    "--output",
    type=FOLDER,
    required=True,
    help="Folder; each job gets one of its own in it.",
)
@json_option
@_server
def fetch(ids, run, rule, state, output, as_json, config_path, backend):
    """Fetch the output sandboxes of jobs.

    \b
    Example:
      cta-batch jobs fetch --run smk-0123456789abcdef --state failed -o sandboxes
    """
    selection = _narrow(ids, run, rule, state)
    with _open(config_path, backend) as server:
        found = _some(server.find(selection))
        files = server.fetch(found, output)
    if as_json:
        print_json({number: [str(path) for path in paths] for number, paths in files.items()})
    else:
        for paths in files.values():
            for path in paths:
                click.echo(path)
    _complain_without_output(found, files)


@jobs.command()
@_selection
@json_option
@_server
def kill(ids, run, rule, state, as_json, config_path, backend):
    """Kill jobs in one call: some by number, or those of a run.

    \b
    Examples:
      cta-batch jobs kill 1234 1235 --backend dirac
      cta-batch jobs kill --run smk-0123456789abcdef --state waiting
    """
    selection = _narrow(ids, run, rule, state)
    with _open(config_path, backend) as server:
        found = server.find(selection)
        live = [job for job in found if job.kind not in ("done", "failed")]
        killed = server.kill(live)
    if as_json:
        print_json({"killed": killed, "ended": len(found) - len(live)})
        return
    ended = len(found) - len(live)
    click.echo(f"{killed} jobs killed" + f", {ended} had ended already" * bool(ended))


def _narrow(ids, run, rule, state):
    """Refuse a selection that could mean all jobs of the user."""
    from ctabatch.errors import InputError

    selection = _select(ids, run, rule, state)
    if not selection.narrow:
        raise InputError("which jobs?", "jobs", "numbers of jobs, or --run")
    return selection


def _some(found):
    from ctabatch.errors import BatchError

    if not found:
        raise BatchError("no job matches", "look with: cta-batch jobs list")
    return found


def _complain_without_output(found, files):
    """Say which jobs have no output; that is a failure if none has."""
    from ctabatch.errors import BatchError

    empty = [job for job in found if not files[job.id]]
    for job in empty:
        click.echo(f"{job.id} ({job.rule}, {job.state}) has no output here", err=True)
    if len(empty) == len(found):
        raise BatchError(
            "none of the jobs has output",
            "DIRAC: sent when a job has ended. Slurm: run this in the working directory of the run; "
            "logs of jobs that succeeded are deleted",
        )
