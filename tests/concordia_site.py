"""Keys, images and requests for the tests of CONCORDIA."""

import shutil
import subprocess
from pathlib import Path

from ctabatch.concordia.build import obtain
from ctabatch.config.concordia import ConcordiaRequest
from require import require

LIGHT = {
    "primary": "gamma",
    "energy_min": "100 GeV",
    "energy_max": "1 TeV",
    "zenith_min": "20 deg",
    "zenith_max": "20 deg",
    "showers_per_run": 1,
    "detectors": [{"x": "100 m", "y": "0 m", "radius": "6 m"}],
}


def make_key(folder, name):
    """Make a pair of ed25519 keys."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    private.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def kept_store() -> Path:
    """Folder of the images of the open programs, kept beside the stack's state between sessions."""
    require(shutil.which("apptainer"), "apptainer is absent: make stack-install")
    import common

    folder = common.stack_dir() / "concordia-images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def chasm_image(store) -> dict:
    """Build the image of CHASM where the kept store has none; returns its record."""
    content = {"name": "kept", "recipe": {"code": "chasm"}, "card": LIGHT, "runs": 1}
    return obtain(ConcordiaRequest(**content, images={"store": str(store)}))


def copy_image(record, store, target) -> None:
    """Give another store a copy of an image."""
    target.mkdir(parents=True)
    shutil.copytree(store / record["options_digest"], target / record["options_digest"])
