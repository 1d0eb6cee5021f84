#!/usr/bin/env python3
"""Fault campaign: run the chain while its processes are killed at random times, rerun, look for damage.

A round observes a source anew and takes it through ingest, reprocessing and analysis; every few rounds
produce an IRF before, with which the data are then reprocessed. One to three times a round something
dies by SIGKILL at a random (seeded) moment: the whole process group of the main process, the main
process alone, one of its jobs, a process that moves data or, where there are servers, a server. Then
the same command runs again, undisturbed, and must succeed. At the end of the round nothing may be lost,
doubled or half-written, no staging request, temporary file, lock or process may be left, and the
products of all earlier rounds must still be there.

What is there in the folder already (checkout, IRF, durations) is used again. Exit code 0 if all rounds
pass, 1 if not, 2 for bad input.

Example:
    python scripts/chaos/chaos.py --rounds 20 --seed 1 --backends local
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from batch_worlds import DiracWorld, SlurmWorld  # noqa: E402
from checks import problems_of  # noqa: E402
from faults import Disturbance, run_disturbed, run_quietly  # noqa: E402
from rucio_world import RucioWorld  # noqa: E402
from worlds import LocalWorld, WorldError  # noqa: E402

WORLDS = {world.name: world for world in (LocalWorld, RucioWorld, SlurmWorld, DiracWorld)}


def play(world, number, generator):
    """Play one round; returns its log lines and what is wrong afterwards."""
    steps = world.round_steps(number)
    hit = [generator.choice(range(len(steps))) for _ in range(generator.randint(1, 3))]
    if world.makes_irf(number):
        hit[0] = [step.name for step in steps].index("irf")  # of the steps the longest
    log = []
    for index, step in enumerate(steps):
        for _ in range(hit.count(index)):
            kind = generator.choice(world.kinds)
            moment = generator.uniform(0.2, max(world.durations[step.name], 1.0))
            # how often it is asked depends on the clock; the schedule of the rounds must not
            chance = random.Random(generator.random())
            log.append(run_disturbed(world, step, Disturbance(kind, moment), chance))
        code, tail, seconds = run_quietly(world, step)
        if code:
            log.append(f"{step.name}: run again, exit code {code}")
            return log, [f"{step.name} does not succeed when it runs again:\n{tail}"]
        world.durations.setdefault(step.name, seconds)
    return log, problems_of(world, number)


def campaign(world, rounds, seed):
    """Play all rounds on a world; returns how many failed."""
    generator, failed = random.Random(f"{seed} {world.name}"), 0
    for number in range(1, rounds + 1):
        start = time.monotonic()
        log, problems = play(world, number, generator)
        verdict = "ok" if not problems else "FAILED"
        print(
            f"{world.name} round {number} of {rounds}: {verdict}, {time.monotonic() - start:.0f} s"
        )
        for line in log:
            print(f"    {line}")
        for problem in problems:
            print(f"    PROBLEM {problem}")
        sys.stdout.flush()
        failed += bool(problems)
    return failed


def main(argv=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="rounds for each back end (20)")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another campaign (1)")
    parser.add_argument(
        "--backends", default="local", help=f"one or more of {','.join(WORLDS)} (local)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where it happens; a temporary folder, removed, by default"
    )
    parser.add_argument(
        "--config",
        default="config/test/irf-tiny.yaml",
        help="request of the IRF, in the folder's checkout (config/test/irf-tiny.yaml)",
    )
    parser.add_argument(
        "--irf-every", type=int, default=5, help="every so many rounds produce an IRF; 0: none (5)"
    )
    options = parser.parse_args(argv)
    names = options.backends.split(",")
    for name in names:
        if name not in WORLDS:
            parser.error(f"no back end {name!r}; there are: {', '.join(WORLDS)}")
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    if options.irf_every < 0:
        parser.error("--irf-every is at least 0")
    failed = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        for name in names:
            folder = (options.folder or Path(temporary) / name).absolute()
            try:
                what = (options.config, options.rounds, options.seed, options.irf_every)
                with WORLDS[name](folder, *what) as world:
                    print(f"{name}: prepared in {world.prepared_s:.0f} s", flush=True)
                    failed += campaign(world, options.rounds, options.seed)
            except WorldError as error:
                print(f"chaos: error: {error}", file=sys.stderr)
                return 1
    print(f"{options.rounds * len(names) - failed} of {options.rounds * len(names)} rounds passed")
    return 1 if failed else 0


if __name__ == "__main__":
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sys.exit(main())
