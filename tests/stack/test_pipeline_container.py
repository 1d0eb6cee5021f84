"""The pipeline's image: small, from the lock of this project, and able to run the IRF request."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from astropy.io import fits

from ctabatch.concordia import apptainer
from ctabatch.concordia.pipeline import build_pipeline
from require import require

REPOSITORY = Path(__file__).parents[2]
LARGEST = 350e6

#: Images are built from the network, on machines that may be busy.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def image():
    """The image of this checkout, kept beside the stack's state; a change of code makes it anew."""
    require(shutil.which("apptainer"), "apptainer is absent: make stack-install")
    import common

    path = common.stack_dir() / "pipeline" / "pipeline.sif"
    return path, build_pipeline(path)


def test_image_is_small_and_same_content_is_not_built_again(image):
    path, record = image
    assert record["bytes"] == path.stat().st_size <= LARGEST
    before = path.stat().st_mtime_ns
    assert build_pipeline(path) == record
    assert path.stat().st_mtime_ns == before


def normal(name):
    """Name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_image_holds_the_locked_packages_and_no_trace_of_this_machine(image):
    path, _ = image
    listed = json.loads(apptainer.read_inside(path, "/opt/concordia/sbom.json"))
    found = {normal(item["name"]): item["version"] for item in listed["components"]}
    lock = (REPOSITORY / "src/ctabatch/concordia/locks/project.txt").read_text()
    for line in lock.splitlines():
        if "==" in line:
            name, version = line.split(" ")[0].split("==")
            assert found[normal(name)] == version, name
    assert "snakemake-storage-plugin-xrootd" in found, "workers of the grid need it"
    environment = apptainer.call(["exec", "--containall", "--cleanenv", "--no-home", path, "env"])
    # where the image lies now is told by Apptainer itself, and is not in the image
    told = ("APPTAINER_CONTAINER=", "SINGULARITY_CONTAINER=")
    inside = [line for line in environment.stdout.splitlines() if not line.startswith(told)]
    assert str(REPOSITORY) not in "\n".join(inside)


def test_irf_request_runs_in_the_image(image, tmp_path):
    """Snakemake outside, all programs inside: outside there is neither cta-batch nor ctapipe."""
    path, _ = image
    for name in ("workflow", "config"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/snakemake").symlink_to(Path(sys.executable).with_name("snakemake"))
    config = yaml.safe_load((REPOSITORY / "config/test/irf-tiny.yaml").read_text())
    config["pipeline"] = {**config.get("pipeline", {}), "container": str(path)}
    (tmp_path / "irf.yaml").write_text(yaml.safe_dump(config))
    programs = f"{tmp_path}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    assert shutil.which("cta-batch", path=programs) is None
    done = subprocess.run(
        [
            *("snakemake", "irf", "--configfile", "irf.yaml", "--cores", "2"),
            *("--sdm", "apptainer", "--show-failed-logs"),
        ],
        cwd=tmp_path,
        env={"PATH": programs, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    folder = tmp_path / "results/irf" / config["irf"]["name"]
    assert json.loads((folder / "validation.json").read_text())["passed"]
    product = next(folder.glob("*.fits.gz"))
    with fits.open(product) as hdus:
        assert {"EFFECTIVE AREA", "ENERGY DISPERSION", "PSF", "BACKGROUND"} <= {
            h.name for h in hdus
        }
    assert "irf__request_digest" in product.with_name(f"{product.name}.meta.json").read_text()
