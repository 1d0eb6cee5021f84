"""Speed of the open simulator, processing by ctapipe included, against its prototype.

Gamma rays between 0.03 and 100 TeV within 4 deg and 800 m over the 4 LSTs and 9 MSTs of CTAO-North are
simulated and processed to DL2 on one core, after a warm-up that compiles:

    python benchmarks/simulate.py [--prototype DIR] [--showers 10000]

``--prototype`` (or the variable ``OPENIACT_PROTOTYPE``) is a folder with ``openiact.py``; it is then
measured in the same run with the same array, the same thresholds and ctapipe's stock
``HillasReconstructor``. Without it the ratio is to the figures recorded for it: 480 showers/s and 35
stored events/s. CPU seconds count, not wall seconds. A third row is this simulator with the stock
reconstructor, which tells what comes from the simulation and what from the reconstruction.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = REPOSITORY / "config" / "pipeline" / "process.yaml"
RECORDED = {"showers": 480.0, "events": 35.0}

#: Runs in a process of its own: card to warm up with, card to measure, configuration, module to import.
DRIVER = """
import importlib, json, resource, sys, tempfile, time, warnings
warnings.filterwarnings("ignore")
warm, card, config, module, run = sys.argv[1:6]
if module:
    # Both sources take files of the same ending: the installed one steps aside.
    from ctabatch.simulation.source import OpenIACTEventSource
    OpenIACTEventSource.is_compatible = staticmethod(lambda path: False)
    importlib.import_module(module)
from ctapipe.io import EventSource
from ctapipe.tools.process import ProcessorTool
from ctapipe.core import run_tool

def process(path, folder, name):
    tool = ProcessorTool()
    arguments = ["--input", path, "--output", f"{folder}/{name}.dl2.h5", "--config", config]
    arguments += ["--provenance-log", f"{folder}/provenance.json", "--log-level", "ERROR"]
    if run:
        arguments.append(f"--OpenIACTEventSource.run={run}")
    run_tool(tool, arguments, raises=True)

with tempfile.TemporaryDirectory() as folder:
    process(warm, folder, "warm")
    start = time.process_time()
    process(card, folder, "timed")
    whole = time.process_time() - start
    options = {"run": int(run)} if run else {}
    start = time.process_time()
    events = sum(1 for _ in EventSource(card, **options))
    source = time.process_time() - start
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print("RESULT", json.dumps({"whole": whole, "source": source, "events": events, "memory": memory}))
"""


def stock_configuration(folder):
    """Write the configuration with ctapipe's own reconstructor in the place of the fast one."""
    text = CONFIG.read_text()
    if "FastHillasReconstructor" not in text:
        sys.exit(f"{CONFIG} does not name FastHillasReconstructor: nothing to compare")
    path = folder / "stock.yaml"
    path.write_text(text.replace("FastHillasReconstructor", "HillasReconstructor"))
    return path


def drive(warm, card, config, module="", run="", path=None):
    """Measure one source; returns CPU seconds with and without processing, and stored events."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if path:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-c", DRIVER, str(warm), str(card), str(config), module, run]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    sys.exit(f"measurement failed:\n{done.stderr[-3000:]}")


def our_cards(folder, showers):
    """Write the cards for warm-up and measurement."""
    from ctabatch.simulation.card import RunCard
    from ctabatch.simulation.subarrays import load_subarray

    layout = load_subarray("CTAO-North")
    for name, number in (("warm", 300), ("timed", showers)):
        card = RunCard(
            sample=f"benchmark-{name}",
            particle="gamma",
            energy_min="0.03 TeV",
            energy_max="100 TeV",
            view_cone="4 deg",
            scatter_radius="800 m",
            showers_per_run=number,
            zenith="20 deg",
            azimuth="180 deg",
            site=layout.site,
            telescopes=layout.telescopes,
        )
        yield card.write(folder / f"{name}.openiact.json")


def prototype_cards(folder, showers):
    """Write the prototype's cards, with our array and atmosphere."""
    from ctabatch.simulation.atmosphere import ctapipe_profile, make_air
    from ctabatch.simulation.card import AtmosphereCard
    from ctabatch.simulation.instrument import make_subarray
    from ctabatch.simulation.subarrays import load_subarray

    layout = load_subarray("CTAO-North")
    make_subarray(layout).to_hdf(folder / "subarray.h5", overwrite=True)
    altitude = layout.site.altitude.to_value("m")
    profile = ctapipe_profile(make_air(AtmosphereCard(), altitude))
    profile.table.write(folder / "air.ecsv", overwrite=True)
    for name, number in (("warm", 300), ("timed", showers)):
        card = {
            "particle": "gamma", "run": 1, "seed": 1, "n_showers": number, "emin": 0.03,
            "emax": 100.0, "index": -2.0, "scatter": 800.0, "cone": 4.0, "alt": 70.0, "az": 180.0,
            "obs_height": altitude, "subarray": "subarray.h5", "atmosphere": "air.ecsv",
            "tels": [telescope.id for telescope in layout.telescopes],
        }  # fmt: skip
        path = folder / f"{name}.openiact.json"
        path.write_text(json.dumps(card))
        yield path


def show(name, result, showers):
    """Print a row; returns showers and stored events per CPU second, processing included."""
    rate = {"showers": showers / result["whole"], "events": result["events"] / result["whole"]}
    alone = f"{showers / result['source']:9.0f} {result['events'] / result['source']:9.1f}"
    print(
        f"{name:22} {rate['showers']:9.0f} {rate['events']:9.1f} {alone} {result['memory']:7.0f} MB"
    )
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prototype", type=Path, default=os.environ.get("OPENIACT_PROTOTYPE"))
    parser.add_argument("--showers", type=int, default=10000)
    options = parser.parse_args()
    print(f"{'':22} {'processing included':^19} {'simulation alone':^19}")
    print(f"{'':22} {'showers/s':>9} {'stored/s':>9} {'showers/s':>9} {'stored/s':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cards, stock = list(our_cards(folder, options.showers)), stock_configuration(folder)
        ours = show("openiact", drive(*cards, CONFIG, run="1"), options.showers)
        show("openiact, stock", drive(*cards, stock, run="1"), options.showers)
        baseline, label = RECORDED, "recorded figures of the prototype"
        if options.prototype:
            other = folder / "prototype"
            other.mkdir()
            cards = prototype_cards(other, options.showers)
            result = drive(*cards, stock, module="openiact", path=Path(options.prototype).resolve())
            baseline, label = show("prototype", result, options.showers), "prototype, same run"
    for key in ("showers", "events"):
        print(f"{key}/s: {ours[key] / baseline[key]:.2f} x the {label} ({baseline[key]:.0f})")


if __name__ == "__main__":
    main()
