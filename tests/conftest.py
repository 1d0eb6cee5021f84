"""Shared by all tests: where the real data files are."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from require import require

# No timed assertions: machines are noisy.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture(scope="session")
def test_data():
    """Folder with the real data files (``CTA_TEST_DATA``)."""
    folder = Path(os.environ.get("CTA_TEST_DATA", ""))
    require(
        "CTA_TEST_DATA" in os.environ and folder.is_dir(),
        "CTA_TEST_DATA does not name a folder with the real data files",
    )
    return folder
