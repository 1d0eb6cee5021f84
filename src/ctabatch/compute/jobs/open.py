"""Open the job server of a back end."""

from contextlib import contextmanager

from ctabatch.config.compute import ComputeSettings
from ctabatch.errors import InputError


@contextmanager
def open_jobs(settings: ComputeSettings, backend: str | None = None):
    """Connect to the jobs of a back end.

    Parameters
    ----------
    settings : ctabatch.config.compute.ComputeSettings
        Section ``compute`` of the configuration.
    backend : str, optional
        ``slurm`` or ``dirac``; the first of ``compute.backends`` that has jobs by default.

    Yields
    ------
    ctabatch.compute.jobs.model.JobServer
    """
    if backend is None:
        backend = next((name for name in settings.backends if name != "local"), "local")
    if backend == "local":
        raise InputError(
            "jobs of this machine end with their Snakemake: its terminal and the files below "
            ".snakemake/log tell about them, Ctrl-C stops them",
            "--backend",
            "slurm or dirac",
        )
    if backend == "slurm":
        from ctabatch.compute.jobs.slurm import SlurmJobs

        yield SlurmJobs(settings.patience)
        return
    from ctabatch.compute.dirac_client import dirac_connection
    from ctabatch.compute.jobs.dirac import DiracJobs

    with dirac_connection(settings.dirac.url, settings.patience) as connection:
        yield DiracJobs(connection)
