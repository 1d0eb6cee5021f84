"""A small OpenID provider for DiracX's device login: discovery, keys, authorize, token.

It logs in the user that the query ``user=`` of the verification address names, else the one in
``IDP_USER``, without a password page: for services on the loopback interface only. The client
follows the address which ``dirac login`` prints, as a person's browser would.
"""

import os
import secrets
import time

from fastapi import FastAPI, Form, HTTPException
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

ISSUER = os.environ["IDP_ISSUER"]
USER = os.environ["IDP_USER"]
KEY = RSAKey.generate_key(2048, {"use": "sig", "kid": "1", "alg": "RS256"}, private=True)
CODES: dict[str, tuple[str, str]] = {}

app = FastAPI()


@app.get("/.well-known/openid-configuration")
def discovery():
    """Say where the other addresses are."""
    return {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/jwks",
        "id_token_signing_alg_values_supported": ["RS256"],
    }


@app.get("/jwks")
def keys():
    """Return the public key."""
    return KeySet([KEY]).as_dict(private=False)


@app.get("/authorize")
def authorize(client_id: str, redirect_uri: str, state: str, user: str = USER):
    """Log the user in and send the browser back with a code."""
    code = secrets.token_urlsafe()
    CODES[code] = (client_id, user)
    return RedirectResponse(f"{redirect_uri}?code={code}&state={state}")


@app.post("/token")
def token(code: str = Form(), client_id: str = Form()):
    """Exchange a code, once, for an identity token."""
    expected, user = CODES.pop(code, (None, None))
    if expected != client_id:
        raise HTTPException(400, "invalid_grant")
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": client_id,
        "sub": f"sub-{user}",
        "iat": now,
        "exp": now + 600,
        "preferred_username": user,
    }
    return {
        "access_token": secrets.token_urlsafe(),
        "token_type": "Bearer",
        "expires_in": 600,
        "id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, KEY),
    }
