"""A short fault campaign, by the command of `make chaos`."""

import pytest

from checkout import REPOSITORY

pytestmark = pytest.mark.slow

SCRIPT = REPOSITORY / "scripts/chaos/chaos.py"


def test_killed_at_random_nothing_is_lost_doubled_or_left(production):
    done = production.run(
        "python", SCRIPT, "--rounds", 2, "--seed", 7, "--folder", production.folder,
        "--config", "config/test/irf.yaml", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 rounds passed" in done.stdout
    assert "killed after" in done.stdout


def test_unknown_back_end_is_refused(production):
    done = production.run("python", SCRIPT, "--backends", "moon", check=False)
    assert done.returncode == 2
    assert "no back end 'moon'" in done.stderr
