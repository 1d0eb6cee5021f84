"""Client of a Rucio server: settings of the client library, login, and requests.

Rucio's own client asks on the terminal when a token has expired, and keeps tokens in a shared
temporary folder where they outlive a changed password. The one made here does neither.
"""

import os
import tempfile
from pathlib import Path

from ctabatch.config.lake import RucioSettings
from ctabatch.errors import InputError, LakeError
from ctabatch.files import read_secret


class ServerError(Exception):
    """The server is away, overloaded, or an answer broke off: worth another try."""


def one_line(error: Exception) -> str:
    """Return the message of an error of Rucio without its preamble and line ends."""
    text = " ".join(str(error).split())
    return text.partition("Details: ")[2] or text or type(error).__name__


def load_client_library() -> None:
    """Make Rucio's client library read the user's settings, or ours where there are none.

    Raises
    ------
    ctabatch.errors.LakeError
        The library is not installed, or a settings file can't be read.
    """
    # A settings file without the section [client] would put the library into server mode.
    os.environ.setdefault("RUCIO_CLIENT_MODE", "1")
    try:
        from rucio.common import config
        from rucio.common.exception import ConfigLoadingError, ConfigNotFound
    except ImportError:
        raise LakeError(
            "the Rucio client is not installed", "install the extra: pip install 'ctabatch[rucio]'"
        ) from None
    try:
        parser = config.get_config()
    except ConfigNotFound:
        os.environ["RUCIO_CONFIG"] = str(Path(__file__).with_name("rucio.cfg"))
        parser = config.get_config()
    except ConfigLoadingError:
        where = os.environ.get("RUCIO_CONFIG")
        raise LakeError(f"the settings file of Rucio {where} can't be read") from None
    if not parser.has_section("policy"):
        parser.read(Path(__file__).with_name("rucio.cfg"))


def _login(settings: RucioSettings) -> dict[str, str]:
    """Return user name and password; the password from its file, else from the environment."""
    if settings.password_file:
        password = read_secret(settings.password_file, "lake.rucio.password_file")
    elif not (password := os.environ.get("RUCIO_PASSWORD")):
        raise InputError(
            "no password for Rucio",
            where="lake.rucio.password_file",
            allowed="a file that only you may read, or the variable RUCIO_PASSWORD",
        )
    return {"username": settings.username or settings.account, "password": password}


def _token(settings: RucioSettings, refused: str | None = None) -> str:
    """Return the OIDC token: read again each time, because others renew the file or the login."""
    path = settings.token_file or os.environ.get("BEARER_TOKEN_FILE")
    if path:
        return read_secret(Path(path), "lake.rucio.token_file")
    if token := os.environ.get("BEARER_TOKEN"):
        return token
    if settings.login_provider:
        from ctabatch.iam.tokens import access_token

        return access_token(*settings.login_provider, settings.login, refused)
    raise InputError(
        "no token for Rucio",
        where="lake.rucio",
        allowed="login (a service of iam.providers), token_file, or the variable BEARER_TOKEN_FILE",
    )


def _token_refused(answer) -> bool:
    # What an account may not do is answered with the same status as a token that has expired.
    return answer.status_code == 401 and answer.headers.get("ExceptionClass") != "AccessDenied"


def make_client(settings: RucioSettings):
    """Log in, and return the client.

    Parameters
    ----------
    settings : ctabatch.config.lake.RucioSettings
        Host, account and login.
    """
    load_client_library()
    import requests
    from rucio.client import Client
    from rucio.common.constants import HTTPMethod
    from rucio.common.exception import ServerConnectionException
    from rucio.common.utils import build_url

    oidc = settings.auth_type == "oidc"

    class PatientClient(Client):
        """Client whose requests log in again by themselves and never ask on a terminal."""

        def _get_auth_tokens(self):
            # The library caches tokens by account only: a folder that is gone at once avoids it.
            with tempfile.TemporaryDirectory() as folder:
                file = f"{folder}/token"
            return None, f"{file}.expires", file, folder

        def _BaseClient__authenticate(self):  # noqa: N802 - the library's own hook
            self.renew()

        def renew(self):
            """Get another token."""
            if oidc:
                self.auth_token = _token(settings, refused=self.auth_token)
            else:
                answer = self._send_request(
                    build_url(self.auth_host, path="auth/userpass"),
                    method=HTTPMethod.GET,
                    headers={
                        "X-Rucio-Username": self.creds["username"],
                        "X-Rucio-Password": self.creds["password"],
                    },
                    get_token=True,
                )
                if answer.status_code != requests.codes.ok:
                    raise LakeError(
                        f"Rucio refuses the login of {self.creds['username']} for account "
                        f"{settings.account}",
                        "check lake.rucio.account, username and password",
                    )
                self.auth_token = answer.headers["X-Rucio-Auth-Token"]
            self.headers["X-Rucio-Auth-Token"] = self.auth_token

        def _send_request(self, *args, get_token=False, **options):
            """Send a request; a refused token is renewed once, a fault is told from a refusal."""
            try:
                # get_token keeps the library from its own way to renew, which may ask a person.
                answer = super()._send_request(*args, get_token=True, **options)
            except (
                ServerConnectionException,
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                raise ServerError(type(error).__name__) from error
            if answer.status_code in (502, 503, 504):
                raise ServerError(f"answer {answer.status_code}")
            if _token_refused(answer) and not get_token:
                old = self.auth_token
                self.renew()
                if not oidc or self.auth_token != old:
                    answer = super()._send_request(*args, get_token=True, **options)
                if _token_refused(answer):
                    raise LakeError(
                        f"Rucio refuses the token of account {settings.account}",
                        "it may have expired: log in again, or renew the token file",
                    )
            return answer

    return PatientClient(
        rucio_host=settings.host.rstrip("/"),
        auth_host=(settings.auth_host or settings.host).rstrip("/"),
        account=settings.account,
        auth_type=settings.auth_type,
        creds={} if oidc else _login(settings),
        ca_cert=str(settings.ca_cert) if settings.ca_cert else None,
        timeout=settings.timeout,
        user_agent="ctabatch",
    )
