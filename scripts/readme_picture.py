"""Make the picture of the README: a plot of the demo's IRF, as its report shows it.

    make demo && python scripts/readme_picture.py results/irf/demo

Writes docs/images/demo-effective-area.png. An IRF that did not pass its checks gives no picture.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NAME = "effective_area"


def main():
    """Check the demo's results and copy the plot."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="results of the demo, results/irf/demo")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "docs/images")
    options = parser.parse_args()
    validation, plot = options.folder / "validation.json", options.folder / f"plots/{NAME}.png"
    for path in (validation, plot):
        if not path.is_file():
            sys.exit(f"{path} is not there: run `make demo` first")
    if not json.loads(validation.read_text())["passed"]:
        sys.exit(f"{validation}: a check failed; see report.html beside it")
    options.output.mkdir(parents=True, exist_ok=True)
    print(shutil.copyfile(plot, options.output / f"demo-{NAME.replace('_', '-')}.png"))


if __name__ == "__main__":
    main()
