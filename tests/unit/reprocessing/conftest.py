import pytest

from ctabatch.config.load import parse_config
from ctabatch.lake.open import open_lake
from reprocessing_lake import Filler


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
