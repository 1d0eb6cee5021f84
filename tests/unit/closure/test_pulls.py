"""Pulls, the verdict on them, and the requests of the seeds."""

from pathlib import Path

import pytest
import yaml

from ctabatch.closure import requests
from ctabatch.closure.pulls import judge, pulls_of, truth_of
from ctabatch.closure.report import write_results
from ctabatch.config.load import parse_config
from ctabatch.config.observation import SourceSpectrum
from ctabatch.errors import InputError

REPOSITORY = Path(__file__).parents[3]
TRUTH = {"index": 2.4, "amplitude": 2e-10, "reference": 2.0}


def summary(index=2.4, amplitude=2e-10, reference=2.0, error=0.1):
    rows = {"index": (index, error), "amplitude": (amplitude, 1e-11), "reference": (reference, 0)}
    return {
        "converged": True,
        "parameters": [{"name": n, "value": v, "error": e} for n, (v, e) in rows.items()],
    }


def result(pull):
    found = {"value": 1 + pull, "error": 1.0, "pull": pull}
    return {"index": found, "amplitude": {"value": 1.0, "error": 1.0, "pull": 0.0}}


def test_pull_is_the_distance_from_the_truth_in_uncertainties():
    found = pulls_of(summary(index=2.2, amplitude=2.3e-10), TRUTH)
    assert found["index"]["pull"] == pytest.approx(-2)
    assert found["amplitude"]["pull"] == pytest.approx(3)


def test_fit_without_result_or_uncertainty_gives_no_pull():
    assert pulls_of({"converged": False}, TRUTH) is None
    assert pulls_of(summary(error=0.0), TRUTH) is None
    assert pulls_of(summary(error=float("nan")), TRUTH) is None


def test_amplitude_at_another_energy_is_refused():
    with pytest.raises(InputError, match="reference energy is 1 TeV"):
        pulls_of(summary(reference=1.0), TRUTH)


def test_truth_has_the_scale_and_the_units_of_the_fit():
    spectrum = SourceSpectrum(
        model="power-law", scale=10.0, amplitude="2e-7 1 / (m2 s TeV)", index=2.4, curvature=0.0
    )
    assert truth_of(spectrum)["amplitude"] == pytest.approx(2e-10)
    with pytest.raises(InputError, match="power law"):
        truth_of(SourceSpectrum())


@pytest.mark.parametrize(
    ("pulls", "passed"),
    [
        ([0.0] * 10, True),
        ([0.0] * 9 + [2.1], True),
        ([0.0] * 8 + [2.1, -2.1], False),
        ([0.0] * 9 + [2.0], True),
        ([2.1], False),
        ([0.0] * 19 + [3.0] * 2, True),  # 19 of 21 is the ceiling of 18.9
        ([0.0] * 18 + [3.0] * 3, False),
        ([], False),
    ],
)
def test_nine_of_ten_seeds_must_agree(pulls, passed):
    judged = judge([result(pull) for pull in pulls])
    assert judged["parameters"]["index"]["passed"] is passed
    assert judged["passed"] is passed


def test_seed_without_fit_does_not_agree():
    judged = judge([result(0.0)] * 8 + [None, None])
    assert judged["parameters"]["index"]["within"] == 8
    assert not judged["passed"]
    assert judge([result(0.0)] * 9 + [None])["passed"]


def test_bias_shows_in_the_mean():
    judged = judge([result(pull) for pull in (1.0, 1.5, 0.5, 1.0)])["parameters"]["index"]
    assert judged["mean"] == pytest.approx(1.0)
    assert judged["mean_error"] == pytest.approx(0.5)


def test_report_holds_each_seed_and_is_one_file(tmp_path):
    rows = [
        {"seed": 1, "dl3": "a:/<b>", "counts": 12, "excess": 10.5, "result": result(1.25)},
        {"seed": 2, "dl3": "a:/c", "counts": 1, "excess": 0.5, "result": None},
    ]
    content = {"truth": TRUTH, "seeds": rows, "judgement": judge([row["result"] for row in rows])}
    text = write_results(content, tmp_path, "not official").read_text()
    assert text.count("data:image/png;base64") == 2
    for part in ("+1.25", "no fit converged", "1 of 2", "a:/&lt;b&gt;", "not official"):
        assert part in text
    assert (tmp_path / "summary.json").is_file()


@pytest.fixture
def config():
    return yaml.safe_load((REPOSITORY / "config/closure.yaml").read_text())


def test_requests_of_the_seeds_are_valid_and_their_own(config):
    observed = [parse_config(requests.observation_request(config, s)).observation for s in (1, 2)]
    assert [(item.seed, item.obs_id) for item in observed] == [(1, 1001), (2, 1002)]
    request = parse_config(requests.reprocessing_request(config, [1, 2])).reprocessing
    assert request.observations == (1001, 1002)
    analysis = parse_config(requests.analysis_request(config, 2, "test:/a/b.fits.gz")).analysis
    assert analysis.name == "closure-seed-0002"
    assert analysis.data.dids == ("test:/a/b.fits.gz",)
    assert analysis.data.project is None


def test_dl3_of_seeds_made_now_or_earlier(config):
    summary = {"made": {"ob0000001002": "x:/2"}, "existing": {"ob0000001001": "x:/1"}}
    assert requests.dl3_of_seeds(config, [1, 2, 3], summary) == {1: "x:/1", 2: "x:/2"}


def test_truth_and_model_of_the_configuration_belong_together(config):
    truth = truth_of(parse_config(config).observation.spectrum)
    (path,) = config["analysis"]["models"]["candidates"].values()
    (component,) = yaml.safe_load((REPOSITORY / path).read_text())["components"]
    rows = {row["name"]: row["value"] for row in component["spectral"]["parameters"]}
    assert rows["reference"] == truth["reference"]
    assert rows["index"] != truth["index"]
    assert rows["amplitude"] != truth["amplitude"]
