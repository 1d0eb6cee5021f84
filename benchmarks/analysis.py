"""Analysis workflow on the 1DC set against one bare Gammapy script that does the same.

    python benchmarks/analysis.py [--data FOLDER] [--only compare|far|many]

``compare``: CPU, largest process and wall time of ``snakemake analysis`` with two cores, and of
``benchmarks/bare_analysis.py``; aims: CPU <= 1.3, memory <= 1.2 GB, wall <= 0.8 of the bare script.
``far``: the same request with an observation pointed 30 degrees away in the lake: it is neither
transferred nor reduced, and memory stays. ``many``: 500 small observations: time of the plan (aim
<= 10 s) and memory of the reduction, which does not depend on their number. Needs CTA_TEST_DATA.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]
BARE = Path(__file__).with_name("bare_analysis.py")
sys.path.insert(0, str(REPOSITORY / "tests"))

MODELS = {"pl": "PowerLawSpectralModel", "ecpl": "ExpCutoffPowerLawSpectralModel"}
EXTRA = {"pl": [], "ecpl": [{"name": "lambda_", "value": 0.1, "unit": "TeV-1"},
                            {"name": "alpha", "value": 1.0, "frozen": True}]}  # fmt: skip


def model_file(path, kind):
    """Write a model file: the Galactic Centre, and the supernova remnant beside it."""

    def component(name, spectral, extra, index, amplitude, lon, lat, frozen):
        position = {"unit": "deg", "frozen": frozen}
        return {
            "name": name,
            "type": "SkyModel",
            "spectral": {
                "type": spectral,
                "parameters": [
                    {"name": "index", "value": index},
                    {"name": "amplitude", "value": amplitude, "unit": "TeV-1 s-1 cm-2"},
                    {"name": "reference", "value": 1.0, "unit": "TeV", "frozen": True},
                    *extra,
                ],
            },
            "spatial": {
                "type": "PointSpatialModel",
                "frame": "galactic",
                "parameters": [
                    {"name": "lon_0", "value": lon} | position,
                    {"name": "lat_0", "value": lat} | position,
                ],
            },
        }

    components = [
        component("gc", MODELS[kind], EXTRA[kind], 2.2, 2e-12, -0.05, -0.05, False),
        component("g09", MODELS["pl"], [], 2.4, 5e-13, 0.87, 0.08, True),
    ]
    Path(path).write_text(yaml.safe_dump({"components": components}, sort_keys=False))


def request(**changes):
    """The request: 3-D analysis of the Galactic Centre."""
    content = {
        "name": "gc",
        "data": {"project": "GPS"},
        "target": {"frame": "galactic", "lon": "0 deg", "lat": "0 deg"},
        "dimension": "3d",
        "background": {
            "exclusion": [
                {"frame": "galactic", "lon": "0 deg", "lat": "0 deg", "radius": "0.5 deg"},
                {"frame": "galactic", "lon": "0.87 deg", "lat": "0.08 deg", "radius": "0.3 deg"},
            ]
        },
        "models": {"candidates": {name: f"{name}.yaml" for name in MODELS}, "source": "gc"},
        "products": {"flux_points": {"bins": 10}},
    }
    return {"analysis": content | changes}


class Peak(threading.Thread):
    """Largest resident memory of a process and all its descendants, one by one, in MB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.largest = pid, 0.0

    def run(self):
        """Look ten times a second."""
        import psutil

        try:
            root = psutil.Process(self.pid)
            while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
                for process in [root, *root.children(recursive=True)]:
                    try:
                        self.largest = max(self.largest, process.memory_info().rss / 2**20)
                    except psutil.Error:
                        continue
                time.sleep(0.1)
        except psutil.Error:
            return


def run(command, folder):
    """Run a command; returns wall and CPU seconds, children included, and peak memory in MB."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (Path(folder) / "output.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        peak = Peak(process.pid)
        peak.start()
        code = process.wait()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f"{command} failed:\n{(Path(folder) / 'output.log').read_text()[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, peak.largest


def checkout(folder):
    """Make a working directory with workflow, models and configuration."""
    for name in ("workflow", "config", "profiles"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in MODELS:
        model_file(folder / f"{name}.yaml", name)
    (folder / "request.yaml").write_text(yaml.safe_dump(request()))


def import_1dc(folder, data):
    """Ingest the 1DC observations into the embedded lake of a working directory."""
    run(["cta-batch", "analysis", "import", str(data / "cta-1dc/index/gps"), "--config",
         "request.yaml", "--site", "CTAO-South", "--subarray", "baseline", "--project", "GPS",
         "--release", "cta-1dc", "--output", "dl3"], folder)  # fmt: skip
    files = sorted(str(path.relative_to(folder)) for path in (folder / "dl3").glob("*.fits.gz"))
    run(["cta-batch", "lake", "ingest", *files, "--config", "request.yaml"], folder)


def workflow(folder, cores=2):
    """Run the workflow; returns wall, CPU and memory."""
    command = ["snakemake", "analysis", "--workflow-profile", "profiles/local", "--cores",
               str(cores), "--configfile", "request.yaml"]  # fmt: skip
    return run(command, folder)


def compare(folder, data):
    """Workflow against bare script."""
    bare = run([sys.executable, str(BARE), str(data / "cta-1dc"), str(folder)], folder)
    mine = workflow(folder)
    for name, (wall, cpu, memory) in (("bare script", bare), ("workflow", mine)):
        print(f"{name:<12} {cpu:7.1f} CPU s {wall:7.1f} s wall {memory:6.0f} MB largest process")
    print(
        f"ratio CPU {mine[1] / bare[1]:.2f} (aim <= 1.3), wall {mine[0] / bare[0]:.2f} (aim <= 0.8)"
    )
    theirs = json.loads((folder / "bare.json").read_text())
    ours = json.loads((folder / "results/analysis/gc/summary.json").read_text())
    index = next(row for row in ours["parameters"] if row["name"] == "index")
    print(f"index {index['value']:.4f}, bare {theirs['index']:.4f}; counts in the on region "
          f"{ours['on_region']['counts']}, bare {theirs['counts']}")  # fmt: skip
    return mine


def far(folder, data):
    """The same with an observation 30 degrees away in the lake."""
    import_far(folder)
    shutil.rmtree(folder / "results", ignore_errors=True)
    _, _, memory = workflow(folder)
    plan = json.loads((folder / "results/analysis/gc/plan.json").read_text())
    print(f"with an observation 30 deg off: {memory:.0f} MB largest process; "
          f"{len(plan['observations'])} observations used, left out: "
          f"{plan['left_out'][0]['obs_id']} {plan['left_out'][0]['reason']}")  # fmt: skip


def import_far(folder):
    """Ingest a copy of an observation with a pointing 30 degrees away."""
    from ctabatch.config.load import load_config
    from ctabatch.lake.base import NewFile
    from ctabatch.lake.open import open_lake

    os.chdir(folder)
    lake = open_lake(load_config(Path("request.yaml")).lake)
    row = lake.search("instance__obs_id = 110380").to_dict("records")[0]
    metadata = lake.metadata([row["did"]])[row["did"]]
    metadata |= {"instance__obs_id": 999, "obs__dec_deg": metadata["obs__dec_deg"] + 30}
    path = next(Path("dl3").glob("*110380.fits.gz"))
    lake.ingest([NewFile(path, row["did"].replace("110380", "000999"), metadata)])


def many(folder, data, count):
    """Many small observations: plan, and reduction of groups of 5 and of 25."""
    import dl3_tools
    from ctabatch.config.load import load_config
    from ctabatch.lake.open import open_lake

    irf = next((data / "irf").glob("Prod5-North-20deg*.fits.gz"))
    (folder / "sim").mkdir()
    first = dl3_tools.simulate(folder / "sim", irf, 4)
    known = [dl3_tools.metadata(path) for path in first]
    os.chdir(folder)
    lake = open_lake(load_config(Path("request.yaml")).lake)
    files = []
    for number in range(count):
        path = dl3_tools.clone(
            first[number % 4],
            folder / f"sim/many_{number}.fits",
            1000 + number,
            1600.0 * (number // 4),
        )
        start = dl3_tools.START + number * 400 / 86400
        metadata = known[number % 4] | {
            "instance__obs_id": 1000 + number,
            "obs__start": start.strftime("%Y-%m-%dT%H:%M:%S"),
        }
        did = f"test:/ctao.dpps.test/test/sim/{path.name}"
        files.append(dl3_tools.NewFile(path, did, metadata))
    lake.ingest(files)
    for size in (5, 25):
        content = {
            "analysis": {
                "name": f"many{size}",
                "data": {"project": "P1"},
                "target": {"lon": "83.633 deg", "lat": "22.014 deg"},
                "dimension": "3d",
                "energy": {
                    "reco": {"min": "1 TeV", "max": "10 TeV", "bins": 4},
                    "true": {"min": "0.7 TeV", "max": "30 TeV", "bins": 12},
                },
                "models": {"candidates": {"pl": "crab.yaml"}, "source": "crab"},
                "group_size": size,
            }
        }
        crab = yaml.safe_load(Path("pl.yaml").read_text())
        crab["components"] = crab["components"][:1]
        crab["components"][0]["name"] = "crab"
        Path("crab.yaml").write_text(yaml.safe_dump(crab))
        Path("many.yaml").write_text(yaml.safe_dump(content))
        plan = f"results/analysis/many{size}/plan.json"
        wall, cpu, memory = run(
            ["cta-batch", "analysis", "plan", "--config", "many.yaml", "--output", plan], folder
        )
        print(f"plan of {count} observations: {wall:.1f} s wall, {cpu:.1f} CPU s, {memory:.0f} MB")
        run(["cta-batch", "analysis", "transfer", "--config", "many.yaml", "--plan", plan,
             "--group", "0", "--output", "cache.tar"], folder)  # fmt: skip
        wall, cpu, memory = run(
            ["cta-batch", "analysis", "reduce", "--plan", plan, "--group", "0", "--archive",
             "cache.tar", "--output", "reduced.tar"], folder,
        )  # fmt: skip
        print(f"reduction of a group of {size}: {cpu:.1f} CPU s, {memory:.0f} MB largest process")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("CTA_TEST_DATA"))
    parser.add_argument("--only", choices=["compare", "far", "many"])
    parser.add_argument("--count", type=int, default=500)
    options = parser.parse_args()
    if options.data is None:
        raise SystemExit("give --data, or set CTA_TEST_DATA")
    data = Path(options.data).absolute()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout(folder)
        if options.only != "many":
            import_1dc(folder, data)
        if options.only in (None, "compare"):
            compare(folder, data)
        if options.only in (None, "far"):
            far(folder, data)
        if options.only in (None, "many"):
            many(folder, data, options.count)
        os.chdir("/")


if __name__ == "__main__":
    main()
