"""A short fault campaign, by the command of `make chaos`."""

import re

import pytest

from checkout import REPOSITORY

# the first waits for the production, which another process may be making
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

SCRIPT = REPOSITORY / "scripts/chaos/chaos.py"


def test_killed_at_random_nothing_is_lost_doubled_or_left(own_production):
    done = own_production.run(
        "python", SCRIPT, "--rounds", 1, "--seed", 7, "--folder", own_production.folder,
        "--config", "config/test/irf.yaml", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 rounds passed" in done.stdout
    # whether the command was faster depends on the machine
    assert re.search(r"killed after [\d.]+ s|ended by itself, code 0, before", done.stdout)


def test_unknown_back_end_is_refused(new_checkout):
    done = new_checkout().run("python", SCRIPT, "--backends", "moon", check=False)
    assert done.returncode == 2
    assert "no back end 'moon'" in done.stderr
