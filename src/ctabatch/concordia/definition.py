"""From a recipe to the files that an image is built from, and to the digest that names it.

The definition itself holds only fixed words and checked digests. What a person chose travels as
data: ``config.h`` for coconut, one compiler flag a line, ``build_opts.yml``. None of it is ever part
of a command line.
"""

import functools
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import yaml

from ctabatch.concordia import wheel
from ctabatch.concordia.cards import environment, template
from ctabatch.concordia.recipe import Recipe
from ctabatch.identity import digest

#: Raised when the same files would give another image.
FORMAT = 2
LICENCES = {
    "corsika7": "CORSIKA 7: KIT's licence, no redistribution of source or program; "
    "keep this image within your collaboration",
    "openiact": "ctabatch: BSD-3-Clause; an approximate simulation, no official product",
    "chasm": "CHASM: MIT",
}
#: Debian packages of the base images: CORSIKA is compiled in one and runs in another.
PACKAGES = {
    "corsika7": (
        ("ca-certificates", "gcc", "g++", "gfortran", "make", "perl", "patch", "bzip2", "xz-utils"),
        ("ca-certificates", "libgfortran5", "libstdc++6"),
    ),
    "python": (("ca-certificates", "libgomp1", "python3", "python3-venv"),),
}
#: Names that coconut and the sources of CORSIKA use where they differ from the option's own.
MACROS = {
    "QGSJETII": ("QGSII", "QGSJET"),
    "QGSJETIII": ("QGSIII", "QGSJET"),
    "GHEISHA": ("GHEISHAD",),
    "HORIZONTAL": (),
}


def config_h(recipe: Recipe) -> str:
    """Write the choices as the ``include/config.h`` that coconut leaves and reads again."""
    lines = ["/* choices for coconut */", f'#define PACKAGE_VERSION "{recipe.version}"']
    for name in (recipe.high_energy, recipe.low_energy, recipe.geometry, *recipe.options):
        lines.append(f"#define __CACHE_{name}__ /**/")
        lines += [f"#define __{macro}__ 1" for macro in MACROS.get(name, (name,))]
    return "\n".join([*lines, ""])


def lock_name(code: str) -> str:
    """Return the name of the file with the locked Python packages of a code."""
    return {"openiact": "project.txt", "chasm": "chasm.txt"}[code]


def lock(name: str) -> str:
    """Return the text of a lock file of this package."""
    return files("ctabatch.concordia").joinpath("locks", name).read_text(encoding="utf-8")


def payload(recipe: Recipe) -> dict[str, str]:
    """Return the text files of the build context, except ``build_opts.yml``."""
    content = {
        "sbom.sh": template("sbom.sh"),
        "debian_release": recipe.debian_release or "",
    }
    if recipe.code == "corsika7":
        content |= {
            "build.sh": template("build-corsika7.sh"),
            "run": template("run-corsika7.sh"),
            "config.h": config_h(recipe),
            "flags": "\n".join(recipe.compiler_flags),
        }
    else:
        content |= {
            "build.sh": template("build-python.sh"),
            "run": template("run-python.sh"),
            "program.py": template(f"program-{recipe.code}.py"),
        }
    return content


def python_files(name: str) -> dict[str, str]:
    """Return what the locked Python packages of a lock file are installed from."""
    return {
        "requirements.txt": lock(name),
        "uv.txt": lock("uv.txt"),
        "install-python.sh": template("install-python.sh"),
    }


def packages(recipe: Recipe) -> tuple[tuple[str, ...], ...]:
    """Return the Debian packages of each base image."""
    return PACKAGES["corsika7" if recipe.code == "corsika7" else "python"]


@functools.cache
def _code(code: str) -> str | None:
    return wheel.code_digest() if code == "openiact" else None


def options_digest(recipe: Recipe, source_sha256: str | None) -> str:
    """Return the SHA-256 that names the image: same options, same image.

    It covers the recipe, the source archive, the locked packages, the build scripts and, for
    ``openiact``, the code of this package; not keys, comments or the order of options.
    """
    content = payload(recipe)
    if recipe.code != "corsika7":
        content |= python_files(lock_name(recipe.code))
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in content.items()}
    content = {
        "format": FORMAT,
        "recipe": recipe.identity(),
        "source": source_sha256,
        "payload": sums,
        "definition": hashlib.sha256(template("image.def.j2").encode()).hexdigest(),
        "packages": packages(recipe),
        "code": _code(recipe.code),
    }
    return digest(content)


def build_opts(recipe: Recipe, source_sha256: str | None) -> dict:
    """Return the manifest that lies in the image; the build appends software versions."""
    return {
        "options_digest": options_digest(recipe, source_sha256),
        "recipe": recipe.identity(),
        "source_sha256": source_sha256,
        "licence": LICENCES[recipe.code],
        "licensed": recipe.licensed,
    }


def write_context(recipe: Recipe, source: Path | None, source_sha256: str | None, folder: Path):
    """Write all that the build reads into ``folder/context``; the source archive is linked in.

    Parameters
    ----------
    recipe : Recipe
        The program.
    source : pathlib.Path or None
        Checked source archive, already in `folder`.
    source_sha256 : str or None
        Its SHA-256.
    folder : pathlib.Path
        Build folder.
    """
    context = folder / "context"
    context.mkdir()
    for name, text in payload(recipe).items():
        (context / name).write_text(text, encoding="utf-8")
    opts = yaml.safe_dump(build_opts(recipe, source_sha256), sort_keys=True)
    (context / "build_opts.yml").write_text(opts, encoding="utf-8")
    if source is not None:
        source.rename(context / "source.archive")
    if recipe.code == "openiact":
        wheel.pack(context)


def definition(code: str, version: str, bases: int, name: str | None) -> str:
    """Render the definition of an image; it starts from ``base0.sif`` (and ``base1.sif``) beside it.

    Parameters
    ----------
    code, version : str
        For the labels.
    bases : int
        2 if the program is compiled in one base and runs in another, else 1.
    name : str or None
        The options digest; None for an image that runs any command.
    """
    return (
        environment()
        .get_template("image.def.j2")
        .render(
            bases=bases,
            python=code != "corsika7",
            digest=name,
            code=code,
            version=re.sub(r"[^A-Za-z0-9.+_-]", "_", version),
        )
    )
