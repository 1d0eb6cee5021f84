"""Make the science products of a fitted analysis with Gammapy's estimators."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ctabatch.analysis.fit import freeze_shape, restore_models
from ctabatch.analysis.parallel import run_parallel
from ctabatch.analysis.settings import new_workflow, workflow_config
from ctabatch.analysis.stack import read_single
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.files import replacing

log = logging.getLogger(__name__)

#: Files of the products -> title and CTAO division; not every analysis has all.
FILES = {
    "stacked.fits.gz": ("Stacked dataset", "DL4", "Binned"),
    "models.yaml": ("Best-fit models", "DL5", "Model"),
    "models_covariance.dat": ("Covariance of the best-fit models", "DL5", "Model"),
    "flux-points.fits": ("Flux points", "DL5", "Binned"),
    "light-curve.fits": ("Light curve", "DL5", "Binned"),
    "maps.fits.gz": ("Excess, significance and residual maps", "DL5", "Binned"),
    "theta2.ecsv": ("Theta-squared distribution", "DL5", "Binned"),
}


@dataclass
class Made:
    """Products in memory, for plots and summary."""

    models: object | None = None
    flux_points: object | None = None
    integral: object | None = None
    light_curve: object | None = None
    maps: dict = field(default_factory=dict)
    theta2: object | None = None
    notes: list[str] = field(default_factory=list)


def make_products(
    request: AnalysisRequest, fit: dict, dataset, archives: list[Path], theta2, folder: Path
) -> Made:
    """Make all wanted products and write them.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    fit : dict
        Content of ``fit.json``. Without a converged candidate, only what needs no model is made.
    dataset : gammapy.datasets.Dataset
        The stacked dataset.
    archives : list of pathlib.Path
        Groups of reduced observations, for the light curve.
    theta2 : astropy.table.Table or None
        Summed theta-squared table.
    folder : pathlib.Path
        Where the files are written.
    """
    made = Made(theta2=theta2)
    workflow = new_workflow(workflow_config(request))
    candidate = fit["candidates"].get(fit["best"])
    if candidate:
        made.models = restore_models(candidate)
        _write_models(made.models, folder)
        if candidate["frozen_shape"]:
            # fluxes of a target that is not there: for the shape that the file gives
            freeze_shape(made.models, request.models.source)
    if candidate and request.products.flux_points:
        made.flux_points = _flux_points(workflow, dataset, made, request.products.flux_points.bins)
        _write_points(made.flux_points, folder / "flux-points.fits")
    tasks = {}
    if candidate:
        tasks["integral"] = lambda: _flux_points(workflow, dataset, made, 1)
    if candidate and request.products.light_curve:
        tasks["light_curve"] = lambda: _light_curve(workflow, archives, made, request)
    if request.dimension == "3d" and request.products.maps:
        tasks["maps"] = lambda: _maps(workflow, dataset, made.models)
    results = run_parallel(list(tasks.values()), request.n_jobs)
    found = dict(zip(tasks, results, strict=True))
    made.integral = found.get("integral")
    if "light_curve" in found:
        made.light_curve, note = found["light_curve"]
        if note:
            made.notes.append(note)
        if made.light_curve is not None:
            _write_table(made.light_curve, folder / "light-curve.fits")
    if "maps" in found:
        made.maps = found["maps"]
        _write_maps(made.maps, folder / "maps.fits.gz")
    if theta2 is not None:
        with replacing(folder / "theta2.ecsv") as temporary:
            theta2.write(temporary, format="ascii.ecsv", overwrite=True)
    return made


def with_models(dataset, models):
    """Copy a dataset and give it models, see `_set`."""
    from types import SimpleNamespace

    holder = SimpleNamespace()
    _set(holder, [dataset.copy(name=dataset.name)], models)
    return holder.datasets[0]


def _set(workflow, datasets, models) -> None:
    """Give datasets and models to Gammapy's workflow, one background model for each map."""
    from gammapy.datasets import Datasets
    from gammapy.modeling.models import FoVBackgroundModel, Models

    workflow.datasets = Datasets(datasets)
    wanted = [model for model in models if not isinstance(model, FoVBackgroundModel)]
    backgrounds = [model for model in models if isinstance(model, FoVBackgroundModel)]
    for item in workflow.datasets:
        if item.tag == "MapDataset" and backgrounds:
            spectral = backgrounds[0].spectral_model.copy()
            wanted.append(
                FoVBackgroundModel(
                    dataset_name=item.name, spectral_model=spectral, name=f"{item.name}-bkg"
                )
            )
    workflow.datasets.models = Models(wanted)


def _flux_points(workflow, dataset, made: Made, bins: int):
    """Flux points in `bins` bins over the whole range."""
    _set(workflow, [dataset.copy(name=dataset.name)], made.models)
    workflow.config.flux_points.energy.nbins = bins
    workflow.get_flux_points()
    return workflow.flux_points.data


def _light_curve(workflow, archives, made: Made, request: AnalysisRequest):
    """Light curve as a table in Gammapy's format, a group of observations in memory at a time.

    Returns
    -------
    tuple
        The table, None if there is none, and why there is none.
    """
    from astropy.table import vstack

    interval, tables = request.products.light_curve.interval, []
    for datasets in _chunks(archives, interval):
        _set(workflow, datasets, made.models)
        if interval == "night":
            intervals = workflow.config.light_curve.time_intervals
            nights = sorted({_night(dataset) for dataset in datasets})
            intervals.start, intervals.stop = _noon(nights), _noon([night + 1 for night in nights])
        try:
            workflow.get_light_curve()
        except ValueError as error:  # Gammapy refuses observations at the same time
            return None, f"no light curve: {error}"
        table = workflow.light_curve.to_table(format="lightcurve", sed_type="flux")
        for name in ("counts", "npred", "npred_excess"):
            if name in table.colnames:  # one number for each dataset of the chunk
                table[name] = np.nansum(table[name].data, axis=-1)
        tables.append(table)
    if not tables:
        return None, None
    total = vstack(tables, metadata_conflicts="silent")
    total.sort("time_min")
    return total, None


def _chunks(archives, interval: str):
    """Lists of datasets: those of a group, or the complete nights up to it."""
    pending = []
    for datasets in read_single(archives):
        pending += list(datasets)
        if interval == "observation":
            yield pending
            pending = []
            continue
        last = _night(pending[-1])
        done = [dataset for dataset in pending if _night(dataset) != last]
        pending = [dataset for dataset in pending if _night(dataset) == last]
        if done:
            yield done
    if pending:
        yield pending


def _night(dataset) -> int:
    """Number of the night in which a dataset starts: nights go from noon to noon, UTC."""
    return int(np.floor(dataset.gti.time_start[0].utc.mjd - 0.5))


def _noon(nights: list[int]):
    from astropy.time import Time

    return Time(np.array(nights) + 0.5, format="mjd", scale="utc")


def _write_models(models, folder: Path) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix=".models.", dir=folder) as name:
        models.write(Path(name) / "models.yaml", overwrite=True, write_covariance=True)
        for path in Path(name).iterdir():
            path.replace(folder / path.name)


def _write_points(points, path: Path) -> None:
    with replacing(path) as temporary:
        points.write(temporary, overwrite=True, sed_type="dnde")


def _write_table(table, path: Path) -> None:
    with replacing(path) as temporary:
        table.write(temporary, format="fits", overwrite=True)


def _maps(workflow, dataset, models) -> dict:
    """Excess and significance above the background, and what the best-fit models leave.

    The significance is the square root of the Cash test statistic within the correlation radius,
    by Gammapy's ``ExcessMapEstimator``.
    """
    from gammapy.modeling.models import FoVBackgroundModel

    background = [model for model in models or [] if isinstance(model, FoVBackgroundModel)]
    result = {}
    for name, chosen in (("", background), ("residual_", models)):
        if chosen is None:
            continue
        _set(workflow, [dataset.copy(name=dataset.name)], chosen)
        workflow.get_excess_map()
        found = workflow.excess_map
        result[f"{name}significance"] = found.sqrt_ts
        result[f"{name}excess"] = found.npred_excess
    result["counts"] = dataset.counts.sum_over_axes()
    return result


def _write_maps(maps: dict, path: Path) -> None:
    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, item in maps.items():
        image = item.sum_over_axes(keepdims=False) if item.geom.axes else item
        hdus.append(image.to_hdu(hdu=name.upper()))
    with replacing(path) as temporary:
        hdus.writeto(temporary, overwrite=True)
