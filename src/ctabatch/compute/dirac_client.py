"""Connections to a DiracX server, through the client of the executor plug-in.

That client retries what may pass, and renews the login; here its errors become those of
`ctabatch.errors`.
"""

import logging
from contextlib import contextmanager

from ctabatch.errors import BatchError

_INSTALL = "install the extra: pip install 'ctabatch[dirac]'"


class DiracError(BatchError):
    """The DIRAC server does not answer, refuses, or does not know the user."""


@contextmanager
def dirac_connection(url: str | None, patience: float):
    """Connect to a DiracX server.

    Parameters
    ----------
    url : str, optional
        Address; that of the variable ``DIRACX_URL`` by default.
    patience : float
        Seconds for which a server that is away is asked again.

    Yields
    ------
    snakemake_executor_plugin_dirac.client.Connection
        Errors of its calls become `DiracError`.
    """
    try:
        from snakemake_executor_plugin_dirac.client import Connection
        from snakemake_executor_plugin_dirac.errors import PassingError
        from snakemake_executor_plugin_dirac.settings import ExecutorSettings
        from snakemake_interface_common.exceptions import WorkflowError
    except ImportError as error:
        raise DiracError(f"the client of DIRAC is not installed ({error.name})", _INSTALL) from None
    try:
        settings = ExecutorSettings(url=url, patience=patience / 60)
        connection = Connection(settings, logging.getLogger("ctabatch.dirac"))
        try:
            yield connection
        except PassingError as error:
            raise DiracError(
                f"the DIRAC server {connection.preferences.url} does not answer: {error}",
                "try later, or leave out the back end dirac",
            ) from None
        finally:
            connection.close()
    except WorkflowError as error:
        raise DiracError(_words(str(error))) from None


def _words(text: str) -> str:
    """Name the settings as they are called here, on one line."""
    text = text.removeprefix("DIRAC executor: ").replace("--dirac-url", "compute.dirac.url")
    text = text.replace("`dirac login`", "`cta-batch login --service dirac`")
    return " ".join(text.split())
