"""Dry run of a request of 10,000 runs against a bare Snakefile of the same shape.

Prints wall time, CPU time and peak memory of both, and the ratio of the medians:

    python benchmarks/plan.py [--runs 10000] [--repeat 3]
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

BARE = """
def part(count, node):
    return range(int(node) * WIDTH, min((int(node) + 1) * WIDTH, count))

RUNS = {runs}
WIDTH = {width}
CHUNKS = -(-RUNS // WIDTH)
UPPER = -(-CHUNKS // WIDTH)

rule all:
    input: "out/done"

rule process:
    input: events="card.json", config="config.yaml"
    output: temp("out/runs/{{run}}.h5")
    log: "out/logs/process/{{run}}.log"
    benchmark: "out/benchmarks/{{run}}.tsv"
    resources: mem_mb=1500, runtime=240
    shell: "cp {{input.events}} {{output}} 2> {{log}}"

rule merge_runs:
    input: lambda w: [f"out/runs/{{r}}.h5" for r in part(RUNS, w.n)]
    output: temp("out/geometry/{{n}}.h5")
    shell: "cat {{input}} > {{output}}"

rule apply:
    input: "out/geometry/{{n}}.h5"
    output: temp("out/final/{{n}}.h5")
    shell: "cp {{input}} {{output}}"

rule merge:
    input: lambda w: [f"out/final/{{r}}.h5" for r in part(CHUNKS, w.n)]
    output: temp("out/merged/{{n}}.h5")
    shell: "cat {{input}} > {{output}}"

rule done:
    input: expand("out/merged/{{n}}.h5", n=range(UPPER))
    output: "out/done"
    shell: "cat {{input}} > {{output}}"
"""


def measure(command, folder):
    """Run a command; returns wall and CPU seconds and the peak memory of its largest process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:],"
            " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
            " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, r.returncode)",
            *command,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    memory, status = map(int, done.stdout.split())
    if status:
        raise SystemExit(f"failed with status {status}: {' '.join(command)} in {folder}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, cpu, memory / 1024


def prepare_request(folder, runs):
    """A checkout whose plan asks for `runs` runs in its IRF sample of gammas."""
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(REPOSITORY / name, folder / name)
    config = folder / "config" / "config.yaml"
    text = config.read_text().replace("cpu_hours: 2", "cpu_hours: 1000000")
    config.write_text(text.replace("storage: 10 GB", "storage: 1000 TB"))
    subprocess.run(
        ["cta-batch", "irf", "plan", "--output", "results/irf/demo/plan.json"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    path = folder / "results" / "irf" / "demo" / "plan.json"
    plan = json.loads(path.read_text())
    others = 0
    for particles in plan["production"].values():
        for samples in particles.values():
            for numbers in samples.values():
                numbers["runs"] = 1
                others += 1
    plan["production"]["nominal"]["gamma"]["irf"]["runs"] = runs - others + 1
    path.write_text(json.dumps(plan))
    return plan["merge_files"]


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        ours, bare = Path(temporary) / "ours", Path(temporary) / "bare"
        ours.mkdir()
        bare.mkdir()
        width = prepare_request(ours, options.runs)
        (bare / "Snakefile").write_text(BARE.format(runs=options.runs, width=width))
        for name in ("card.json", "config.yaml"):
            (bare / name).write_text("{}")
        dry = ["snakemake", "--dry-run", "--quiet", "all", "--cores", "1"]
        # the plan was altered above: it must not count as out of date
        commands = {
            "request": (["snakemake", "irf", "--rerun-triggers", "mtime", *dry[1:]], ours),
            "bare": (["snakemake", "--rerun-triggers", "mtime", *dry[1:]], bare),
        }
        rows = {name: [] for name in commands}
        for _ in range(options.repeat):
            for name, (command, folder) in commands.items():
                rows[name].append(measure(command, folder))
    print(f"dry run of {options.runs} runs, median of {options.repeat}")
    print(f"{'':10s}{'wall s':>9s}{'CPU s':>9s}{'memory MB':>11s}")
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)]
        for name, found in rows.items()
    }
    for name, (wall, cpu, memory) in medians.items():
        print(f"{name:10s}{wall:9.1f}{cpu:9.1f}{memory:11.0f}")
    wall, cpu, _ = (a / b for a, b in zip(medians["request"], medians["bare"], strict=True))
    print(f"ratio wall {wall:.2f}, CPU {cpu:.2f} (aim <= 1.3)")


if __name__ == "__main__":
    main()
