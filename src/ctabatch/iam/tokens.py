"""Access tokens for services, renewed when needed.

A refresh token that rotates works once. Renewing therefore happens under a file lock, and what came
back is written before the lock is given up: two processes never use the same one.
"""

import logging
import time
from datetime import datetime
from typing import Any

from ctabatch.config.iam import IamSettings, Provider, ServiceToken
from ctabatch.errors import InputError
from ctabatch.iam.errors import IamError, NotLoggedIn, ProviderAway, clean
from ctabatch.iam.provider import ProviderClient
from ctabatch.iam.store import Login, LoginStore, Token

logger = logging.getLogger(__name__)

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

#: Name under which the login's own token is kept, that of no service.
OWN = ""


def choose_provider(iam: IamSettings, name: str | None = None) -> tuple[str, Provider]:
    """Return the named provider, or the one that the configuration means.

    Raises
    ------
    ctabatch.errors.InputError
        There is none of that name; lists those there are.
    """
    chosen = name or iam.default
    if chosen not in iam.providers:
        known = ", ".join(iam.providers) or "none yet: add one to the section iam.providers"
        raise InputError(
            f"no identity provider {chosen!r}" if chosen else "no identity provider is named",
            where="iam.providers",
            allowed=known,
        )
    return chosen, iam.providers[chosen]


def moment(seconds: float) -> str:
    """Write a time as people do, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def login_hint(name: str) -> str:
    """Say how to log in."""
    return f"log in: cta-batch login {name}"


def service_settings(name: str, provider: Provider, service: str) -> ServiceToken:
    """Return the settings of a service's token; those of the login itself for `OWN`."""
    if service == OWN:
        return ServiceToken(scopes=provider.scopes)
    if service not in provider.services:
        raise InputError(
            f"no service {service!r}",
            where=f"iam.providers.{name}.services",
            allowed=", ".join(provider.services) or "none yet",
        )
    return provider.services[service]


def access_token(
    name: str, provider: Provider, service: str = OWN, refused: str | None = None
) -> str:
    """Return an access token, from the stored login or renewed.

    Parameters
    ----------
    name : str
        Of the provider.
    provider : ctabatch.config.iam.Provider
        Its settings.
    service : str
        For which it is; the login's own token by default.
    refused : str, optional
        Token that the service refused: another one is got, even if this one looks good.

    Returns
    -------
    str

    Raises
    ------
    ctabatch.iam.errors.NotLoggedIn
        There is no login, or it can't be renewed any more.
    ctabatch.iam.errors.IamError
        The provider does not answer and no cached token is good.
    """
    return renewed(name, provider, service, refused).tokens[service].access_token


def renewed(name: str, provider: Provider, service: str = OWN, refused: str | None = None) -> Login:
    """Return the login with a good token of a service; see `access_token`."""
    store = LoginStore(name, provider)
    settings = service_settings(name, provider, service)

    def good(login: Login) -> bool:
        token = login.tokens.get(service)
        return token is not None and token.fresh and token.access_token != refused

    login = _present(store, name)
    if good(login):
        return login
    with store.locked():
        # Another process may have renewed it while this one waited.
        login = _present(store, name)
        if good(login):
            return login
        client = ProviderClient(name, provider)
        try:
            return _renew(store, client, login, service, settings)
        except (ProviderAway, NotLoggedIn) as error:
            token = login.tokens.get(service)
            if token is not None and token.valid and token.access_token != refused:
                logger.warning(
                    "%s; the cached token is used, it is good until %s",
                    error.message,
                    moment(token.expires),
                )
                return login
            if isinstance(error, NotLoggedIn):
                raise
            ended = f", and the cached token ended {moment(token.expires)}" if token else ""
            raise IamError(f"{error.message}{ended}", "try again later") from None


def _present(store: LoginStore, name: str) -> Login:
    login = store.load()
    if login is None:
        raise NotLoggedIn(f"you are not logged in to {name}", login_hint(name))
    return login


def _renew(
    store: LoginStore, client: ProviderClient, login: Login, service: str, settings: ServiceToken
) -> Login:
    """Get a new token and write it; the lock is held."""
    if settings.exchange:
        own = login.tokens.get(OWN)
        if own is None or not own.fresh:
            login = _refresh(store, client, login, OWN, ServiceToken(scopes=client.settings.scopes))
        return _exchange(store, client, login, service, settings)
    return _refresh(store, client, login, service, settings)


def _refresh(
    store: LoginStore, client: ProviderClient, login: Login, service: str, settings: ServiceToken
) -> Login:
    from authlib.integrations.base_client import OAuthError

    if not login.refresh_token:
        raise NotLoggedIn(
            f"the login at {client.name} has ended and can't be renewed", login_hint(client.name)
        )
    try:
        answer = client.token(
            "refresh_token",
            refresh_token=login.refresh_token,
            # The login's own token keeps all scopes that were granted.
            scope=" ".join(settings.scopes) if service != OWN else None,
            audience=settings.audience,
            resource=settings.resource,
        )
    except OAuthError as error:
        if error.error == "invalid_grant":
            store.save(_without_refresh(login))
            raise NotLoggedIn(
                f"the login at {client.name} has ended: {clean(error.description or error.error)}",
                login_hint(client.name),
            ) from None
        raise client.refusal(error.error, {"error_description": error.description}) from None
    login = login.with_token(service, Token.of_answer(answer), answer.get("refresh_token"))
    # Before anything else may fail: the old refresh token is used up.
    store.save(login)
    if service == OWN and answer.get("id_token"):
        login = _with_claims(login, client.identify(answer))
        store.save(login)
    return login


def _exchange(
    store: LoginStore, client: ProviderClient, login: Login, service: str, settings: ServiceToken
) -> Login:
    from authlib.integrations.base_client import OAuthError

    if EXCHANGE not in client.metadata.get("grant_types_supported", []):
        raise IamError(
            f"the provider {client.name} offers no token exchange",
            f"set iam.providers.{client.name}.services.{service}.exchange to false",
        )
    try:
        answer = client.token(
            EXCHANGE,
            subject_token=login.tokens[OWN].access_token,
            subject_token_type=ACCESS_TOKEN,
            scope=" ".join(settings.scopes),
            audience=settings.audience,
            resource=settings.resource,
        )
    except OAuthError as error:
        raise client.refusal(error.error, {"error_description": error.description}) from None
    login = login.with_token(service, Token.of_answer(answer), None)
    store.save(login)
    return login


def _without_refresh(login: Login) -> Login:
    from dataclasses import replace

    return replace(login, refresh_token=None)


def _with_claims(login: Login, claims: dict[str, Any]) -> Login:
    from dataclasses import replace

    if claims["sub"] != login.subject:
        raise IamError("the provider renewed the login of another person", "log in again")
    return replace(login, claims=claims)


def utc(seconds: float) -> datetime:
    """Return a time with its zone."""
    from datetime import UTC

    return datetime.fromtimestamp(seconds, UTC)
