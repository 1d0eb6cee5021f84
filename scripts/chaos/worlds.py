"""Where a campaign happens: a checkout, a data lake, and the requests of the rounds."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from ctabatch.running import MARK

REPOSITORY = Path(__file__).resolve().parents[2]

#: Length of a DL0 file in seconds, and files of an observation.
CHUNK, CHUNKS = 5, 2

#: The production of an IRF takes at least so long, seconds.
SHORTEST_IRF = 60


class WorldError(Exception):
    """The world can't be prepared, or a question to it failed."""


@dataclass(frozen=True)
class Step:
    """A command of a round."""

    name: str
    command: list[str]


class LocalWorld:
    """Embedded data lake, jobs on this machine.

    Parameters
    ----------
    folder : pathlib.Path
        Becomes a checkout, unless it is one.
    config : str
        Request of the IRF, a path in the checkout.
    rounds : int
        Rounds; each has an observation of its own.
    seed : int
        Seed of the campaign, and of its observations.
    irf_every : int
        Every so many rounds make an IRF of their own, too; 0 for none.
    """

    name = "local"
    kinds = ("group", "group", "main", "job", "transfer")
    chunks = CHUNKS
    tape = "TAPE"

    def __init__(self, folder, config, rounds, seed, irf_every=0):
        self.folder, self.config, self.rounds, self.seed = folder, config, rounds, seed
        self.irf_every = irf_every
        self.durations, self.products = {}, []
        self.environment = {name: value for name, value in os.environ.items() if name != MARK}
        self.environment |= {
            "XDG_DATA_HOME": str(folder / "home/data"),
            "XDG_CACHE_HOME": str(folder / "home/cache"),
            "COLUMNS": "10000",  # rich breaks lines that are wider
        }

    def __enter__(self):
        begin = time.monotonic()
        for name in ("workflow", "config", "profiles"):
            if not (self.folder / name).exists():
                shutil.copytree(REPOSITORY / name, self.folder / name)
        self._write_requests()
        # on this machine, whatever dies later
        local = ["--workflow-profile", "profiles/local", "--configfile", "requests/base.yaml"]
        self.run("snakemake", "irf", *local)
        # where it is in the lake already it says nothing about the next one
        self.durations["irf"] = max(time.monotonic() - begin, SHORTEST_IRF)
        # a round in peace says how long the steps take, and which products there are
        for step in self.round_steps(0):
            start = time.monotonic()
            self.run(*step.command)
            self.durations[step.name] = time.monotonic() - start
        self.prepared_s = time.monotonic() - begin
        return self

    def __exit__(self, *exception):
        pass

    @property
    def proposal(self):
        """Proposal of all observations."""
        return f"CHAOS{self.seed}"

    def obs_id(self, number):
        """Observation of a round."""
        return 1_000_000 + 1000 * (self.seed % 1000) + number

    def makes_irf(self, number):
        """Tell whether a round makes an IRF."""
        return bool(self.irf_every and number) and number % self.irf_every == 0

    def round_name(self, number):
        """Name of the requests of a round."""
        return f"chaos-{self.seed}-{number}"

    def sections(self):
        """Sections of the requests that belong to this world."""
        return {"lake": {"backend": "local", "local": {"folder": "lake"}}}

    def _write_requests(self):
        content = yaml.safe_load((self.folder / self.config).read_text())
        demo = yaml.safe_load((self.folder / "config/demo-reprocessing.yaml").read_text())
        content |= self.sections()
        content["observation"] = demo["observation"] | {
            "observations": self.rounds + 1,
            "obs_id": self.obs_id(0),
            "seed": self.seed,
            "duration": f"{CHUNK * CHUNKS} s",
            "chunk": f"{CHUNK} s",
            "pause": "1 s",
            "spectrum": {"scale": 60.0},
            "proposal_id": self.proposal,
        }
        self._write("base", content)
        irf = content["irf"]
        analysis = yaml.safe_load((self.folder / "config/demo-analysis.yaml").read_text())
        for number in range(self.rounds + 1):
            name, obs_id = self.round_name(number), self.obs_id(number)
            if self.makes_irf(number):
                # another wanted precision is another product
                wanted = round(irf["precision"]["background"] * (1 - number / 1000), 4)
                precision = irf["precision"] | {"background": wanted}
                content["irf"] = irf | {"name": name, "precision": precision}
            else:
                content["irf"] = irf
            content["reprocessing"] = {
                "name": name,
                "observations": [obs_id],
                # two waves
                "staging": {"lifetime": "2 h", "wave_volume": "0.02 GB"},
                "matching": demo["reprocessing"]["matching"],
            }
            content["analysis"] = analysis["analysis"] | {
                "name": name,
                "data": {"query": f"instance__obs_id = {obs_id}"},
                "save": "lake",
                "n_jobs": 1,
            }
            self._write(name, content)

    def _write(self, name, content):
        path = self.folder / f"requests/{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        text = yaml.safe_dump(content, sort_keys=False)
        if not (path.is_file() and path.read_text() == text):
            path.write_text(text)

    def profile(self):
        """Options of Snakemake that say where the jobs of the rounds run."""
        return ["--workflow-profile", "profiles/local"]

    def _snakemake(self, request):
        return [*self.profile(), "--configfile", f"requests/{request}.yaml"]

    def round_steps(self, number):
        """Commands of a round, in order; the observation itself is made here, in peace."""
        name, folder = self.round_name(number), f"dl0/{number}"
        base = ["--config", "requests/base.yaml"]
        self.run("cta-batch", "observe", *base, "--obs-id", self.obs_id(number), "--output", folder)
        files = sorted(
            str(path.relative_to(self.folder)) for path in (self.folder / folder).glob("*.h5")
        )
        ingest = ["cta-batch", "lake", "ingest", *files, "--rse", self.tape, *base]
        use_cases = ["irf"] * self.makes_irf(number) + ["reprocessing", "analysis"]
        return [
            Step("ingest", ingest),
            *(Step(case, ["snakemake", case, *self._snakemake(name)]) for case in use_cases),
        ]

    def run(self, *command):
        """Run a command in peace; returns its output."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            output = (done.stdout + done.stderr)[-3000:]
            raise WorldError(f"{' '.join(map(str, command))} failed:\n{output}")
        return done.stdout

    def ask(self, *words):
        """Ask ``cta-batch`` for JSON about the data lake."""
        return self.ask_plainly(*words, "--json", "--config", "requests/base.yaml")

    def ask_plainly(self, *words):
        """Ask ``cta-batch`` for JSON."""
        return json.loads(self.run("cta-batch", *words))

    def processes(self, main):
        """Processes that work for the main process of a run."""
        return psutil.Process(main).children(recursive=True)

    def search(self, query):
        """Rows of the lake."""
        return self.ask("search", query)

    def verify(self):
        """Read all files of the lake again."""
        done = subprocess.run(
            ["cta-batch", "lake", "verify", "--json", "--config", "requests/base.yaml"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1) or not done.stdout:
            raise WorldError(f"lake verify failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout)

    def requests(self):
        """Staging requests that are held."""
        return self.ask("lake", "requests")

    def result_folders(self):
        """Folders that hold the results of requests."""
        return [self.folder / "results"]

    def leftovers(self):
        """Half-written files of the storage elements."""
        for path in (self.folder / "lake").glob("*/.incoming/*"):
            yield f"half-written copy left: {path}"
