import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from made_once import made_once

REPOSITORY = Path(__file__).parents[2]
#: In the environment of all runs, under names that are kept secret; none may be written anywhere.
SECRET = "correct-horse-battery-staple"
SECRETS = dict.fromkeys(("RUCIO_PASSWORD", "MY_TOKEN", "AWS_SECRET_ACCESS_KEY"), SECRET)


class Checkout:
    """A copy of the checkout's workflow, in which Snakemake is run as a person would."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "XDG_DATA_HOME": str(folder / "home" / "data"),
            "XDG_CACHE_HOME": str(folder / "home" / "cache"),
            "COLUMNS": "10000",  # rich breaks lines that are wider
            **SECRETS,
        }

    def run(self, *command, check=True, **options):
        """Run a command in the checkout; returns the completed process, output as text."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
        return done

    def snakemake(self, *arguments, config="config/test/irf.yaml", **options):
        """Run Snakemake with the local profile."""
        return self.run(
            "snakemake",
            *arguments,
            "--workflow-profile",
            "profiles/local",
            "--configfile",
            config,
            **options,
        )


def fill(folder):
    """Copy what Snakemake needs of the checkout."""
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(REPOSITORY / name, folder / name)


@pytest.fixture(scope="session")
def new_checkout(tmp_path_factory):
    """Make an empty copy of the checkout."""

    def make():
        folder = tmp_path_factory.mktemp("checkout")
        fill(folder)
        return Checkout(folder)

    return make


@pytest.fixture(scope="session")
def production(tmp_path_factory):
    """A checkout in which the small IRF request has been produced; ``first`` is what was printed."""

    def make(folder):
        fill(folder)
        done = Checkout(folder).snakemake("irf")
        (folder / "first.txt").write_text(done.stdout)

    checkout = Checkout(made_once(tmp_path_factory, "production", make))
    checkout.first = (checkout.folder / "first.txt").read_text()
    return checkout
