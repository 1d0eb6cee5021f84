"""The pipeline's own container image: Debian, Python and the locked environment of this project."""

import shutil
from pathlib import Path

import yaml
from filelock import FileLock

from ctabatch import __version__
from ctabatch.concordia import apptainer, wheel
from ctabatch.concordia.base import base_image, python_image, sha256_of
from ctabatch.concordia.cards import template
from ctabatch.concordia.definition import PACKAGES, definition, python_files
from ctabatch.files import read_json, replacing, write_json
from ctabatch.identity import digest

BASE = "bootstrap:trixie"
#: Each must work in the image: they import nearly all that is in it.
SELF_TEST = (
    ("cta-batch", "--version"),
    ("snakemake", "--version"),
    ("ctapipe-process", "--help"),
    ("gammapy", "--help"),
    (
        "python",
        "-c",
        "import gammapy.analysis, gammapy.makers, gammapy.estimators, matplotlib.pyplot",
    ),
)


def write_context(folder: Path, environment: bool = True) -> None:
    """Write all that the image is made from; the Containerfile uses the same folder.

    Parameters
    ----------
    folder : pathlib.Path
        New folder.
    environment : bool
        Whether the Python packages belong to it; Apptainer gets them from a base image.
    """
    folder.mkdir(parents=True)
    content = {
        "build.sh": template("build-python.sh"),
        "sbom.sh": template("sbom.sh"),
        "build_opts.yml": yaml.safe_dump({"ctabatch": __version__}),
    }
    for name, text in content.items():
        (folder / name).write_text(text, encoding="utf-8")
    if environment:
        for name, text in python_files("project.txt").items():
            (folder / name).write_text(text, encoding="utf-8")
    wheel.pack(folder)


def pipeline_key() -> str:
    """Return the SHA-256 of all that the image is made from."""
    content = {
        "base": BASE,
        "packages": PACKAGES["python"],
        "python": python_files("project.txt"),
        "build": [template(name) for name in ("build-python.sh", "sbom.sh", "image.def.j2")],
        "code": wheel.code_digest(),
    }
    return digest(content)


def build_pipeline(output: Path, build_folder: Path = Path("/var/tmp")) -> dict:
    """Build the image that ``--sdm apptainer`` runs the workflow's rules in.

    An image that was built from exactly the same is kept.

    Parameters
    ----------
    output : pathlib.Path
        Image file; appears when it is complete, with its record ``<output>.json`` beside it.
    build_folder : pathlib.Path
        Folder for temporary files.

    Returns
    -------
    dict
        ``key``, ``sha256`` and ``bytes`` of the image.
    """
    output = Path(output).resolve()
    record, key = output.with_name(f"{output.name}.json"), pipeline_key()
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(output.with_name(f".{output.name}.lock")):
        if output.exists() and record.exists():
            known = read_json(record)
            if known["key"] == key and known["sha256"] == sha256_of(output):
                return known
        record.unlink(missing_ok=True)
        _build(output, build_folder)
        known = {"key": key, "sha256": sha256_of(output), "bytes": output.stat().st_size}
        write_json(record, known)
    return known


def _build(output: Path, build_folder: Path) -> None:
    [packages] = PACKAGES["python"]
    base = python_image(
        base_image(BASE, packages, build_folder), python_files("project.txt"), build_folder
    )
    with apptainer.build_folder(build_folder) as folder:
        write_context(folder / "context", environment=False)
        shutil.copyfile(base, folder / "base0.sif")
        recipe = folder / "pipeline.def"
        recipe.write_text(definition("ctabatch", __version__, 1, None))
        log = output.with_suffix(".log")
        log.unlink(missing_ok=True)
        apptainer.build(recipe, folder / "pipeline.sif", log)
        with replacing(output) as temporary:
            shutil.copyfile(folder / "pipeline.sif", temporary)
            self_test(temporary)


def self_test(image: Path) -> None:
    """Start the programs of the image, cut off from this machine; a `BatchError` names what fails."""
    for command in SELF_TEST:
        apptainer.call(["exec", "--containall", "--cleanenv", "--no-home", image, *command])
