"""Run the open simulator through ctapipe; runs inside the image.

program.py CARD OUT
"""

import json
import subprocess
import sys
from pathlib import Path


def main(card_path, out):
    """Simulate one run; writes a DL1 file with images and image parameters."""
    content = json.loads(Path(card_path).read_text())
    card = Path("sample.openiact.json")
    card.write_text(json.dumps(content["card"]))
    run = content["run"]
    command = [
        "/opt/venv/bin/ctapipe-process",
        f"--input={card}",
        f"--output={out}/run{run:06d}.dl1.h5",
        f"--OpenIACTEventSource.run={run}",
        "--write-images",
        "--write-parameters",
        f"--provenance-log={out}/provenance.json",
        "--no-progress",
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
