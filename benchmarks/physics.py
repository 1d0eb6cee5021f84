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
import os
import sys
import time
from pathlib import Path

from physics_chain import Chain
from physics_comparison import compare

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCES = {
    "CTAO-North": "irf/Prod5-North-20deg-AverageAz-4LSTs09MSTs.180000s-v0.1.fits.gz",
}


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
