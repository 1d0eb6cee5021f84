"""What the workers get: an archive of the workflow's sources, and the table of jobs."""

import base64
import fnmatch
import gzip
import io
import os
import shlex
import tarfile
from importlib.resources import files
from pathlib import Path

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_dirac.settings import words

#: DIRAC's largest sandbox, and the size of sources above which the user is told, in bytes.
LARGEST_SANDBOX, LARGE_SOURCES = 100 * 1024**2, 10 * 1024**2
#: Time stamp of all archived files, so that the same content has the same digest.
EPOCH = 315532800


def _add(archive, name: str, content: bytes, mode=0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(content), EPOCH, mode
    archive.addfile(entry, io.BytesIO(content))


def _megabytes(size) -> str:
    return f"{size / 1024**2:.0f} MB"


def archive_sources(dag, exclude: str | None, logger) -> bytes:
    """Pack the workflow's sources as Snakemake lists them; the same files give the same bytes.

    Parameters
    ----------
    dag : snakemake.dag.DAG
        Knows Snakefiles, scripts, configuration and files under version control.
    exclude : str, optional
        Patterns of files to leave out, separated by commas.
    logger : logging.Logger
        Warned about what is left out, and about sources that are large.

    Returns
    -------
    bytes
        An uncompressed tar; the sandbox around it is compressed.
    """
    patterns = words(exclude)
    chosen, outside = [], []
    for name in sorted(dag.get_sources()):
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            continue
        if name.startswith("..") or Path(name).is_absolute():
            outside.append(name)
        elif Path(name).is_file():
            chosen.append((Path(name).stat().st_size, name))
    if outside:
        logger.warning(
            "DIRAC: these sources lie outside of the working directory, the workers will not have "
            f"them: {', '.join(outside[:5])}{' ...' if len(outside) > 5 else ''}"
        )
    total = sum(size for size, _ in chosen)
    if total > LARGE_SOURCES:
        largest = ", ".join(f"{name} ({_megabytes(size)})" for size, name in sorted(chosen)[:-4:-1])
        message = f"DIRAC: the sources are {_megabytes(total)}, each job downloads them: {largest}"
        if total > 4 * LARGEST_SANDBOX:
            raise WorkflowError(f"{message}; leave out what is not needed by --dirac-exclude")
        logger.warning(f"{message}. Consider --dirac-exclude, or make them inputs in the storage.")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for _, name in sorted(chosen, key=lambda item: item[1]):
            path = Path(name)
            _add(archive, name, path.read_bytes(), 0o755 if os.access(path, os.X_OK) else 0o644)
    return buffer.getvalue()


def encode(text: str) -> str:
    """Make one plain word of any text, for the bootstrap script to undo by ``base64 -d``."""
    return base64.b64encode(text.encode()).decode()


def job_table(rows) -> bytes:
    """Write the table of jobs: one line a job, its number, disk space and arguments.

    Parameters
    ----------
    rows : iterable of (int, list of str)
        Disk space in MB and arguments for Snakemake.

    Returns
    -------
    bytes
        Compressed lines ``NUMBER DISK BASE64``; the arguments are quoted for a shell.
    """
    lines = (
        f"{number} {disk} {encode(shlex.join(arguments))}\n"
        for number, (disk, arguments) in enumerate(rows)
    )
    return gzip.compress("".join(lines).encode(), 6, mtime=0)


def run_settings(settings, common: str, variables, server: str, made: int) -> bytes:
    """Write what is the same for all jobs, as assignments for the bootstrap script.

    Parameters
    ----------
    settings : ExecutorSettings
        Environment of the worker.
    common : str
        Arguments for Snakemake that all jobs share, quoted for a shell.
    variables : dict
        Environment variables to set on the worker.
    server : str
        Address of the DiracX server, whose clock is compared.
    made : int
        When this was written (server's clock, seconds since 1970).
    """
    from importlib.metadata import version

    kind, _, place = settings.environment.partition(":")
    exports = " ".join(shlex.quote(f"{key}={value}") for key, value in sorted(variables.items()))
    values = {
        "KIND": kind,
        "PLACE": place,
        "ENVIRONMENT_ARGS": settings.environment_args or "",
        "COMMON": common,
        "VARIABLES": exports,
        "SERVER": server,
        "MADE": str(made),
        "SNAKEMAKE_VERSION": version("snakemake"),
    }
    return "".join(f"{key} {encode(value)}\n" for key, value in values.items()).encode()


def build_sandbox(sources: bytes, table: bytes, common: bytes) -> bytes:
    """Pack the input sandbox (.tar.zst); the same content gives the same bytes.

    Raises
    ------
    snakemake_interface_common.exceptions.WorkflowError
        It is larger than DIRAC takes.
    """
    import zstandard

    script = files(__package__).joinpath("worker/dirac-job.sh").read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        _add(archive, "dirac-job", script, 0o755)
        _add(archive, "dirac-job.run", common)
        _add(archive, "dirac-job.table.gz", table)
        _add(archive, "dirac-job.sources.tar", sources)
    content = zstandard.ZstdCompressor(level=6).compress(buffer.getvalue())
    if len(content) > LARGEST_SANDBOX:
        raise WorkflowError(
            f"DIRAC: the input sandbox has {_megabytes(len(content))}, the server takes "
            f"{_megabytes(LARGEST_SANDBOX)}: leave out large sources by --dirac-exclude"
        )
    return content
