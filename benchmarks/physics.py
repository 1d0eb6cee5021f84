"""How far the open simulator agrees with CTAO's published Prod5-North response functions.

Runs the whole IRF chain with ctapipe's tools and the configuration of ``config/pipeline`` and
compares, at 20 deg zenith, with the IRF of 4 LSTs and 9 MSTs: effective area and containment at
0.5 deg from the pointing, background averaged over the inner 2 deg:

    python benchmarks/physics.py --reference DIR/irf/Prod5-North-...fits.gz --work DIR [--quick]

The reference is looked for below ``CTA_TEST_DATA`` when it is not given. Prints a table; writes
``physics.json`` and ``physics.png`` into the work folder. What is in the work folder already is not
simulated again.
"""

import argparse
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
REFERENCE = "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz"
OFFSET = 0.5  # deg, for effective area and containment
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
#: Edges are powers of 10 ** 0.2, so that `compare` evaluates at the centres of bins.
BINNING = {
    "DefaultTrueEnergyBins": {
        "true_energy_min": "0.015848932 TeV",
        "true_energy_max": "39.810717 TeV",
        "true_energy_n_bins_per_decade": 5,
    },
    "DefaultRecoEnergyBins": {
        "reco_energy_min": "0.015848932 TeV",
        "reco_energy_max": "39.810717 TeV",
        "reco_energy_n_bins_per_decade": 5,
    },
    "DefaultFoVOffsetBins": {
        "fov_offset_min": "0 deg",
        "fov_offset_max": "2 deg",
        "fov_offset_n_bins": 2,
    },
    "PSF3DMaker": {"source_offset_max": "1 deg", "source_offset_n_bins": 200},
    "EventSelectionOptimizer": {"obs_time": "50 hour"},
    "IrfTool": {"obs_time": "50 hour"},
}


def tool(name, *arguments, log):
    """Run a ctapipe tool; its output goes to `log`."""
    command = [str(Path(sys.executable).with_name(f"ctapipe-{name}")), *map(str, arguments)]
    command += ["--overwrite", "--provenance-log", str(log.with_suffix(".prov.json"))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("w") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: see {log}")


class Chain:
    """The chain of tools in a work folder; finished files are kept."""

    def __init__(self, work, config, jobs, showers, per_run):
        self.work, self.config, self.jobs = work, config, jobs
        self.showers, self.per_run = showers, per_run
        for name in ("runs", "logs"):
            (work / name).mkdir(parents=True, exist_ok=True)

    def card(self, sample, particle, showers):
        """Write the card of a sample with runs of so many showers."""
        from ctabatch.simulation.card import RunCard
        from ctabatch.simulation.subarrays import load_subarray

        layout = load_subarray("CTAO-North")
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
        tool("process", *options, "--config", self.config / "process.yaml", log=log)
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
        """Make cuts and the IRF; returns its path."""
        binning = self.work / "binning.yaml"
        binning.write_text(json.dumps(BINNING))
        config = ["--config", self.config / "irf.yaml", "--config", binning]
        models = [self.work / "energy.pkl", self.work / "particle.pkl"]
        files = {"cuts": [], "irf": []}
        for sample, particle in SHARES:
            if sample in files:
                self.apply(sample, particle, "final", models)
                path = self.work / f"{sample}-{particle}.final.dl2.h5"
                files[sample] += [f"--{particle}-file", path]
        cuts, irf = self.work / "cuts.fits", self.work / "irf.fits.gz"
        logs = self.work / "logs"
        tool(
            "optimize-event-selection", *config, *files["cuts"], "--output", cuts,
            log=logs / "cuts.log",
        )  # fmt: skip
        tool(
            "compute-irf", *config, *files["irf"], "--cuts", cuts, "--output", irf,
            "--benchmark-output", self.work / "benchmarks.fits.gz", log=logs / "irf.log",
        )  # fmt: skip
        return irf


def mean_background(background, energy):
    """Average the background over the field within `RING`; it is nearly flat there."""
    import astropy.units as u

    offset = RING * np.sqrt((np.arange(8) + 0.5) / 8) * u.deg
    if "offset" in background.axes.names:
        rates = background.evaluate(energy=energy[:, None], offset=offset)
    else:
        rates = background.evaluate(energy=energy[:, None], fov_lon=offset, fov_lat=0 * u.deg)
    return rates.mean(axis=1)


def curves(path, edges):
    """Read effective area (m2), 68 % containment (deg) and background rate (Hz / TeV / sr)."""
    import astropy.units as u
    from gammapy.irf import load_irf_dict_from_file

    irf = load_irf_dict_from_file(path)
    energy = np.sqrt(edges[1:] * edges[:-1]) * u.TeV
    offset = OFFSET * u.deg
    radius = irf["psf"].containment_radius(0.68, energy_true=energy, offset=offset)
    return {
        "aeff": irf["aeff"].evaluate(energy_true=energy, offset=offset).to_value("m2"),
        "r68": radius.to_value("deg"),
        "background": mean_background(irf["bkg"], energy).to_value("1 / (s TeV sr)"),
    }


LIMITS = {"aeff": 1.3, "r68": 1.5, "background": 3.0}
TITLES = {
    "aeff": "effective area (m2)",
    "r68": "68 % containment (deg)",
    "background": "background (1/s/TeV/sr)",
}


def compare(irf, reference, work):
    """Print the table, write JSON and plot; returns whether all bins are within the aims."""
    edges = 10 ** np.arange(-1.4, 1.21, 0.2)
    energy = np.sqrt(edges[1:] * edges[:-1])
    ours, theirs = curves(irf, edges), curves(reference, edges)
    # Gammapy interpolates logarithms: a bin without events comes out as a tiny number.
    ours = {name: np.where(value > 1e-6, value, 0) for name, value in ours.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = {name: ours[name] / theirs[name] for name in ours}
    inside = (energy > 0.1) & (energy < 5)
    print(f"{'E / TeV':>8} {'Aeff / m2':>10} {'ratio':>6} {'r68 / deg':>10} {'ratio':>6} ", end="")
    print(f"{'bkg':>9} {'ratio':>6}")
    for i, value in enumerate(energy):
        print(f"{value:8.3f}", end="")
        for name, width in (("aeff", 10), ("r68", 10), ("background", 9)):
            print(f" {ours[name][i]:{width}.3g} {ratio[name][i]:6.2f}", end="")
        print("" if inside[i] else "   (outside 0.1-5 TeV)")
    reached = {}
    for name, limit in LIMITS.items():
        good = (ratio[name] < limit) & (ratio[name] > 1 / limit)
        reached[name] = f"{np.count_nonzero(good & inside)} of {np.count_nonzero(inside)}"
        print(f"{TITLES[name]}: {reached[name]} bins within a factor {limit}")
    report = {
        "energy_TeV": energy.tolist(),
        "open": {k: v.tolist() for k, v in ours.items()},
        "published": {k: v.tolist() for k, v in theirs.items()},
        "ratio": {k: np.nan_to_num(v).tolist() for k, v in ratio.items()},
        "reached": reached,
    }
    (work / "physics.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    plot(energy, ours, theirs, ratio, work / "physics.png")


def plot(energy, ours, theirs, ratio, path):
    """Draw the three quantities and their ratios."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        2, 3, figsize=(12, 6), sharex=True, height_ratios=[2, 1], layout="constrained"
    )
    for column, name in enumerate(LIMITS):
        top, bottom = axes[:, column]
        top.loglog(energy, theirs[name], "k-", label="Prod5-North, 20 deg")
        top.loglog(energy, ours[name], "C1o", label="openiact")
        top.set_title(TITLES[name])
        bottom.semilogx(energy, ratio[name], "C1o-")
        bottom.axhspan(1 / LIMITS[name], LIMITS[name], color="C2", alpha=0.2)
        bottom.axvspan(0.1, 5, color="k", alpha=0.05)
        bottom.set(yscale="log", ylim=(0.1, 10), xlabel="E / TeV", ylabel="ratio")
    axes[0, 0].legend()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    data = os.environ.get("CTA_TEST_DATA")
    parser.add_argument("--reference", type=Path, default=Path(data) / REFERENCE if data else None)
    parser.add_argument("--work", type=Path, default=Path("results/physics"))
    parser.add_argument("--config", type=Path, default=REPOSITORY / "config" / "pipeline")
    parser.add_argument("--showers", type=int, default=100_000, help="size of the IRF gammas")
    parser.add_argument("--per-run", type=int, default=20_000, help="showers a run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="a tenth of the showers")
    options = parser.parse_args()
    if options.reference is None or not options.reference.is_file():
        sys.exit(f"the reference is not there: give --reference or CTA_TEST_DATA ({REFERENCE})")
    showers = options.showers // 10 if options.quick else options.showers
    start = time.time()
    work = options.work.resolve()
    chain = Chain(work, options.config, options.jobs, showers, min(options.per_run, showers))
    runs = chain.simulate()
    print(f"{runs} runs of {chain.per_run} showers in {time.time() - start:.0f} s", flush=True)
    chain.train()
    irf = chain.respond()
    print(f"IRF after {time.time() - start:.0f} s: {irf}")
    compare(irf, options.reference, work)


if __name__ == "__main__":
    main()
