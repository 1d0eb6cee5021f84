"""Talk to an OpenID provider: discovery, token endpoint, keys, user info.

Everything but the issuer comes from discovery. Faults of the provider are tried again for a while;
what it refuses is raised as authlib's ``OAuthError`` for the caller to explain.
"""

import logging
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ctabatch.config.iam import Provider
from ctabatch.files import read_secret
from ctabatch.iam.claims import find_claim
from ctabatch.iam.errors import IamError, ProviderAway, clean

logger = logging.getLogger(__name__)

#: Seconds for one answer.
TIMEOUT = 30


class ProviderClient:
    """A client of one provider.

    Parameters
    ----------
    name : str
        Of the provider in the configuration, for messages.
    provider : ctabatch.config.iam.Provider
        Its settings.
    """

    def __init__(self, name: str, provider: Provider):
        self.name = name
        self.settings = provider

    @cached_property
    def session(self):
        """authlib's session; its token is never set, each call says which one it shows."""
        from authlib.integrations.requests_client import OAuth2Session

        secret = None
        if self.settings.client_secret_file:
            where = f"iam.providers.{self.name}.client_secret_file"
            secret = read_secret(self.settings.client_secret_file, where)
        session = OAuth2Session(
            self.settings.client_id,
            secret,
            code_challenge_method="S256",
            default_timeout=TIMEOUT,
        )
        if self.settings.ca_cert:
            session.verify = str(self.settings.ca_cert)
        return session

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The discovery document; its issuer must be the one that is configured."""
        configured = self.settings.issuer.rstrip("/")
        document = self._json("get", f"{configured}/.well-known/openid-configuration")
        found = str(document.get("issuer", ""))
        if found.rstrip("/") != configured:
            raise IamError(
                f"{configured} calls itself {clean(found) or 'nothing'}: tokens of another issuer "
                "are not accepted",
                f"set iam.providers.{self.name}.issuer to the provider's own name",
            )
        return document

    def endpoint(self, key: str, what: str) -> str:
        """Return an address of the discovery document; its absence is an error that says `what`."""
        address = self.metadata.get(key)
        if not address:
            raise IamError(f"the provider {self.name} offers no {what}")
        return address

    def patiently(self, action: Callable[[], Any]) -> Any:
        """Do something that asks the provider, again while it is away or overloaded."""
        import requests
        from tenacity import (
            Retrying,
            retry_if_exception_type,
            stop_after_delay,
            wait_random_exponential,
        )

        def attempt():
            try:
                return action()
            except requests.HTTPError as error:
                status = error.response.status_code
                if status == 429 or status >= 500:
                    raise ProviderAway(self._away(f"answer {status}")) from None
                raise IamError(f"{self.settings.issuer} answers with {status}") from None
            except requests.exceptions.SSLError:
                raise IamError(
                    f"the certificate of {self.settings.issuer} is not trusted",
                    f"check iam.providers.{self.name}.ca_cert",
                ) from None
            except requests.RequestException as error:
                raise ProviderAway(self._away(type(error).__name__)) from None

        return Retrying(
            retry=retry_if_exception_type(ProviderAway),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            stop=stop_after_delay(self.settings.patience),
            reraise=True,
        )(attempt)

    def _away(self, reason: str) -> str:
        return f"the identity provider {self.settings.issuer} does not answer ({reason})"

    def _json(self, method: str, address: str, auth=None, **options) -> dict[str, Any]:
        def ask():
            answer = self.session.request(
                method, address, withhold_token=True, auth=auth, **options
            )
            answer.raise_for_status()
            return answer

        try:
            content = self.patiently(ask).json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise IamError(f"{address} does not answer as an OpenID provider does")
        return content

    def token(self, grant_type: str, **parameters: Any) -> dict[str, Any]:
        """Ask the token endpoint; a refusal is authlib's ``OAuthError``."""
        address = self.endpoint("token_endpoint", "token endpoint")
        given = {key: value for key, value in parameters.items() if value}

        def ask():
            try:
                return self.session.fetch_token(address, grant_type=grant_type, **given)
            except ValueError as error:  # an answer that is no JSON
                raise IamError(f"{address}: {clean(str(error))}") from None

        return self.patiently(ask)

    def device_authorization(self, resources: list[str]) -> dict[str, Any]:
        """Begin the device flow (RFC 8628)."""
        address = self.endpoint(
            "device_authorization_endpoint", "login by device code; use --browser"
        )
        data = [("client_id", self.settings.client_id), ("scope", " ".join(self.settings.scopes))]
        data += [("resource", resource) for resource in resources]
        method = self.session.token_endpoint_auth_method
        auth = None if method == "none" else self.session.client_auth(method)

        def ask():
            answer = self.session.post(address, data=data, withhold_token=True, auth=auth)
            if answer.status_code >= 500:
                answer.raise_for_status()
            return answer

        answer = self.patiently(ask)
        try:
            content = answer.json()
            if answer.ok:
                return {key: content[key] for key in ("device_code", "user_code")} | content
        except (KeyError, ValueError):
            content = {}
        raise self.refusal(content.get("error", answer.status_code), content)

    def refusal(self, error: Any, content: dict[str, Any] | None = None) -> IamError:
        """Explain what the provider refuses, usually a client that is registered otherwise."""
        text = clean((content or {}).get("error_description") or "")
        return IamError(
            f"the provider {self.name} refuses the login: {clean(error)}"
            + (f" ({text})" if text else ""),
            f"check client_id, scopes and services of iam.providers.{self.name}",
        )

    def revoke(self, token: str, kind: str) -> bool:
        """Revoke a token (RFC 7009); tells whether the provider did."""
        if not (address := self.metadata.get("revocation_endpoint")):
            return False

        def ask():
            answer = self.session.revoke_token(address, token, kind)
            if answer.status_code >= 500:
                answer.raise_for_status()
            return answer.ok

        return self.patiently(ask)

    def identify(self, answer: dict[str, Any], nonce: str | None = None) -> dict[str, Any]:
        """Return the claims about a person, from a verified ID token and, if need be, user info.

        Parameters
        ----------
        answer : dict
            Of the token endpoint.
        nonce : str, optional
            Of the request that the ID token must answer.
        """
        if not answer.get("id_token"):
            raise IamError(
                f"the provider {self.name} gave no ID token",
                f"the scope openid must be among iam.providers.{self.name}.scopes",
            )
        claims = self._verified(answer["id_token"], nonce)
        wanted = self.settings.claims
        if find_claim(claims, wanted.groups) is None and "userinfo_endpoint" in self.metadata:
            claims = self.user_info(answer["access_token"], claims["sub"]) | claims
        return claims

    def user_info(self, access_token: str, subject: str) -> dict[str, Any]:
        """Ask who a token belongs to; it must be the same person."""
        address = self.endpoint("userinfo_endpoint", "user info")
        # requests takes a .netrc entry before a header of ours, but not before an auth object.
        from authlib.integrations.requests_client import OAuth2Auth

        bearer = OAuth2Auth({"access_token": access_token, "token_type": "Bearer"})
        found = self._json("get", address, auth=bearer)
        if found.get("sub") != subject:
            raise IamError(f"the provider {self.name} speaks of another person than it logged in")
        return found

    def _verified(self, id_token: str, nonce: str | None) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet
        from joserfc.jwt import JWTClaimsRegistry

        keys = self._json("get", self.endpoint("jwks_uri", "keys"))
        offered = self.metadata.get("id_token_signing_alg_values_supported", ["RS256"])
        algorithms = [name for name in offered if name[:2] in ("RS", "ES", "PS", "Ed")]
        demands = {
            "iss": {"essential": True, "value": self.metadata["issuer"]},
            "aud": {"essential": True, "value": self.settings.client_id},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        if nonce:
            demands["nonce"] = {"essential": True, "value": nonce}
        tolerance = int(self.settings.clock_tolerance)
        try:
            claims = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=algorithms).claims
            self._check_clock(claims.get("iat"))
            JWTClaimsRegistry(now=int(time.time()), leeway=tolerance, **demands).validate(claims)
        except (JoseError, ValueError) as error:
            raise IamError(
                f"the ID token of {self.name} is not valid: {clean(error)}",
                "try again; if it stays, ask the provider's administrator",
            ) from None
        return dict(claims)

    def _check_clock(self, issued: Any) -> None:
        """The token was made a moment ago: its time tells how far the clocks differ."""
        if not isinstance(issued, int | float):
            return
        ahead = time.time() - issued
        if abs(ahead) > self.settings.clock_tolerance + TIMEOUT:
            raise IamError(
                f"the clock of this machine is {abs(ahead):.0f} s "
                f"{'ahead of' if ahead > 0 else 'behind'} that of {self.settings.issuer}",
                "set the clock (NTP), then log in again",
            )
