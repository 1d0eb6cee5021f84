import json

import pytest

from ctabatch.config.limits import Limits
from ctabatch.errors import InputError
from ctabatch.plans import check_folder, claim_folder, passed_limit


def test_results_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="can't write to"):
        check_folder(tmp_path / "file" / "results")


def test_results_folder_is_made_and_left_empty(tmp_path):
    check_folder(tmp_path / "results" / "irf")
    assert not list((tmp_path / "results" / "irf").iterdir())


def test_folder_belongs_to_the_first_request(tmp_path):
    path, plan = tmp_path / "plan.json", {"name": "demo", "digest": "a" * 64}
    claim_folder(path, plan, "irf.name", {"digest": plan["digest"]})
    claim_folder(path, plan, "irf.name", {"digest": plan["digest"]})
    other = {"name": "demo", "digest": "b" * 64}
    with pytest.raises(InputError) as caught:
        claim_folder(path, other, "irf.name", {"digest": other["digest"]}, ", or so")
    assert str(caught.value).startswith("irf.name: ")
    assert "'demo' (digest aaaaaaaaaaaa, this one bbbbbbbbbbbb), or so" in str(caught.value)
    assert json.loads((tmp_path / "request.json").read_text()) == plan


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ({}, None),
        ({"cpu_hours": 11}, ("cpu_hours", 11, 10, "CPU hours")),
        ({"storage_bytes": 3e9}, ("storage", 3, 2, "GB")),
        ({"jobs": 6, "showers": 8}, ("jobs", 6, 5, "jobs")),
        ({"showers": 8}, ("showers", 8, 7, "showers")),
    ],
)
def test_first_limit_that_a_cost_passes(cost, expected):
    limits = Limits(cpu_hours=10, storage="2 GB", jobs=5, showers=7)
    assert passed_limit(limits, {"cpu_hours": 10, "storage_bytes": 2e9, "jobs": 5} | cost) == (
        expected
    )
