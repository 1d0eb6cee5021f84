"""An OpenID Connect issuer for one machine: discovery, keys, and tokens for whoever asks.

It gives any subject a token, and must listen on the loopback interface only.
"""

import base64
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID = "local"


def encode(data):
    """Write bytes, or a JSON object, as unpadded URL-safe base64."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def load_key(path):
    """Read the signing key; made where it is absent."""
    if path.exists():
        return serialization.load_pem_private_key(path.read_bytes(), None)
    key = rsa.generate_private_key(65537, 2048)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return key


class Handler(BaseHTTPRequestHandler):
    """Answers the three questions that a Rucio server and a test have."""

    key = None
    issuer = ""

    def do_GET(self):
        """Serve the discovery document and the public key."""
        if self.path.endswith("/.well-known/openid-configuration"):
            self._answer(
                {
                    "issuer": self.issuer,
                    "jwks_uri": f"{self.issuer}jwks",
                    "authorization_endpoint": f"{self.issuer}authorize",
                    "token_endpoint": f"{self.issuer}token",
                    "userinfo_endpoint": f"{self.issuer}userinfo",
                    "introspection_endpoint": f"{self.issuer}introspect",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "grant_types_supported": ["client_credentials"],
                    "scopes_supported": ["openid", "profile"],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                }
            )
        elif self.path == "/jwks":
            numbers = self.key.public_key().public_numbers()
            size = (numbers.n.bit_length() + 7) // 8
            public = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID}
            public["n"] = encode(numbers.n.to_bytes(size, "big"))
            public["e"] = encode(numbers.e.to_bytes(3, "big"))
            self._answer({"keys": [public]})
        else:
            self.send_error(404)

    def do_POST(self):
        """Sign a token for the subject, audience and life time (seconds) that are asked for."""
        length = int(self.headers.get("Content-Length", 0))
        asked = dict(parse_qsl(self.rfile.read(length).decode()))
        life, now = int(asked.get("life", 3600)), int(time.time())
        claims = {
            "sub": asked.get("sub", "rucio"),
            "iss": self.issuer,
            "aud": asked.get("audience", "rucio"),
            "scope": asked.get("scope", "openid"),
            "iat": now,
            "nbf": now,
            "exp": now + life,
            "jti": secrets.token_hex(8),
        }
        text = f"{encode({'alg': 'RS256', 'typ': 'JWT', 'kid': KEY_ID})}.{encode(claims)}"
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        self._answer(
            {
                "access_token": f"{text}.{encode(signature)}",
                "token_type": "Bearer",
                "expires_in": life,
            }
        )

    def _answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(port, path):
    """Serve for ever on a port of the loopback interface."""
    Handler.key = load_key(Path(path))
    Handler.issuer = f"http://127.0.0.1:{port}/"
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
