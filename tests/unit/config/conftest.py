"""A valid configuration, and the command line as a function."""

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
def cta_batch(capsys):
    """Run ``cta-batch``; returns exit code, output and error output."""
    from ctabatch.cli.main import run

    def call(*arguments):
        try:
            run([str(item) for item in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


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
