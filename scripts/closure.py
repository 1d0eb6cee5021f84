#!/usr/bin/env python3
"""Closure test: observe a source with a known spectrum, run the whole chain, compare with the truth.

Each seed is an independent observation by the open simulator. Their DL0 goes to the tape of an
embedded data lake, an IRF is produced once, one reprocessing makes the DL3 of all seeds, and each seed
has an analysis of its own. Everything by `cta-batch` and the targets of the workflow, as a person would
run them; what is there already is not made again. Results are in the folder `results` of the
configuration.

With ``--profile`` the jobs run elsewhere, and ``--compare`` asks whether the products have the same
content as those of another run.

Exit code 0 if at least 90 % of the seeds agree within 2 sigma, for index and amplitude each; 1 if not,
or if a step failed; 2 for bad input. With ``--compare`` the products decide in place of the fits.

Examples:
    python scripts/closure.py --seeds 10
    python scripts/closure.py --seeds 1 --profile profiles/slurm --results results/slurm \\
        --compare results/closure/summary.json
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from ctabatch.closure import requests
from ctabatch.closure.digests import differences, digests_of, read_digests
from ctabatch.closure.pulls import judge, pulls_of, truth_of
from ctabatch.closure.report import write_results
from ctabatch.config.load import load_config, parse_config, read_yaml
from ctabatch.errors import BatchError, InputError
from ctabatch.files import read_json, write_text
from ctabatch.lake.open import open_lake
from ctabatch.simulation import DISCLAIMER


class StepError(Exception):
    """A command of the chain failed."""


class Chain:
    """Run the steps of the chain and say how far they are.

    Parameters
    ----------
    config : dict
        Content of the configuration.
    folder : pathlib.Path
        Its results.
    seeds : list of int
        Seeds.
    jobs : int
        Commands at a time, where several can run.
    profile : list of str
        Options of Snakemake that say where the jobs run.
    dry : bool
        Print the commands, run nothing.
    """

    def __init__(self, config, seeds, jobs, profile, dry=False):
        self.config, self.folder, self.seeds = config, Path(config["results"]), seeds
        self.jobs, self.profile, self.dry = jobs, profile, dry
        self.done, self.steps = 0, 2 * len(seeds) + 3
        self.begin = time.monotonic()

    def request(self, name, content):
        """Write a request where it changed, and return its path."""
        path = self.folder / "requests" / f"{name}.yaml"
        text = yaml.safe_dump(content, sort_keys=False)
        if not self.dry and not (path.is_file() and path.read_text() == text):
            write_text(path, text)
        return path

    def step(self, name, *command):
        """Run a command; its output goes to a log file, whose end is shown if it fails."""
        command = [str(part) for part in command]
        if self.dry:
            print(" ".join(command))
            return
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        with log.open("w") as stream:
            done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
        if done.returncode:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise StepError(f"{name} failed: {' '.join(command)}\n{end}\nall of it: {log}")
        self.done += 1
        took, whole = time.monotonic() - start, time.monotonic() - self.begin
        print(
            f"{self.done:3d} of {self.steps} done: {name}, {took:.0f} s; {whole:.0f} s in all",
            flush=True,
        )

    def snakemake(self, name, target, request, cores):
        """Run a target of the workflow."""
        self.step(
            name, "snakemake", target, *self.profile, "--configfile", request, "--cores", cores
        )

    def each(self, function):
        """Call a function with every seed, several at a time."""
        with ThreadPoolExecutor(1 if self.dry else self.jobs) as pool:
            list(pool.map(function, self.seeds))

    def run(self):
        """Run all steps; returns seed to DID of its DL3."""
        base = self.request("closure", self.config)
        self.snakemake("irf", "irf", base, self.jobs)
        self.each(self.observe)
        files = [self.folder / "dl0" / "*.h5"] if self.dry else sorted(self.folder.glob("dl0/*.h5"))
        self.step(
            "ingest", "cta-batch", "lake", "ingest", *files, "--rse", "TAPE", "--config", base
        )
        content = requests.reprocessing_request(self.config, self.seeds)
        request = self.request("reprocessing", content)
        self.snakemake("reprocessing", "reprocessing", request, self.jobs)
        if self.dry:
            dids = {seed: f"DL3 of seed {seed}" for seed in self.seeds}
        else:
            name = self.config["reprocessing"]["name"]
            summary = read_json(self.folder / "reprocessing" / name / "summary.json")
            dids = requests.dl3_of_seeds(self.config, self.seeds, summary)
        self.each(lambda seed: self.analyse(seed, dids[seed]))
        return dids

    def observe(self, seed):
        """Make the DL0 of a seed."""
        key = requests.key_of(seed)
        request = self.request(f"observe-{key}", requests.observation_request(self.config, seed))
        output = self.folder / "dl0"
        self.step(f"observe-{key}", "cta-batch", "observe", "--config", request, "--output", output)

    def analyse(self, seed, did):
        """Fit the spectrum of a seed."""
        key = requests.key_of(seed)
        request = self.request(f"analysis-{key}", requests.analysis_request(self.config, seed, did))
        self.snakemake(f"analysis-{key}", "analysis", request, 1)

    def collect(self, dids, truth):
        """Read the results of all seeds."""
        rows = []
        for seed in self.seeds:
            name = requests.analysis_request(self.config, seed, "")["analysis"]["name"]
            summary = read_json(self.folder / "analysis" / name / "summary.json")
            rows.append(
                {
                    "seed": seed,
                    "dl3": dids[seed],
                    "counts": summary["on_region"]["counts"],
                    "excess": summary["on_region"]["excess"],
                    "result": pulls_of(summary, truth),
                }
            )
        names = {section: self.config[section]["name"] for section in ("irf", "analysis")}
        lake = open_lake(parse_config(self.config).lake)
        return {
            "truth": truth,
            "digests": digests_of(lake, self.folder, names, dids),
            "seeds": rows,
            "judgement": judge([row["result"] for row in rows]),
            "wall_s": round(time.monotonic() - self.begin, 1),
        }


def show(content):
    """Print the pulls and the verdict."""
    for row in content["seeds"]:
        found = row["result"]
        text = "no fit converged" if found is None else "   ".join(
            f"{name} {item['value']:.3g} +- {item['error']:.2g} (pull {item['pull']:+.2f})"
            for name, item in found.items()
        )  # fmt: skip
        print(f"seed {row['seed']:4d}   excess {row['excess']:7.1f}   {text}")
    judgement = content["judgement"]
    for name, item in judgement["parameters"].items():
        mean = "" if item["mean"] is None else (
            f"; mean pull {item['mean']:+.2f} +- {item['mean_error']:.2f}"
        )  # fmt: skip
        print(
            f"{name}: {item['within']} of {item['seeds']} seeds within {judgement['sigma']:g} sigma "
            f"(needed {item['needed']}){mean}"
        )


def main(argv=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=Path("config/closure.yaml"))
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds (default 10)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count(),
        help="processes at a time (default: all processors)",
    )
    parser.add_argument(
        "--profile", default="profiles/local", help="Snakemake's profile (default profiles/local)"
    )
    parser.add_argument("--options", default="", help="more options of Snakemake, in one word")
    parser.add_argument(
        "--results", help="folder of results and embedded lake, in place of the configuration's"
    )
    parser.add_argument(
        "--compare", type=Path, help="summary.json of another run: products must be equal"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.first < 1 or options.jobs < 1:
        parser.error("--seeds, --first and --jobs are at least 1")
    try:
        config = load_config(options.config)
        for section in ("observation", "irf", "reprocessing", "analysis"):
            if getattr(config, section) is None:
                raise InputError(
                    "is missing", f"{options.config}: {section}", "what config/closure.yaml has"
                )
        truth = truth_of(config.observation.spectrum)
        seeds = list(range(options.first, options.first + options.seeds))
        other = read_digests(options.compare) if options.compare else {}
        content = {"results": str(config.results)} | read_yaml(options.config)
        if options.results:
            content = requests.elsewhere(content, options.results)
        profile = ["--workflow-profile", options.profile, *shlex.split(options.options)]
        chain = Chain(content, seeds, options.jobs, profile, options.dry_run)
        dids = chain.run()
        if options.dry_run:
            return 0
        content = chain.collect(dids, truth)
        report = write_results(content, chain.folder, DISCLAIMER)
    except InputError as error:
        print(f"closure: error: {error}", file=sys.stderr)
        return 2
    except (BatchError, StepError) as error:
        print(f"closure: error: {error}", file=sys.stderr)
        return 1
    show(content)
    print(f"report: {report}")
    if not options.compare:
        return 0 if content["judgement"]["passed"] else 1
    different = differences(content["digests"], other)
    for text in different:
        print(f"not the product of {options.compare}: {text}")
    if not different:
        print(f"{len(content['digests'])} products have the content of those of {options.compare}")
    return 1 if different else 0


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sys.exit(main())
