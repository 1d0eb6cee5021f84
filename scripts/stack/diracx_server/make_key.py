"""Print a new key set with which DiracX signs its tokens."""

import json
import secrets

from joserfc.jwk import KeySet, OKPKey

options = {"key_ops": ["sign", "verify"], "alg": "Ed25519", "kid": secrets.token_hex(8)}
key = OKPKey.generate_key("Ed25519", options)
print(json.dumps(KeySet([key]).as_dict(private=True)))
