"""Log in, log out, and say who is logged in."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from ctabatch.config.iam import Provider
from ctabatch.iam.errors import IamError, NotLoggedIn, ProviderAway
from ctabatch.iam.identity import Identity, lacks_groups, local_identity, of_claims
from ctabatch.iam.store import Login, LoginStore, Token
from ctabatch.iam.tokens import OWN, access_token, choose_provider, moment, renewed, utc


def login(
    name: str,
    provider: Provider,
    *,
    invite: Callable[[Any], None],
    browser: bool = False,
    services: Iterable[str] = (),
) -> Identity:
    """Log a person in and keep the login.

    Parameters
    ----------
    name : str
        Of the provider.
    provider : ctabatch.config.iam.Provider
        Its settings.
    invite : callable
        Called with a `ctabatch.iam.device.Invitation`, or with an address for the browser.
    browser : bool
        Use a browser on this machine instead of a device code.
    services : iterable of str
        Services whose tokens are got at once.

    Returns
    -------
    ctabatch.iam.identity.Identity
    """
    from ctabatch.iam.browser import browser_login
    from ctabatch.iam.device import device_login
    from ctabatch.iam.provider import ProviderClient
    from ctabatch.iam.tokens import service_settings

    for service in services:
        service_settings(name, provider, service)
    client = ProviderClient(name, provider)
    resources = sorted({s.resource for s in provider.services.values() if s.resource})
    nonce = None
    if browser:
        answer, nonce = browser_login(client, invite, resources)
    else:
        answer = device_login(client, invite, resources)
    claims = client.identify(answer, nonce)
    store = LoginStore(name, provider)
    made = Login(
        issuer=client.metadata["issuer"],
        client_id=provider.client_id,
        subject=claims["sub"],
        claims=claims,
        refresh_token=answer.get("refresh_token"),
        tokens={OWN: Token.of_answer(answer)},
    )
    with store.locked():
        store.save(made)
    for service in services:
        access_token(name, provider, service)
    return of_claims(claims, provider, name, utc(made.tokens[OWN].expires))


def logout(name: str, provider: Provider) -> str | None:
    """Revoke the tokens of a login and forget it; returns what could not be done, or None.

    Raises
    ------
    ctabatch.iam.errors.NotLoggedIn
        There is no login.
    """
    from ctabatch.iam.provider import ProviderClient

    store = LoginStore(name, provider)
    with store.locked():
        try:
            known = store.load()
        except IamError:
            store.delete()
            raise
        if known is None:
            raise NotLoggedIn(f"you are not logged in to {name}")
        store.delete()
    tokens = [(token.access_token, "access_token") for token in known.tokens.values()]
    if known.refresh_token:
        tokens.insert(0, (known.refresh_token, "refresh_token"))
    last = max((token.expires for token in known.tokens.values()), default=0)
    client = ProviderClient(name, provider)
    try:
        # Tokens that the provider does not keep (JWT) can't be revoked: they end by themselves.
        done = [client.revoke(token, kind) for token, kind in tokens]
    except IamError as error:
        return (
            f"{error.message}: the login is forgotten here but not revoked there; its access tokens "
            f"end {moment(last)}"
        )
    if not done[0]:
        return f"the provider revokes no tokens; the access tokens end {moment(last)}"
    return None


def whoami(config, provider: str | None = None) -> dict[str, Any]:
    """Describe who works, without any token.

    Parameters
    ----------
    config : ctabatch.config.model.Configuration
        The configuration.
    provider : str, optional
        Name of the provider; the configuration's by default.

    Returns
    -------
    dict
        Fields of `ctabatch.iam.identity.Identity`, and: ``local`` and ``renewable`` (bool),
        ``services`` (end of token by service), ``notes`` (list of str).
    """
    if provider is None and config.iam.default is None:
        return _described(local_identity(config))
    name, settings = choose_provider(config.iam, provider)
    found = renewed(name, settings)
    notes = [_asked(name, settings, found)]
    notes.append(lacks_groups(found.claims, settings))
    person = of_claims(found.claims, settings, name, utc(found.tokens[OWN].expires))
    return _described(person) | {
        "renewable": found.refresh_token is not None,
        "services": {
            service: utc(token.expires).isoformat(timespec="seconds")
            for service, token in found.tokens.items()
            if service != OWN
        },
        "notes": [note for note in notes if note],
    }


def _asked(name: str, settings: Provider, found: Login) -> str | None:
    """Ask the provider whether the login still counts there."""
    from ctabatch.iam.provider import ProviderClient

    client = ProviderClient(name, settings)
    token = found.tokens[OWN]
    try:
        if "userinfo_endpoint" in client.metadata:
            client.user_info(token.access_token, found.subject)
    except ProviderAway as away:
        return (
            f"{away.message}; this is what the last login said, its token is good until "
            f"{moment(token.expires)}"
        )
    except IamError as error:
        return f"{error.message}: the login may have been revoked there"
    return None


def _described(person: Identity) -> dict[str, Any]:
    fields = asdict(person) | {"local": person.local, "renewable": False}
    fields["expires"] = person.expires and person.expires.isoformat(timespec="seconds")
    return fields | {"services": {}, "notes": []}
