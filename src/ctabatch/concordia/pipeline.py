"""The pipeline's own container image: Debian, Python and the locked environment of this project."""

import shutil
from pathlib import Path

import yaml

from ctabatch import __version__
from ctabatch.concordia import apptainer, wheel
from ctabatch.concordia.base import base_image, sha256_of
from ctabatch.concordia.cards import template
from ctabatch.concordia.definition import PACKAGES, definition, lock
from ctabatch.files import replacing

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


def write_context(folder: Path) -> None:
    """Write all that the image is made from; the Containerfile uses the same folder.

    Parameters
    ----------
    folder : pathlib.Path
        New folder.
    """
    folder.mkdir(parents=True)
    content = {
        "build.sh": template("build-python.sh"),
        "sbom.sh": template("sbom.sh"),
        "requirements.txt": lock("project.txt"),
        "uv.txt": lock("uv.txt"),
        "build_opts.yml": yaml.safe_dump({"ctabatch": __version__}),
    }
    for name, text in content.items():
        (folder / name).write_text(text, encoding="utf-8")
    wheel.pack(folder)


def build_pipeline(output: Path, build_folder: Path = Path("/var/tmp")) -> dict:
    """Build the image that ``--sdm apptainer`` runs the workflow's rules in.

    Parameters
    ----------
    output : pathlib.Path
        Image file; appears when it is complete. Base images are kept beside it, in ``base``.
    build_folder : pathlib.Path
        Folder for temporary files.

    Returns
    -------
    dict
        ``sha256`` and ``bytes`` of the image.
    """
    output = Path(output).resolve()
    [packages] = PACKAGES["python"]
    base = base_image(BASE, packages, output.parent, build_folder)
    with apptainer.build_folder(build_folder) as folder:
        write_context(folder / "context")
        shutil.copyfile(base, folder / "base0.sif")
        recipe = folder / "pipeline.def"
        recipe.write_text(definition("ctabatch", __version__, 1, None))
        log = output.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        apptainer.build(recipe, folder / "pipeline.sif", log)
        with replacing(output) as temporary:
            shutil.copyfile(folder / "pipeline.sif", temporary)
            self_test(temporary)
    return {"sha256": sha256_of(output), "bytes": output.stat().st_size}


def self_test(image: Path) -> None:
    """Start the programs of the image, cut off from this machine; a `BatchError` names what fails."""
    for command in SELF_TEST:
        apptainer.call(["exec", "--containall", "--cleanenv", "--no-home", image, *command])
