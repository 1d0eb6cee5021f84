"""Look the locked packages up among known vulnerabilities, with pip-audit from PyPI.

    python scripts/audit.py

Exits 1 if a package is vulnerable, and 2 if the data could not be asked: no answer is no good news.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
UV = os.environ.get("UV", "uv")


def main() -> int:
    """Run the audit; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "requirements.txt"
        export = (UV, "export", "--locked", "--all-packages", "--all-extras", "--no-emit-workspace")
        subprocess.run(
            [*export, "--quiet", "--no-hashes", "--output-file", lock], cwd=REPOSITORY, check=True
        )
        number = sum("==" in line for line in lock.read_text().splitlines())
        done = subprocess.run(
            [
                *(UV, "tool", "run", "pip-audit", "--vulnerability-service=pypi", "--no-deps"),
                *("--disable-pip", "--progress-spinner=off", f"--requirement={lock}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    output = done.stdout + done.stderr
    sys.stdout.write(output)
    skipped = output.count("could not be audited")
    if skipped:
        print(f"audit: {skipped} of {number} packages could not be looked up", file=sys.stderr)
        return 2
    if done.returncode:
        print("audit: see the vulnerabilities above, or the error of pip-audit", file=sys.stderr)
        return 1
    print(f"audit: no known vulnerability in {number} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
