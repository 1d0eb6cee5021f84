"""CPU time of the IRF workflow against the same ctapipe tools run bare, one after the other.

Runs the request of a configuration in a temporary copy of the checkout, then every ctapipe command that
the workflow ran, without Snakemake and without anything of this project but the event source:

    python benchmarks/chain.py [--config config/config.yaml]

Prints CPU seconds of both, their ratio (aim <= 1.15), wall time, and the largest memory of a process.
"""

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

#: Order in which the tools can run.
STAGES = (
    r"ctapipe-process",
    r"ctapipe-merge .*geometry",
    r"ctapipe-train-energy",
    r"ctapipe-apply.*energy-\d",
    r"ctapipe-merge .*energy-\d",
    r"ctapipe-train-particle",
    r"ctapipe-apply.*final-\d",
    r"ctapipe-merge .*final-\d",
    r"ctapipe-optimize",
    r"ctapipe-compute",
)


def run(command, folder, environment, **options):
    """Run a command and return its wall and CPU seconds, children included."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu, done


def stage(command):
    """Rank of a command in the chain, and the level of a merge within it."""
    rank = next(index for index, pattern in enumerate(STAGES) if re.search(pattern, command))
    level = re.search(r"--output \S+-(\d+)-\d+\.dl2\.h5", command)
    return rank, int(level[1]) if level else 0


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="config/config.yaml")
    config = parser.parse_args().config
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "checkout"
        folder.mkdir()
        for name in ("workflow", "config", "profiles"):
            shutil.copytree(REPOSITORY / name, folder / name)
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_DATA_HOME": f"{temporary}/data",
            "XDG_CACHE_HOME": f"{temporary}/cache",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "10000",  # rich breaks lines that are wider
        }
        options = ["--workflow-profile", "profiles/local", "--configfile", config]
        run(["snakemake", "results/irf/compiled.json", *options], folder, environment)
        run(["snakemake", "irf_plan", *options], folder, environment)
        # without the profile: its logger leaves out the commands of a dry run
        dry = ["--dry-run", "--printshellcmds", "--cores", "1", "--configfile", config]
        output = run(["snakemake", "irf", *dry], folder, environment)[2]
        commands = re.findall(r"(ctapipe-\S+ .*?>> \S+ 2>&1)", output.stdout + output.stderr)
        commands = sorted(dict.fromkeys(commands), key=stage)
        wall, cpu, _ = run(["snakemake", "irf", *options], folder, environment)
        shutil.rmtree(next((folder / "results/irf").glob("*/models")))
        bare_wall = bare_cpu = 0.0
        for command in commands:
            for path in re.findall(
                r"(?:--output|>>|--cv-output|--benchmark-output) (\S+)", command
            ):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
            seconds, used, _ = run(command, folder, environment, shell=True)
            bare_wall += seconds
            bare_cpu += used
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{config}: {len(commands)} ctapipe commands")
    print(f"workflow  {cpu:8.1f} CPU s {wall:8.1f} s wall")
    print(f"bare      {bare_cpu:8.1f} CPU s {bare_wall:8.1f} s wall, one after the other")
    print(f"ratio CPU {cpu / bare_cpu:.3f} (aim <= 1.15); largest process {memory:.0f} MB")


if __name__ == "__main__":
    main()
