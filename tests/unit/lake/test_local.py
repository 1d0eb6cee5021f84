"""The embedded lake fulfils the contract, and keeps its own promises."""

from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from ctabatch.config.lake import LocalLakeSettings
from ctabatch.lake.local import LocalLake
from lake_contract import LakeContract, Place


def path_of(replica):
    """File of a replica."""
    return Path(url2pathname(urlparse(replica.uri).path))


@pytest.fixture
def lake(tmp_path):
    return LocalLake(LocalLakeSettings(folder=tmp_path / "lake"))


@pytest.fixture
def place():
    return Place("test", "/ctao.dpps.test/test", "DISK", "TAPE", path_of)


class TestLocalLake(LakeContract):
    """The contract."""
