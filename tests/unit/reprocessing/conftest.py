import shutil
from pathlib import Path

import pytest

from ctabatch.config.load import parse_config
from ctabatch.lake.open import open_lake
from reprocessing_lake import Filler

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A working directory with the configuration files of the checkout."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def content(checkout):
    """A configuration as nested dictionaries, to be changed by a test."""
    return {
        "reprocessing": {"name": "test", "query": "proposal_id = P42"},
        "lake": {"local": {"folder": str(checkout / "lake")}},
    }


@pytest.fixture
def fill(content, tmp_path):
    """A `Filler` of the lake of `content`."""
    config = parse_config(content)
    return Filler(open_lake(config.lake), "test:/ctao.dpps.test/test/in", tmp_path / "incoming")
