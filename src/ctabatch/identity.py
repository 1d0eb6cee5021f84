"""Identity of requests: canonical JSON and its SHA-256."""

import hashlib
import json
from typing import Any


def canonical_json(content: Any) -> str:
    """Write `content` as JSON with sorted keys and no spaces.

    Parameters
    ----------
    content : object
        Made of dict, list, str, int, float, bool and None; see `ctabatch.config.base.canonical`.
    """
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(content: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `content`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
