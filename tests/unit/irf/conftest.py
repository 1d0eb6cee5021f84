import pytest
import yaml

from ctabatch.config.load import parse_config


@pytest.fixture
def content(checkout):
    """The demo's configuration as nested dictionaries, to be changed by a test."""
    return yaml.safe_load((checkout / "config" / "config.yaml").read_text())


@pytest.fixture
def config(content):
    return parse_config(content)
