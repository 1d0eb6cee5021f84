"""The IRF chain of ``physics.py``: ctapipe's tools with the configuration that ships."""

import importlib
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
