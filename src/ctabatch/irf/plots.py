"""Plots of IRFs: effective area, energy dispersion, PSF, background and sensitivity.

Nominal IRF and variations are drawn together, a reference IRF in grey.
"""

import logging
from pathlib import Path

from ctabatch.errors import InputError
from ctabatch.irf import drawings
from ctabatch.irf.benchmarks import read_benchmark
from ctabatch.irf.reading import open_irf
from ctabatch.report.figures import save_figure

log = logging.getLogger(__name__)


def make_plots(irf_paths, folder, reference=None, benchmarks=None, notice=None):
    """Draw all plots.

    Parameters
    ----------
    irf_paths : dict
        Label to IRF file; the first is the nominal one.
    folder : str or pathlib.Path
        Where the files go; plots of an earlier call are removed.
    reference : str or pathlib.Path, optional
        IRF to compare with.
    benchmarks : dict, optional
        Label to the benchmarks file of ``ctapipe-compute-irf``; that of the first label gives error
        bars and pyirf's own sensitivity.
    notice : str, optional
        Text below every plot, such as that the simulator is approximate.

    Returns
    -------
    list of pathlib.Path
        PNG files. A damaged IRF is shown as far as possible, because its plots help to find the
        fault: what can't be read or drawn is left out, with a warning.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    irfs = _readable(irf_paths)
    other = open_irf(reference, where="validation.reference") if reference else None
    first = next(iter(irfs), None)
    extra = _BenchmarkTables((benchmarks or {}).get(first))
    written = []
    for name, kinds, draw in (
        ("effective_area", ("aeff",), drawings.effective_area),
        ("energy_dispersion", ("edisp",), drawings.energy_dispersion),
        ("psf", ("psf",), drawings.psf),
        ("background", ("bkg",), drawings.background),
        ("sensitivity", ("aeff", "edisp", "psf", "bkg"), drawings.sensitivity),
    ):
        complete = {
            label: irf for label, irf in irfs.items() if all(k in irf.components for k in kinds)
        }
        if first not in complete:
            continue
        compared = other if other and all(k in other.components for k in kinds) else None
        try:
            figure = draw(complete, compared, extra)
        except Exception as error:  # any library's: the numbers are those of a damaged file
            log.warning("can't draw %s: %s: %s", name, type(error).__name__, error)
            continue
        path = folder / f"{name}.png"
        save_figure(figure, path, notice)
        written.append(path)
    for stale in set(folder.glob("*.png")) - set(written):
        stale.unlink()
    return written


def _readable(paths):
    irfs = {}
    for label, path in paths.items():
        try:
            irfs[label] = open_irf(path)
        except InputError as error:
            log.warning("not in the plots: %s", error)
    return irfs


class _BenchmarkTables:
    """The benchmarks file of the nominal IRF; absent or damaged, it gives None with a warning."""

    def __init__(self, path):
        self.path = path

    def read(self, extension, column):
        if self.path is None:
            return None
        try:
            return read_benchmark(self.path, extension, (column,))
        except InputError as error:
            log.warning("not in the plots: %s", error)
            return None
