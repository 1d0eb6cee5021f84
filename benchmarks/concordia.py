"""CONCORDIA: plan of a known image, start of an image, and what the grid adds to a run.

    python benchmarks/concordia.py config/test/concordia.yaml               its image is built if absent
    python benchmarks/concordia.py config/test/concordia.yaml --runs 200    also through the DIRAC stack

Baselines of the same session: ``python -c pass`` of this environment, reading the models of the
configuration without a plan, and for the grid the same runs by the local executor.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from ctabatch.concordia import apptainer
from ctabatch.concordia.build import obtain
from ctabatch.concordia.store import Store
from ctabatch.config.load import load_config

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "scripts" / "stack"))

REPEAT = 5
#: Runs of the baseline.
LOCAL = 10
INSTANCE = "bench-concordia"


def best(command):
    """Shortest of several wall times of a command, in seconds."""
    times = []
    for _ in range(REPEAT):
        begin = time.perf_counter()
        subprocess.run([str(item) for item in command], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def single(config):
    """Times of single commands."""
    request = load_config(config).concordia
    record = obtain(request)
    begin = time.perf_counter()
    obtain(request)
    again = time.perf_counter() - begin
    image = Store(request.images.store).image(record["options_digest"])
    bare = best([sys.executable, "-c", "pass"])
    tool = Path(sys.executable).with_name("cta-batch")
    reading = best([sys.executable, "-c", "import ctabatch.config.load"])
    plan = best([tool, "concordia", "plan", config])
    inside = [apptainer.program(), "exec", "--containall", "--cleanenv", "--no-home", image]
    shell = best([*inside, "true"])
    start = best([*inside, "/opt/venv/bin/python", "-c", "pass"])
    print(f"bare python              {bare:6.3f} s")
    print(f"reading the models       {reading:6.3f} s")
    print(f"plan of a known image    {plan:6.3f} s  ({plan / reading:.2f} of reading the models)")
    print(f"second build             {again:6.3f} s  (nothing built)")
    print(f"'true' in the image      {shell:6.3f} s")
    print(f"python in the image      {start:6.3f} s  ({start - bare:+.3f} s over bare python)")
    return request


def flow(folder, request, runs, *options, **environment):
    """Wall time of Snakemake for `runs` runs, and the seconds that the programs took."""
    for name in ("workflow", "config"):
        shutil.copytree(PROJECT / name, folder / name)
    content = request.model_dump(mode="json", exclude_none=True) | {"runs": runs}
    content["card"] |= {"showers_per_run": 1}
    (folder / "concordia.yaml").write_text(yaml.safe_dump({"concordia": content}))
    subprocess.run(["git", "init", "-q", folder], check=True)
    subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
    begin = time.perf_counter()
    with (folder / "log").open("wb") as log:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "snakemake",
                "concordia",
                "--configfile",
                "concordia.yaml",
                *options,
            ],
            cwd=folder,
            env=os.environ
            | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
            | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
        )
    wall = time.perf_counter() - begin
    summary = json.loads((folder / f"results/concordia/{request.name}/summary.json").read_text())
    return wall, summary["seconds"]


def keys(folder):
    """Make a pair of ed25519 keys."""
    private, public = folder / "key.pem", folder / "key.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    private.chmod(0o600)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return {"sign": str(private), "trusted": [str(public)]}


def grid(request, runs):
    """Many runs through the DIRAC stack against some by the local executor."""
    from common import State

    stack = [sys.executable, PROJECT / "scripts/stack/stack.py"]
    parts = ["registry", "diracx", "--instance", INSTANCE]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        store = folder / "store"
        shutil.copytree(request.images.store, store, ignore=shutil.ignore_patterns(".*"))
        subprocess.run([*stack, "up", *parts], check=True, stdout=subprocess.DEVNULL)
        try:
            values = State("diracx", INSTANCE).env()
            address = State("registry", INSTANCE).env()["CONCORDIA_REGISTRY"]
            images = request.images.model_copy(update={"store": store})
            images = type(images).model_validate(
                images.model_dump()
                | {
                    "registry": {"address": f"{address}/bench", "push": True, "insecure": True},
                    "keys": keys(folder),
                }
            )
            request = request.model_copy(update={"images": images})
            obtain(request)
            (folder / "local").mkdir()
            local, used = flow(folder / "local", request, LOCAL, "--cores", "2")
            print(
                f"{LOCAL} runs, local executor   {local:6.1f} s, {used / LOCAL:.2f} s a run in the "
                f"program, {(local - used / 2) / LOCAL:.2f} s a run beside it (2 at a time)"
            )
            (folder / "grid").mkdir()
            options = [
                *("--executor", "dirac", "--jobs", "1000", "--max-jobs-per-timespan", "1000/1s"),
                *("--default-storage-provider", "xrootd", "--latency-wait", "5"),
                *("--default-storage-prefix", f"{values['DIRACX_STORAGE']}/bench"),
                *("--storage-xrootd-max-requests-per-second", "1000"),
                *("--dirac-status-interval", "1", "--dirac-forward", "CTABATCH_NODE_CACHE"),
                *("--seconds-between-status-checks", "1", "--cores", "2"),
            ]
            values["CTABATCH_NODE_CACHE"] = str(folder / "node")
            wall, used = flow(folder / "grid", request, runs, *options, **values)
            slots = 8  # of the stack's sites together; this machine's processors are the limit
            print(
                f"{runs} runs, DIRAC stack {wall:10.1f} s, {used / runs:.2f} s a run in the program, "
                f"{wall / runs:.2f} s a run in all ({wall / runs / (local / LOCAL):.2f} of the local "
                f"executor), {slots} slots"
            )
        finally:
            subprocess.run(
                [*stack, "down", *parts, "--purge"], check=False, stdout=subprocess.DEVNULL
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--runs", type=int, help="number of runs through the DIRAC stack")
    options = parser.parse_args()
    request = single(options.config)
    if options.runs:
        grid(request, options.runs)


if __name__ == "__main__":
    main()
