"""Login by device code (RFC 8628): the person approves it in a browser, on whatever device."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ctabatch.iam.errors import IamError
from ctabatch.iam.provider import ProviderClient

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
#: Seconds between two questions where the provider names none, and what "slow down" adds to them.
INTERVAL = 5


@dataclass(frozen=True)
class Invitation:
    """What the person is asked to do."""

    address: str  #: with the code filled in where the provider offers that
    code: str
    expires_in: float  #: seconds


def device_login(
    client: ProviderClient, invite: Callable[[Invitation], None], resources: list[str]
) -> dict[str, Any]:
    """Log a person in.

    Parameters
    ----------
    client : ctabatch.iam.provider.ProviderClient
        The provider.
    invite : callable
        Told where to go and which code to enter.
    resources : list of str
        Resources (RFC 8707) that tokens will be asked for later.

    Returns
    -------
    dict
        Answer of the token endpoint.

    Raises
    ------
    ctabatch.iam.errors.IamError
        The person refused, or the code ended before.
    """
    from authlib.integrations.base_client import OAuthError

    begun = client.device_authorization(resources)
    address = begun.get("verification_uri_complete") or begun.get("verification_uri", "")
    life = float(begun.get("expires_in", 600))
    end, interval = time.monotonic() + life, float(begun.get("interval", INTERVAL))
    invite(Invitation(address, begun["user_code"], life))
    late = IamError(
        f"nobody approved the code within {life:.0f} s",
        f"start again: cta-batch login {client.name}",
    )
    while time.monotonic() < end:
        time.sleep(interval)
        try:
            return client.token(DEVICE_CODE, device_code=begun["device_code"])
        except OAuthError as error:
            if error.error == "authorization_pending":
                continue
            if error.error == "slow_down":
                interval += INTERVAL
                continue
            if error.error == "expired_token" or time.monotonic() > end:
                raise late from None
            if error.error == "access_denied":
                raise IamError(
                    "the login was refused in the browser",
                    f"if that was a mistake: cta-batch login {client.name}",
                ) from None
            raise client.refusal(error.error, {"error_description": error.description}) from None
    raise late
