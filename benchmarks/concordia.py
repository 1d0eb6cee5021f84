"""Time of a plan whose image is known, and of starting an image, against bare Python.

    python benchmarks/concordia.py CONFIG        (section concordia; its image is built where absent)

Baselines of the same session: ``python -c pass`` of this environment, and reading the models of the
configuration without a plan.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from ctabatch.concordia import apptainer
from ctabatch.concordia.build import obtain
from ctabatch.concordia.store import Store
from ctabatch.config.load import load_config

REPEAT = 5


def best(command):
    """Shortest of several wall times of a command, in seconds."""
    times = []
    for _ in range(REPEAT):
        begin = time.perf_counter()
        subprocess.run([str(item) for item in command], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    config = parser.parse_args().config
    request = load_config(config).concordia
    record = obtain(request)
    begin = time.perf_counter()
    obtain(request)
    again = time.perf_counter() - begin
    image = Store(request.images.store).image(record["options_digest"])
    bare = best([sys.executable, "-c", "pass"])
    tool = Path(sys.executable).with_name("cta-batch")
    reading = best([sys.executable, "-c", "import ctabatch.config.load"])
    plan = best([tool, "concordia", "plan", "--config", config])
    inside = [apptainer.program(), "exec", "--containall", "--cleanenv", "--no-home", image]
    start = best([*inside, "/opt/venv/bin/python", "-c", "pass"])
    print(f"bare python              {bare:6.3f} s")
    print(f"reading the models       {reading:6.3f} s")
    print(f"plan of a known image    {plan:6.3f} s  ({plan / reading:.2f} of reading the models)")
    print(f"second build             {again:6.3f} s  (nothing built)")
    print(f"python in the image      {start:6.3f} s  ({start - bare:+.3f} s over bare python)")


if __name__ == "__main__":
    main()
