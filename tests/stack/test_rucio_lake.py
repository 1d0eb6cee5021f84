"""The lake on a real Rucio server fulfils the contract."""

import pytest

from ctabatch.lake.rucio import RucioLake
from lake_contract import LakeContract, Place
from rucio_tools import lake_settings, path_of

pytestmark = pytest.mark.xdist_group("rucio")


@pytest.fixture(scope="module")
def lake(rucio):
    return RucioLake(lake_settings(rucio))


@pytest.fixture
def place():
    return Place("dpps", "/ctao.dpps.test/dpps", "CTAO-DISK", "CTAO-TAPE", path_of)


class TestRucioLake(LakeContract):
    """The contract."""
