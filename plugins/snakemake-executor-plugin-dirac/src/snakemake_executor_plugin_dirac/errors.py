"""What goes wrong between here and the server, in three kinds that need different answers."""

import json

from snakemake_interface_common.exceptions import WorkflowError


class LoginLostError(WorkflowError):
    """The login is gone: only the user can mend it; jobs go on running."""


class ServerRefusedError(WorkflowError):
    """The server understood and said no: asking again does not help.

    Parameters
    ----------
    status : int
        HTTP status.
    detail : str
        The server's words.
    """

    def __init__(self, what, status, detail):
        super().__init__(f"DIRAC: the server refused to {what}: {detail} (HTTP {status})")
        self.status = status
        self.detail = detail


class PassingError(WorkflowError):
    """Server or network failed for now; `sent` tells whether the request may have been carried out.

    Parameters
    ----------
    message : str
        The cause in short.
    sent : bool
        False if the request certainly never reached the server.
    """

    def __init__(self, message, sent=True):
        super().__init__(message)
        self.sent = sent


def _detail(error) -> str:
    try:
        text = error.response.text()
    except Exception:  # the body may be gone or not be text
        return str(error.reason or error.message)
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = text
    return str(detail).strip()[:300]


def understand(what: str, error: Exception) -> WorkflowError:
    """Turn what diracx-client and its transports raise into one of the three kinds.

    Parameters
    ----------
    what : str
        What was asked, as an infinitive.
    error : Exception
        From the client.

    Returns
    -------
    WorkflowError
        `LoginLostError`, `ServerRefusedError` or `PassingError`; others are handed back as they are.
    """
    import azure.core.exceptions as azure
    import httpx2
    import jwt

    if isinstance(error, WorkflowError):
        return error
    if isinstance(error, azure.HttpResponseError) and error.response is not None:
        return _by_status(what, error.status_code, _detail(error))
    if isinstance(error, httpx2.HTTPStatusError):
        return _by_status(what, error.response.status_code, error.response.text[:300])
    if isinstance(error, httpx2.ConnectError) or _not_connected(error):
        return PassingError(_short(error), sent=False)
    if isinstance(error, jwt.PyJWTError):
        return LoginLostError("the file with the login is damaged")
    if isinstance(error, RuntimeError) and "refreshing your access token" in str(error):
        return LoginLostError(str(error))
    passing = (
        azure.AzureError,
        httpx2.HTTPError,
        json.JSONDecodeError,
        ConnectionError,
        TimeoutError,
    )
    if isinstance(error, passing):
        return PassingError(_short(error))
    if isinstance(error, RuntimeError) and ".well-known" in str(error):
        return PassingError("the server does not answer properly", sent=False)
    return error


def _not_connected(error) -> bool:
    """Tell whether the connection was never made; azure-core names resets the same."""
    from aiohttp import ClientConnectorError

    cause = getattr(error, "inner_exception", None) or error.__cause__
    return isinstance(cause, ClientConnectorError)


def _by_status(what, status, detail):
    if status == 401:
        return LoginLostError(detail)
    if status in (408, 425, 429) or status >= 500:
        return PassingError(f"HTTP {status}: {detail}")
    return ServerRefusedError(what, status, detail)


def _short(error) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
