"""Compile ctapipe's numba functions once, before many processes would each do it."""

import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from ctabatch.errors import BatchError
from ctabatch.files import write_json
from ctabatch.simulation.card import CARD_SUFFIX, RunCard
from ctabatch.simulation.subarrays import load_subarray


def compile_functions(marker: Path) -> None:
    """Process a few showers, so that numba's cache on disk is filled; then write `marker`.

    Parameters
    ----------
    marker : pathlib.Path
        JSON file with the versions for which the cache was filled.

    Raises
    ------
    ctabatch.errors.BatchError
        ctapipe could not process the showers; gives the end of its output.
    """
    layout = load_subarray("CTAO-North")
    card = RunCard(
        sample="warm",
        particle="gamma",
        energy_min="1 TeV",
        energy_max="2 TeV",
        view_cone="0 deg",
        scatter_radius="100 m",
        showers_per_run=20,
        zenith="20 deg",
        azimuth="180 deg",
        site=layout.site,
        telescopes=layout.telescopes,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = card.write(Path(folder) / f"warm{CARD_SUFFIX}")
        command = ["ctapipe-process", "--input", str(path), "--output", f"{folder}/warm.dl2.h5"]
        command += ["--write-showers", "--no-write-images", "--overwrite"]
        command += ["--provenance-log", f"{folder}/provenance.json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise BatchError(f"ctapipe-process failed with status {done.returncode}: {tail}")
    write_json(marker, {name: version(name) for name in ("ctapipe", "numba", "numpy")})
