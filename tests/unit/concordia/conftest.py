"""Requests to try things with."""

import copy

import pytest

from ctabatch.config.concordia import ConcordiaRequest

CORSIKA = {
    "name": "corsika",
    "recipe": {"preset": "cta-iact", "version": "78010"},
    "card": {
        "primary": "gamma",
        "energy_min": "30 GeV",
        "energy_max": "10 TeV",
        "zenith_min": "20 deg",
        "zenith_max": "20 deg",
        "view_cone": "5 deg",
        "scatter_radius": "500 m",
        "showers_per_run": 10,
        "detectors": [{"x": "0 m", "y": "-50 m", "z": "5 m", "radius": "12.5 m"}],
    },
    "runs": 3,
    "source": {"archive": "corsika.tar.gz", "sha256": "0" * 64},
}
CHASM = {
    "name": "light",
    "recipe": {"code": "chasm"},
    "card": {
        "primary": "gamma",
        "energy_min": "100 GeV",
        "energy_max": "1 TeV",
        "zenith_min": "0 deg",
        "zenith_max": "20 deg",
        "showers_per_run": 2,
        "detectors": [{"x": "0 m", "y": "0 m", "radius": "10 m"}],
    },
    "runs": 3,
}


def merged(content, changes):
    """Set dotted keys in a copy of nested dictionaries; None deletes."""
    content = copy.deepcopy(content)
    for key, value in changes.items():
        *path, last = key.split(".")
        place = content
        for part in path:
            place = place.setdefault(part, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return content


@pytest.fixture
def corsika(tmp_path):
    """Make a request of CORSIKA, with changes by dotted keys."""

    def make(**changes):
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        changes.setdefault("images.store", str(tmp_path / "store"))
        return ConcordiaRequest(**merged(CORSIKA, changes))

    return make


@pytest.fixture
def chasm(tmp_path):
    """Make a request of CHASM, with changes by dotted keys."""

    def make(**changes):
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        changes.setdefault("images.store", str(tmp_path / "store"))
        return ConcordiaRequest(**merged(CHASM, changes))

    return make
