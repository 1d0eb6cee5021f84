import shutil
from pathlib import Path

import pytest
import yaml

from ctabatch.config.load import parse_config

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
    """The demo's configuration as nested dictionaries, to be changed by a test."""
    return yaml.safe_load((checkout / "config" / "config.yaml").read_text())


@pytest.fixture
def config(content):
    return parse_config(content)
