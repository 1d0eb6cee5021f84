"""Speed and memory of DL3 creation, against ctapipe's bare reading of the same events.

    python benchmarks/dl3.py [--events 200000] [--observations 1 4]

Observations with drawn DL2 events are made in a process of its own for each number of observations,
one file after the other, as the workflow does. A warm-up with few events comes before, as the
compilation of ctapipe's functions is not meant. The baseline reads the same files with
`ctapipe.io.TableLoader` and writes the same columns of the selected events with astropy, without
selection by energy, coordinates, GTIs, responses, metadata and checksums. Events are counted before
selection.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

#: Aims: events/s, and growth of the peak memory with the number of observations.
EVENTS_PER_SECOND, GROWTH = 20_000, 1.1

#: Runs in a process of its own: what to measure, warm-up folder, folders of the observations.
DRIVER = """
import json, logging, resource, sys, time, warnings
from pathlib import Path
warnings.filterwarnings("ignore")
what, select, warm, *folders = sys.argv[1:]

def create(folder):
    from ctabatch.dl3.create import create_dl3
    folder = Path(folder)
    metadata = create_dl3(
        [folder / "events.dl2.h5"], cuts=folder / "cuts.fits", irf=folder / "irf.fits.gz",
        select=select, observation=folder / "observation.json", output=folder / "made.dl3.fits.gz",
    )
    return metadata.extra["obs__triggers"]

def baseline(folder):
    from astropy.table import QTable
    from ctapipe.io import TableLoader
    folder = Path(folder)
    with TableLoader(folder / "events.dl2.h5") as loader:
        table = loader.read_subarray_events(dl2=True, simulated=False, observation_info=False)
    number = len(table)
    table = table[table["RandomForestClassifier_prediction"] >= 0.6]
    columns = ["event_id", "HillasReconstructor_alt", "HillasReconstructor_az",
               "RandomForestRegressor_energy", "RandomForestClassifier_prediction"]
    out = QTable(table[columns])
    out["time"] = table["time"].mjd
    out.write(folder / "bare.fits.gz", overwrite=True)
    return number

work = {"create": create, "baseline": baseline}[what]
work(warm)
start, cpu = time.perf_counter(), time.process_time()
events = sum(work(folder) for folder in folders)
result = {
    "events": events,
    "wall": time.perf_counter() - start,
    "cpu": time.process_time() - cpu,
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}
print("RESULT", json.dumps(result))
"""


def make_inputs(folder, number):
    """Write DL2, cuts, IRF and metadata of an observation; returns the folder."""
    from synthetic_dl2 import make_dl2, observation_metadata, write_cuts
    from synthetic_irf import make_irf

    folder.mkdir()
    seconds = 1200
    make_dl2(number, seconds=seconds).write(folder / "events.dl2.h5")
    content = observation_metadata(number, seconds=seconds, obs__dead_time_s=1e-6)
    content["obs__livetime_s"] = seconds - number * 1e-6
    (folder / "observation.json").write_text(json.dumps(content))
    write_cuts(folder / "cuts.fits")
    make_irf().write(folder)
    return str(folder)


def drive(what, warm, folders):
    """Measure in a process of its own."""
    select = REPOSITORY / "config" / "pipeline" / "irf.yaml"
    command = [sys.executable, "-c", DRIVER, what, str(select), warm, *folders]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    sys.exit(f"measurement failed:\n{done.stderr[-3000:]}")


def show(name, result):
    """Print a row; returns events per CPU second."""
    rate = result["events"] / result["cpu"]
    wall = result["events"] / result["wall"]
    print(f"{name:28} {rate:12,.0f} {wall:12,.0f} {result['memory']:9.0f} MB")
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000, help="events an observation")
    parser.add_argument("--observations", type=int, nargs="+", default=[1, 4])
    options = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY / "tests"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm = make_inputs(folder / "warm", 500)
        folders = [
            make_inputs(folder / str(i), options.events) for i in range(max(options.observations))
        ]
        print(f"{'':28} {'events/CPU s':>12} {'events/s':>12} {'peak':>12}")
        bare = show("bare reading and writing", drive("baseline", warm, folders[:1]))
        results = {}
        for number in options.observations:
            results[number] = drive("create", warm, folders[:number])
            rate = show(f"create, {number} observation(s)", results[number])
    first, last = (results[n]["memory"] for n in (min(results), max(results)))
    print(f"create / bare: {rate / bare:.2f} x the events a CPU second")
    print(f"events a CPU second: {rate:,.0f} (aim >= {EVENTS_PER_SECOND:,})")
    print(f"peak with {max(results)} / with {min(results)} observations: {last / first:.2f}")
    good = rate >= EVENTS_PER_SECOND and last / first <= GROWTH
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
