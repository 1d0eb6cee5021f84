#!/usr/bin/env python3
"""Make the pipeline's container image, and the lock files that images are built from.

    containers.py build [-o IMAGE]    pipeline image from the locked environment of this project
    containers.py context [-o FOLDER] what containers/pipeline/Containerfile builds from
    containers.py lock                write the lock files anew, from uv.lock
    containers.py check               exit code 1 if a lock file does not agree with uv.lock

Run with the project's environment. `lock` and `check` need uv (on PATH, or its path in ``UV``).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
LOCKS = PROJECT / "src/ctabatch/concordia/locks"
IMAGE = PROJECT / "containers/pipeline/pipeline.sif"
CONTEXT = PROJECT / "containers/pipeline/context"
#: The images' Python and machine; markers are evaluated for them.
TARGET = {
    "python_version": "3.13",
    "python_full_version": "3.13.5",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}
WHEEL = re.compile(
    r"-(cp313-(cp313|abi3|none)|cp3[0-9]+-abi3|py3-none|py2\.py3-none)-"
    r"(any|(manylinux|linux)[a-z0-9_.]*(x86_64|aarch64)[a-z0-9_.]*)\.whl$"
)
HEADER = (
    "# Written by scripts/containers.py lock: Python packages of an image, with their SHA-256.\n"
)
#: What the pipeline image has beside the package's own dependencies.
EXTRAS = ("worker", "rucio")
CHASM = ("chasm-nuspacesim==1.0.0", "eventio", "numpy", "scipy")
#: The installer, and what the few packages without wheels are built with.
INSTALLER = ("uv==0.9.11", "setuptools")


def uv(*arguments: str, stdin: str | None = None) -> str:
    """Run uv and return what it prints."""
    program = os.environ.get("UV") or shutil.which("uv")
    if not program:
        sys.exit("containers: error: uv is needed: put it on PATH, or its path into UV")
    done = subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, text=True, cwd=PROJECT, check=False
    )
    if done.returncode:
        sys.exit(f"containers: error: uv {arguments[0]}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def project_lock() -> str:
    """Return the run-time packages of this project, as uv.lock has them."""
    wanted = uv(
        "export", "--frozen", "--no-default-groups", "--no-emit-workspace", "--no-hashes",
        "--no-header", "-q",
        *(f"--extra={extra}" for extra in EXTRAS),
    )  # fmt: skip
    locked = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    files = {(item["name"], item["version"]): item for item in locked if "version" in item}
    lines = [HEADER]
    for line in wanted.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(TARGET):
            continue
        version = str(requirement.specifier).removeprefix("==")
        package = files[requirement.name, version]
        wheels = [item for item in package.get("wheels", ()) if WHEEL.search(item["url"])]
        if not wheels:
            wheels = [package["sdist"]]
        hashes = sorted({item["hash"] for item in wheels})
        lines.append(f"{requirement.name}=={version}")
        lines[-1] += "".join(f" \\\n    --hash={item}" for item in hashes) + "\n"
    return "".join(lines)


def compiled_lock(*requirements: str) -> str:
    """Return a lock of some packages, their versions those of uv.lock where it has them."""
    constraints = PROJECT / ".containers-constraints.txt"
    locked = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    known = {item["name"]: item["version"] for item in locked if "registry" in item["source"]}
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in known.items() if n != "uv"))
    try:
        text = uv(
            "pip", "compile", "-", "--generate-hashes", "--no-header", "--no-annotate", "-q",
            "--python-version", "3.13", "-c", str(constraints),
            "--python-platform", "x86_64-manylinux_2_28",
            stdin="\n".join(requirements),
        )  # fmt: skip
    finally:
        constraints.unlink()
    return HEADER + text


def locks() -> dict[str, str]:
    """Return the content that the lock files should have."""
    return {
        "project.txt": project_lock(),
        "chasm.txt": compiled_lock(*CHASM),
        "uv.txt": compiled_lock(*INSTALLER),
    }


def build(output: Path) -> None:
    """Build the pipeline image; it holds the run-time packages of uv.lock and those of `EXTRAS`."""
    from ctabatch.concordia.pipeline import build_pipeline

    begin = time.monotonic()
    record = build_pipeline(output)
    print(
        f"{output}: {record['bytes'] / 1e6:.1f} MB, sha256 {record['sha256']}, "
        f"{time.monotonic() - begin:.0f} s"
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["build", "context", "lock", "check"])
    parser.add_argument("-o", "--output", type=Path, help="image or folder to write")
    options = parser.parse_args()
    if options.action == "build":
        from ctabatch.errors import BatchError

        try:
            build(options.output or IMAGE)
        except BatchError as error:
            sys.exit(f"containers: error: {error}")
        return 0
    if options.action == "context":
        from ctabatch.concordia.pipeline import write_context

        folder = options.output or CONTEXT
        shutil.rmtree(folder, ignore_errors=True)
        write_context(folder)
        print(folder)
        return 0
    if options.action == "check":
        path = LOCKS / "project.txt"
        if not path.exists() or path.read_text() != project_lock():
            print(f"{path} does not agree with uv.lock: run scripts/containers.py lock")
            return 1
        return 0
    for name, text in locks().items():
        (LOCKS / name).write_text(text)
        print(f"{LOCKS / name}: {text.count('==')} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
