"""How far the open simulator agrees with CTAO's published response functions at 20 deg zenith.

Runs the whole IRF chain with ctapipe's tools and the configuration that ships
(``config/pipeline``), and compares with the Prod5-North IRF of 4 LSTs and 9 MSTs:

    python benchmarks/physics.py [--reference FILE] [--work DIR] [--showers N]

The simulator was adjusted to three quantities of that file: effective area and containment at 0.5
deg from the pointing, background averaged over the inner 2 deg. They are printed first, with the
aims. What was not adjusted is printed apart: effective area and containment at 1.5 deg, energy bias
and resolution, and the sensitivity (which follows from the others). ``--subarray CTAO-South``
makes the IRF and the pilot file only: there is no published IRF of that array to compare with here.

The reference is looked for below ``CTA_TEST_DATA``. Writes ``physics.json`` and ``physics.png``
into the work folder, and ``pilot.fits.gz``, an IRF of the same events in bins of a pilot table.
What is in the work folder already is not simulated again.
"""

import argparse
import importlib
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCES = {
    "CTAO-North": "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz",
}
OFFSET, OTHER_OFFSET = 0.5, 1.5  # deg, for effective area and containment
RING = 2.0  # deg, radius of the field that the background is averaged over

#: Thrown showers in units of --showers, by sample and particle. The cut optimiser of the shipped
#: configuration looks at gammas alone.
SHARES = {
    ("train", "gamma"): 0.5,
    ("train", "proton"): 0.8,
    ("cuts", "gamma"): 0.5,
    ("irf", "gamma"): 1.0,
    ("irf", "proton"): 1.6,
    ("irf", "electron"): 0.2,
}
#: Narrower than a production: offsets below 2 deg count.
THROWN = {
    "gamma": {"energy_min": "0.02 TeV", "energy_max": "100 TeV", "view_cone": "3 deg"},
    "proton": {"energy_min": "0.1 TeV", "energy_max": "200 TeV", "view_cone": "4 deg"},
    "electron": {"energy_min": "0.02 TeV", "energy_max": "50 TeV", "view_cone": "4 deg"},
}
SCATTER = {"gamma": "1200 m", "proton": "1000 m", "electron": "1000 m"}
#: Harder than the -2 of a production, so that a small run has events above 1 TeV, too; pyirf weights
#: the events of the IRF to the spectra of config/pipeline/irf.yaml.
SPECTRAL_INDEX = -1.4


def binning(per_decade, energy_min, energy_max, offset_max):
    """Configuration of bins in the form of ctapipe; energies in TeV, offsets in steps of 1 deg."""
    kinds = {"true": "DefaultTrueEnergyBins", "reco": "DefaultRecoEnergyBins"}
    sections = {
        section: {
            f"{kind}_energy_min": f"{energy_min} TeV",
            f"{kind}_energy_max": f"{energy_max} TeV",
            f"{kind}_energy_n_bins_per_decade": per_decade,
        }
        for kind, section in kinds.items()
    }
    return sections | {
        "DefaultFoVOffsetBins": {
            "fov_offset_min": "0 deg",
            "fov_offset_max": f"{offset_max} deg",
            "fov_offset_n_bins": offset_max,
        },
        "PSF3DMaker": {"source_offset_max": "1 deg", "source_offset_n_bins": 200},
        "EventSelectionOptimizer": {"obs_time": "50 hour"},
        "IrfTool": {"obs_time": "50 hour"},
    }


#: Bins of the comparison are those of the published background and PSF: 5 a decade from 10 ** -1.9 TeV.
BINNINGS = {
    "irf": binning(5, 10**-1.9, 10**2.1, 2),
    "pilot": binning(4, 0.02, 100, 3),
}
EDGES = 10 ** np.arange(-1.5, 1.31, 0.2)
#: Wide ranges (TeV) for the background, of which few protons are left after cuts.
WIDE = ((0.08, 0.4), (0.4, 1.3), (1.3, 5.0))


def process(*arguments, log):
    """Run ctapipe-process in a process of its own; its output goes to `log`."""
    command = [str(Path(sys.executable).with_name("ctapipe-process")), *map(str, arguments)]
    command += ["--overwrite", "--provenance-log", str(log.with_suffix(".prov.json"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: see {log}")


def tool(name, *arguments, log):
    """Run another tool of ctapipe within this process, which spares the start; skip finished ones."""
    from importlib.metadata import entry_points

    from ctapipe.core import run_tool

    arguments = list(map(str, arguments))
    place = arguments.index("--output") + 1
    output = Path(arguments[place])
    if output.exists():
        return
    part = output.with_name(f"part-{output.name}")
    arguments[place] = str(part)
    (entry,) = entry_points(group="console_scripts", name=f"ctapipe-{name}")
    module = importlib.import_module(entry.module)
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and getattr(item, "name", None) == f"ctapipe-{name}"
    ]
    options = ["--overwrite", "--provenance-log", str(log.with_suffix(".prov.json"))]
    run_tool(classes[0](), [*arguments, *options, "--log-file", str(log)], raises=True)
    part.rename(output)


class Chain:
    """The chain of tools in a work folder; finished files are kept."""

    def __init__(self, work, config, subarray, jobs, showers, per_run):
        self.work, self.config, self.subarray, self.jobs = work, config, subarray, jobs
        self.showers, self.per_run = showers, per_run
        for name in ("runs", "logs"):
            (work / name).mkdir(parents=True, exist_ok=True)

    def card(self, sample, particle, showers):
        """Write the card of a sample with runs of so many showers."""
        from ctabatch.simulation.card import RunCard
        from ctabatch.simulation.subarrays import load_subarray

        layout = load_subarray(self.subarray)
        card = RunCard(
            sample=f"physics-{sample}",
            particle=particle,
            scatter_radius=SCATTER[particle],
            showers_per_run=showers,
            spectral_index=SPECTRAL_INDEX,
            zenith="20 deg",
            azimuth="180 deg",
            site=layout.site,
            telescopes=layout.telescopes,
            **THROWN[particle],
        )
        return card.write(self.work / f"{sample}-{particle}.openiact.json")

    def simulate(self):
        """Simulate and process all runs of all samples, `jobs` at a time; merge them."""
        tasks = []
        for (sample, particle), share in SHARES.items():
            runs = math.ceil(share * self.showers / self.per_run)
            card = self.card(sample, particle, math.ceil(share * self.showers / runs))
            tasks += [(card, sample, particle, run) for run in range(1, runs + 1)]
        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(lambda task: self.process(*task), tasks))
        for sample, particle in SHARES:
            self.merge(sample, particle)
        return len(tasks)

    def process(self, card, sample, particle, run):
        """Simulate and process one run."""
        output = self.work / "runs" / f"{sample}-{particle}-{run:04d}.dl2.h5"
        if output.exists():
            return
        part = output.with_name(f"part-{output.name}")
        log = self.work / "logs" / f"{output.name}.log"
        options = ["--input", card, "--output", part, f"--OpenIACTEventSource.run={run}"]
        process(*options, "--config", self.config / "process.yaml", log=log)
        part.rename(output)

    def merge(self, sample, particle):
        """Merge the runs of a sample."""
        runs = sorted((self.work / "runs").glob(f"{sample}-{particle}-*.dl2.h5"))
        output = self.work / f"{sample}-{particle}.dl2.h5"
        log = self.work / "logs" / f"merge-{sample}-{particle}.log"
        tool("merge", *runs, "--output", output, log=log)

    def train(self):
        """Train the energy and the particle model."""
        config = ["--config", self.config / "train.yaml", "--n-jobs", self.jobs]
        logs, energy = self.work / "logs", self.work / "energy.pkl"
        gamma = self.work / "train-gamma.dl2.h5"
        tool(
            "train-energy-regressor", *config, "--input", gamma, "--output", energy,
            log=logs / "train-energy.log",
        )  # fmt: skip
        for particle in ("gamma", "proton"):
            self.apply("train", particle, "energy", [energy])
        tool(
            "train-particle-classifier", *config,
            "--signal", self.work / "train-gamma.energy.dl2.h5",
            "--background", self.work / "train-proton.energy.dl2.h5",
            "--output", self.work / "particle.pkl", log=logs / "train-particle.log",
        )  # fmt: skip

    def apply(self, sample, particle, stage, models):
        """Apply models to a sample."""
        options = [item for model in models for item in ("--reconstructor", model)]
        tool(
            "apply-models", "--input", self.work / f"{sample}-{particle}.dl2.h5", *options,
            "--output", self.work / f"{sample}-{particle}.{stage}.dl2.h5",
            log=self.work / "logs" / f"apply-{stage}-{sample}-{particle}.log",
        )  # fmt: skip

    def respond(self):
        """Make cuts, the IRF and the IRF in bins of a pilot table; returns the IRF's path."""
        models = [self.work / "energy.pkl", self.work / "particle.pkl"]
        files = {"cuts": [], "irf": []}
        for sample, particle in SHARES:
            if sample in files:
                self.apply(sample, particle, "final", models)
                path = self.work / f"{sample}-{particle}.final.dl2.h5"
                files[sample] += [f"--{particle}-file", path]
        for name, bins in BINNINGS.items():
            path = self.work / f"{name}.binning.yaml"
            path.write_text(json.dumps(bins))
            config = ["--config", self.config / "irf.yaml", "--config", path]
            cuts, irf = self.work / f"{name}.cuts.fits", self.work / f"{name}.fits.gz"
            logs = self.work / "logs"
            tool(
                "optimize-event-selection", *config, *files["cuts"], "--output", cuts,
                log=logs / f"{name}-cuts.log",
            )  # fmt: skip
            tool(
                "compute-irf", *config, *files["irf"], "--cuts", cuts, "--output", irf,
                "--benchmark-output", self.work / f"{name}.benchmarks.fits.gz",
                log=logs / f"{name}.log",
            )  # fmt: skip
        return self.work / "irf.fits.gz"


def column(component, values, edges):
    """Values at `OFFSET` of a table of (energy, offset): median of the table's bins in wide bins."""
    offset = int(np.searchsorted(component.edges["THETA"], OFFSET, "right")) - 1
    place = np.digitize(component.centers("ENERG"), edges) - 1
    row = [values[place == i, offset] for i in range(len(edges) - 1)]
    return np.array([np.nanmedian(v) if np.isfinite(v).any() else np.nan for v in row])


def curves(path, edges):
    """Read all quantities of an IRF, see `QUANTITIES`, at the centres of energy bins (edges in TeV)."""
    import astropy.units as u

    from ctabatch.irf.performance import background_rate, energy_resolution, sensitivity
    from ctabatch.irf.reading import open_irf

    file = open_irf(path)
    irf, dispersion = file.gammapy, file.components["edisp"]
    energy = np.sqrt(edges[1:] * edges[:-1]) * u.TeV
    result = {}
    for suffix, degrees in (("", OFFSET), (" off", OTHER_OFFSET)):
        offset = degrees * u.deg
        area = irf["aeff"].evaluate(energy_true=energy, offset=offset)
        radius = irf["psf"].containment_radius(0.68, energy_true=energy, offset=offset)
        result[f"aeff{suffix}"], result[f"r68{suffix}"] = (
            area.to_value("m2"),
            radius.to_value("deg"),
        )
    rate = background_rate(file.components["bkg"], 0, RING)
    place = np.searchsorted(file.components["bkg"].centers("ENERG"), edges[:-1])
    result["background"] = rate[place]
    bias, resolution = energy_resolution(dispersion)
    result["bias"] = column(dispersion, bias, edges)
    result["resolution"] = column(dispersion, resolution, edges)
    centres, flux = sensitivity(file, offset=OFFSET)
    known = np.isfinite(flux)
    result["sensitivity"] = np.exp(
        np.interp(np.log(energy.value), np.log(centres[known]), np.log(flux[known]), np.nan, np.nan)
    )
    # Gammapy interpolates logarithms: a bin without events comes out as a tiny number.
    for name in ("aeff", "aeff off"):
        result[name] = np.where(result[name] > 1e-6, result[name], 0)
    return result


#: Quantity -> title, aim (factor, if there is one), whether the simulator was adjusted to it.
QUANTITIES = {
    "aeff": ("effective area at 0.5 deg (m2)", 1.3, True),
    "r68": ("68 % containment at 0.5 deg (deg)", 1.5, True),
    "background": ("background (1/s/TeV/deg2)", 3.0, True),
    "aeff off": ("effective area at 1.5 deg (m2)", 1.3, False),
    "r68 off": ("68 % containment at 1.5 deg (deg)", 1.5, False),
    "resolution": ("energy resolution", 1.5, False),
    "sensitivity": ("sensitivity, 50 h (erg/cm2/s)", 2.0, False),
}


def counted(irf, edges):
    """Numbers of selected gammas and background events in energy bins, offsets to 2 deg."""
    from types import SimpleNamespace

    import astropy.units as u

    from ctabatch.irf.benchmarks import read_benchmark
    from ctabatch.irf.reading import open_irf
    from ctabatch.irf.validation.numbers import background_events

    path = irf.with_name("irf.benchmarks.fits.gz")
    table = read_benchmark(path, "ANGULAR RESOLUTION", ("N_EVENTS",))
    gammas = table["N_EVENTS"][np.searchsorted(table["ENERG"], edges[:-1] * 1.001) - 1].sum(axis=1)
    request = SimpleNamespace(observation_time=u.Quantity(BINNINGS["irf"]["IrfTool"]["obs_time"]))
    background = open_irf(irf).components["bkg"]
    events = background_events(SimpleNamespace(benchmarks=path, request=request), background)
    events = events[np.searchsorted(background.centers("ENERG"), edges[:-1])].sum(axis=1)
    return {"gammas": gammas.astype(int), "events": np.round(events).astype(int)}


def compare(chain, irf, reference):
    """Print the tables, write JSON and plot."""
    edges = EDGES
    energy = np.sqrt(edges[1:] * edges[:-1])
    ours, theirs = curves(irf, edges), curves(reference, edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = {name: ours[name] / theirs[name] for name in QUANTITIES}
    inside = (energy > 0.099) & (energy < 5)
    counts = counted(irf, edges)
    reached = {}
    for adjusted in (True, False):
        adjusted_to = chain.subarray == "CTAO-North" and adjusted
        print(f"\n{'adjusted to' if adjusted_to else 'not adjusted to'}: ratios ours / published")
        names = [name for name, (_, _, how) in QUANTITIES.items() if how == adjusted]
        extra = list(counts) if adjusted else ["bias", "published"]
        print(f"{'E / TeV':>8}", *(f"{name:>12}" for name in [*names, *extra]))
        for i, value in enumerate(energy):
            row = [f"{ratio[name][i]:12.2f}" for name in names]
            if adjusted:
                row += [f"{count[i]:12d}" for count in counts.values()]
            else:
                row += [f"{irf_['bias'][i]:12.3f}" for irf_ in (ours, theirs)]
            print(f"{value:8.3f}", *row, "" if inside[i] else "  (outside 0.1-5 TeV)")
        for name in names:
            title, limit, _ = QUANTITIES[name]
            good = inside & (ratio[name] < limit) & (ratio[name] > 1 / limit)
            reached[name] = f"{np.count_nonzero(good)} of {np.count_nonzero(inside)}"
            print(f"{title}: {reached[name]} bins within a factor {limit}")
    wide = {}
    for low, high in WIDE:
        rows = (energy > low) & (energy < high)
        sums = [(x["background"] * np.diff(edges))[rows].sum() for x in (ours, theirs)]
        wide[f"{low:g}-{high:g} TeV"] = [sums[0] / sums[1], int(counts["events"][rows].sum())]
    for name, (value, events) in wide.items():
        print(f"background {name}: {value:.2f} of the published one, from {events} events")
    shift = np.abs(ours["bias"] - theirs["bias"])[inside].max()
    print(f"energy bias: at most {shift:.3f} from the published one at 0.1-5 TeV")
    report = {
        "subarray": chain.subarray,
        "showers": chain.showers,
        "energy_TeV": energy.tolist(),
        "open": {k: np.nan_to_num(v).tolist() for k, v in ours.items()},
        "published": {k: np.nan_to_num(v).tolist() for k, v in theirs.items()},
        "ratio": {k: np.nan_to_num(v).tolist() for k, v in ratio.items()},
        "selected": {k: v.tolist() for k, v in counts.items()},
        "background_wide": wide,
        "reached": reached,
    }
    path = chain.work / "physics.json"
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    plot(energy, ours, theirs, ratio, reference.name, chain.work / "physics.png")


def plot(energy, ours, theirs, ratio, label, path):
    """Draw all quantities and their ratios."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        4, 4, figsize=(16, 11), sharex=True, height_ratios=[2, 1] * 2, layout="constrained"
    )
    for place, (name, (title, limit, adjusted)) in enumerate(QUANTITIES.items()):
        top, bottom = axes[2 * (place // 4) : 2 * (place // 4) + 2, place % 4]
        top.loglog(energy, theirs[name], "k-", label=label[:40])
        top.loglog(energy, ours[name], "C1o", label="openiact")
        top.set_title(f"{title}{' *' if adjusted else ''}", fontsize="medium")
        bottom.semilogx(energy, ratio[name], "C1o-")
        bottom.axhspan(1 / limit, limit, color="C2", alpha=0.2)
        bottom.axvspan(0.1, 5, color="k", alpha=0.05)
        bottom.set(yscale="log", ylim=(0.1, 10), xlabel="E / TeV", ylabel="ratio")
    for ax in axes[2:, 3]:
        ax.axis("off")
    axes[0, 0].legend(fontsize="small")
    figure.suptitle("* the simulator was adjusted to these quantities of CTAO-North")
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    data = os.environ.get("CTA_TEST_DATA")
    parser.add_argument("--subarray", choices=("CTAO-North", "CTAO-South"), default="CTAO-North")
    parser.add_argument("--reference", type=Path, help="published IRF to compare with")
    parser.add_argument("--work", type=Path, help="default: results/physics/SUBARRAY")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "config" / "pipeline")
    parser.add_argument("--showers", type=int, default=60_000, help="size of the IRF gammas")
    parser.add_argument("--per-run", type=int, default=30_000, help="most showers of a run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    name = REFERENCES.get(options.subarray)
    reference = options.reference or (Path(data) / name if data and name else None)
    if name and (reference is None or not reference.is_file()):
        sys.exit(f"the reference is not there: give --reference or CTA_TEST_DATA ({name})")
    start = time.time()
    work = (options.work or Path("results/physics") / options.subarray).resolve()
    showers, per_run = options.showers, options.per_run
    chain = Chain(work, options.config, options.subarray, options.jobs, showers, per_run)
    runs = chain.simulate()
    print(f"{runs} runs of at most {per_run} showers in {time.time() - start:.0f} s", flush=True)
    chain.train()
    irf = chain.respond()
    print(f"IRF after {time.time() - start:.0f} s: {irf}")
    if reference:
        compare(chain, irf, reference)


if __name__ == "__main__":
    main()
