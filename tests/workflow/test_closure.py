"""A reduced closure test by the command of `make closure`: one seed, the coarse IRF of the tests."""

import json

import pytest
import yaml

from checkout import REPOSITORY

# the first waits for the production, which another process may be making
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

SCRIPT = REPOSITORY / "scripts/closure.py"


@pytest.fixture(scope="module")
def closure(own_production):
    """A checkout in which the closure test of one seed ran; the IRF is fetched from its lake."""
    content = yaml.safe_load((own_production.folder / "config/closure.yaml").read_text())
    small = yaml.safe_load((own_production.folder / "config/test/irf.yaml").read_text())
    content |= {name: small[name] for name in ("irf", "simulation", "pipeline", "validation")}
    content["lake"]["local"]["folder"] = "lake"
    # cosmic rays cost time, and this IRF is not for their numbers
    content["observation"] |= {"duration": "15 s", "chunk": "15 s"}
    (own_production.folder / "closure.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    own_production.closure = own_production.run(
        "python", SCRIPT, "--config", "closure.yaml", "--seeds", 1, check=False
    )
    return own_production


def read(checkout):
    return json.loads((checkout.folder / "results/closure/summary.json").read_text())


def test_spectrum_that_was_simulated_is_found(closure):
    content = read(closure)
    (row,) = content["seeds"]
    assert row["result"], closure.closure.stdout
    index, amplitude = row["result"]["index"], row["result"]["amplitude"]
    # the IRF itself is known to a quarter only, in wide bins
    assert index["value"] == pytest.approx(content["truth"]["index"], abs=0.6)
    assert amplitude["value"] == pytest.approx(content["truth"]["amplitude"], rel=0.4)
    assert 0 < index["error"] < 0.5
    assert 0 < amplitude["error"] / amplitude["value"] < 0.3


def test_verdict_and_exit_code_belong_together(closure):
    judged = read(closure)["judgement"]
    for name, item in judged["parameters"].items():
        pull = read(closure)["seeds"][0]["result"][name]["pull"]
        assert item["passed"] == (abs(pull) <= 2)
        assert f"{name}: {item['within']} of 1 seeds within 2 sigma" in closure.closure.stdout
    assert closure.closure.returncode == (0 if judged["passed"] else 1), closure.closure.stderr
    assert "data:image/png;base64" in (closure.folder / "results/closure/report.html").read_text()


def test_again_makes_nothing_again(closure):
    before = read(closure)
    marks = {path: path.stat().st_mtime_ns for path in closure.folder.glob("results/closure/dl0/*")}
    again = closure.run("python", SCRIPT, "--config", "closure.yaml", "--seeds", 1, check=False)
    assert again.returncode == closure.closure.returncode
    assert read(closure)["seeds"] == before["seeds"]
    assert marks == {path: path.stat().st_mtime_ns for path in marks}
    logs = closure.folder / "results/closure/logs"
    assert "Nothing to be done" in (logs / "analysis-seed-0001.log").read_text() or (
        "analysis reduce" not in (logs / "analysis-seed-0001.log").read_text()
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seeds", "0"], "at least 1"),
        (["--config", "absent.yaml"], "no such file"),
        (["--config", "config/config.yaml"], "config/config.yaml: observation: is missing"),
    ],
)
def test_bad_input(new_checkout, options, words):
    done = new_checkout().run("python", SCRIPT, *options, check=False)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
