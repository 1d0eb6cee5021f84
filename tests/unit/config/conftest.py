"""A valid configuration."""

import copy

import pytest
import yaml

REQUEST = {
    "irf": {
        "name": "winter-north",
        "period": "2026-winter",
        "site": "CTAO-North",
        "subarray": "CTAO-North",
        "pointing": {"zenith": "20 deg", "azimuth": "180 deg"},
        "systematics": [
            {"name": "low", "kind": "optical_throughput", "change": "-10 %"},
            {"name": "dust", "kind": "atmosphere", "atmosphere": "la-palma-summer"},
        ],
    }
}


@pytest.fixture
def content():
    """Content of a small valid configuration; may be changed."""
    return copy.deepcopy(REQUEST)


@pytest.fixture
def write(tmp_path):
    """Write content as a YAML file; returns its path."""

    def write_file(content, name="request.yaml"):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return path

    return write_file
