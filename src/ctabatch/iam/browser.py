"""Login with a browser on this machine: code with PKCE, back to the loopback interface (RFC 8252)."""

import secrets
import threading
import time
import webbrowser
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ctabatch.iam.errors import IamError, clean
from ctabatch.iam.provider import ProviderClient

#: Seconds that a person has.
PATIENCE = 600

_PAGE = "<!doctype html><title>cta-batch</title><p>{}</p><p>You may close this page.</p>"


def browser_login(
    client: ProviderClient, show: Callable[[str], None], resources: list[str]
) -> tuple[dict[str, Any], str]:
    """Log a person in.

    Parameters
    ----------
    client : ctabatch.iam.provider.ProviderClient
        The provider.
    show : callable
        Told the address, for the case that no browser opens.
    resources : list of str
        Resources (RFC 8707) that tokens will be asked for later.

    Returns
    -------
    tuple
        Answer of the token endpoint, and the nonce that its ID token must hold.
    """
    from authlib.integrations.base_client import OAuthError

    nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    with _Callback(client.settings.callback_port, client.name) as callback:
        address, state = client.session.create_authorization_url(
            client.endpoint("authorization_endpoint", "login with a browser"),
            code_verifier=verifier,
            redirect_uri=callback.address,
            scope=" ".join(client.settings.scopes),
            nonce=nonce,
            # Without it, providers that follow the letter give no refresh token.
            prompt="consent",
            **({"resource": resources} if resources else {}),
        )
        show(address)
        # Some browsers keep the caller until they end.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        found = callback.wait(state)
    if found.get("iss") not in (None, client.metadata["issuer"]):
        raise IamError("the answer came from another provider than was asked", "log in again")
    if "error" in found:
        raise IamError(f"the login was refused in the browser: {clean(found['error'])}")
    try:
        answer = client.token(
            "authorization_code",
            code=found["code"],
            code_verifier=verifier,
            redirect_uri=callback.address,
        )
    except OAuthError as error:
        raise client.refusal(error.error, {"error_description": error.description}) from None
    return answer, nonce


class _QuietServer(HTTPServer):
    """Prints nothing about a browser that hung up."""

    def handle_error(self, request, client_address):
        """Wait for the next request."""


class _Callback:
    """Listens for the browser to come back, on the loopback interface."""

    def __init__(self, port: int, name: str):
        self.found: dict[str, str] = {}
        self.state = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self):
                """Take the answer that bears our state; nothing else is listened to."""
                query = {
                    key: value[0] for key, value in parse_qs(urlsplit(self.path).query).items()
                }
                ours = secrets.compare_digest(query.get("state", ""), outer.state)
                if ours and ("code" in query or "error" in query):
                    outer.found = query
                    text = "Logged in." if "code" in query else "The login was refused."
                else:
                    text = "Nothing is expected here."
                body = _PAGE.format(text).encode()
                self.send_response(200 if ours else 400)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                """Say nothing: the address holds the code."""

        try:
            self.server = _QuietServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise IamError(
                f"port {port} of this machine can't be used: {error.strerror}",
                f"end what uses it, or change iam.providers.{name}.callback_port",
            ) from None
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.server.server_close()

    def wait(self, state: str) -> dict[str, str]:
        """Wait until the browser is back."""
        self.state = state
        end = time.monotonic() + PATIENCE
        while not self.found:
            self.server.timeout = max(0.1, end - time.monotonic())
            if time.monotonic() > end:
                raise IamError(f"nobody logged in within {PATIENCE} s", "start again")
            self.server.handle_request()
        return self.found
