"""A copy of the checkout's workflow, in which a test runs commands as a person would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
#: What Snakemake needs of the checkout.
FOLDERS = ("workflow", "config", "profiles")


def copy_checkout(folder, names=FOLDERS):
    """Copy folders of the checkout."""
    for name in names:
        shutil.copytree(REPOSITORY / name, folder / name)


def environment_of(folder):
    """Variables by which a person's commands are found, and caches and data are the folder's own."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_DATA_HOME": str(folder / "home/data"),
        "XDG_CACHE_HOME": str(folder / "home/cache"),
        "COLUMNS": "10000",  # rich breaks lines that are wider
    }


def run_command(command, folder, environment, check=True):
    """Run a command to its end; returns the completed process, output as text."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"{command} failed:\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
    return done


class Checkout:
    """A folder with the workflow.

    Parameters
    ----------
    folder : pathlib.Path
        Where the workflow is, see `copy_checkout`.
    variables : dict
        Added to the environment of its commands.
    """

    def __init__(self, folder, **variables):
        self.folder = folder
        self.environment = os.environ | environment_of(folder) | variables

    def run(self, *command, check=True):
        """Run a command in the checkout; returns the completed process, output as text."""
        return run_command(command, self.folder, self.environment, check)

    def snakemake(self, *arguments, config="config/test/irf.yaml", check=True):
        """Run Snakemake with the local profile."""
        profile = ("--workflow-profile", "profiles/local", "--configfile", config)
        return self.run("snakemake", *arguments, *profile, check=check)
