"""The plots of an analysis, drawn from its products."""

import logging
from functools import partial
from pathlib import Path

import numpy as np

from ctabatch.analysis.parallel import run_parallel
from ctabatch.analysis.products import Made
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.report.figures import COLOURS, log_axes, new_figure, save_figure

log = logging.getLogger(__name__)

#: Plot -> caption, in the order of the report.
CAPTIONS = {
    "spectrum": "Spectral energy distribution of the target: best-fit model with its 1 sigma band, "
    "and flux points; arrows are upper limits (95 % confidence) of points below 2 sigma.",
    "light_curve": "Integral flux of the target over the whole energy range against time.",
    "counts": "Counts of the on region by reconstructed energy, the counts that the best-fit model "
    "and the background predict, and the residuals in units of the square root of the prediction.",
    "significance": "Significance above the background within the correlation radius. Cross: target.",
    "excess": "Excess counts above the background within the correlation radius.",
    "residual": "Significance that is left above background and best-fit models.",
    "significance_distribution": "Distribution of the significances of all pixels, above the "
    "background and above the best-fit models; a normal distribution of width 1 for comparison.",
    "theta2": "Events by squared angular distance to the target, and to its mirror position.",
}


def draw_all(
    request: AnalysisRequest, stacked, made: Made, folder: Path, notice=None
) -> list[Path]:
    """Draw what there is, in parallel processes; a plot that fails is left out with a warning.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    stacked : ctabatch.analysis.stack.Stacked
        Stacked dataset.
    made : Made
        Products.
    folder : pathlib.Path
        Where the PNG files go.
    notice : str, optional
        Text below every plot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = (
        ("spectrum", made.flux_points is not None, lambda: _spectrum(request, made)),
        ("light_curve", made.light_curve is not None, lambda: _light_curve(made.light_curve)),
        ("counts", True, lambda: _counts(request, stacked.dataset, made)),
        ("significance", bool(made.maps), lambda: _map(request, made, "significance")),
        ("excess", bool(made.maps), lambda: _map(request, made, "excess")),
        (
            "residual",
            "residual_significance" in made.maps,
            lambda: _map(request, made, "residual_significance"),
        ),
        ("significance_distribution", bool(made.maps), lambda: _distribution(made)),
        ("theta2", made.theta2 is not None, lambda: _theta2(made.theta2)),
    )
    paths = {folder / f"{name}.png": draw for name, wanted, draw in plots if wanted}
    faults = run_parallel(
        [partial(_draw, draw, path, notice) for path, draw in paths.items()], request.n_jobs
    )
    made.notes += filter(None, faults)
    return [path for path, fault in zip(paths, faults, strict=True) if fault is None]


def _draw(draw, path, notice) -> str | None:
    """Draw a plot and write it; returns why not, if it can't."""
    try:
        # axes are laid out, and can fail, only when the figure is saved
        save_figure(draw(), path, notice)
    except Exception as error:  # any library's: the numbers can be anything
        log.warning("can't draw %s: %s: %s", path.stem, type(error).__name__, error)
        return f"plot {path.stem} could not be drawn: {error}"
    return None


def _spectrum(request, made):
    figure, axes = new_figure()
    ax = axes[0, 0]
    bounds = [request.energy.reco.min, request.energy.reco.max]
    model = made.models[request.models.source].spectral_model
    options = {"ax": ax, "sed_type": "e2dnde"}
    model.plot(energy_bounds=bounds, color=COLOURS[0], label="best fit", **options)
    model.plot_error(energy_bounds=bounds, facecolor=COLOURS[0], **options)
    made.flux_points.plot(color=COLOURS[1], label="flux points", **options)
    log_axes(ax)
    ax.legend()
    return figure


def _light_curve(table):
    figure, axes = new_figure(width=9)
    ax = axes[0, 0]
    start, end = np.asarray(table["time_min"], float), np.asarray(table["time_max"], float)
    flux, error, limit, significance = (
        np.ma.filled(np.ravel(table[name]), np.nan)
        for name in ("flux", "flux_err", "flux_ul", "sqrt_ts")
    )
    middle, half = (start + end) / 2, (end - start) / 2
    seen = significance >= 2
    ax.errorbar(
        middle[seen], flux[seen], xerr=half[seen], yerr=error[seen], fmt="o", color=COLOURS[0],
        markersize=3,
    )  # fmt: skip
    ax.errorbar(
        middle[~seen], limit[~seen], xerr=half[~seen], yerr=0.1 * limit[~seen], uplims=True,
        fmt="none", color=COLOURS[0],
    )  # fmt: skip
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set_xlabel("Time [MJD]")
    ax.set_ylabel("Flux [cm-2 s-1]")
    return figure


def _on_dataset(request, dataset, made):
    """Dataset of the on region with the best-fit models; maps are summed over the region."""
    from ctabatch.analysis.products import with_models
    from ctabatch.analysis.settings import on_region

    full = with_models(dataset, made.models) if made.models is not None else dataset
    if request.dimension == "1d":
        return full.counts, full.npred() if made.models is not None else full.background
    region = on_region(request)
    predicted = full.npred() if made.models is not None else full.background
    return full.counts.to_region_nd_map(region), predicted.to_region_nd_map(region)


def _counts(request, dataset, made):
    found, predicted = _on_dataset(request, dataset, made)
    edges = found.geom.axes["energy"].edges.to_value("TeV")
    counts, expected = found.data.ravel(), predicted.data.ravel()
    figure, axes = new_figure(columns=2, width=11, height=4.4)
    left, right = axes[0]
    left.stairs(counts, edges, color=COLOURS[0], label="counts")
    left.stairs(expected, edges, color=COLOURS[1], linestyle="--", label="predicted")
    log_axes(left)
    left.set_ylim(bottom=0.3)
    left.set_ylabel("Counts")
    left.legend()
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(expected > 0, (counts - expected) / np.sqrt(expected), np.nan)
    right.stairs(residual, edges, color=COLOURS[0], baseline=None)
    right.axhline(0, color="0.6", linewidth=0.8)
    log_axes(right, y=False)
    right.set_ylabel("(counts - predicted) / sqrt(predicted)")
    for ax in (left, right):
        ax.set_xlabel("Reconstructed energy [TeV]")
    return figure


def _map(request, made, name):
    from ctabatch.analysis.select import sky_position
    from ctabatch.report.figures import empty_figure

    image = made.maps[name].sum_over_axes(keepdims=False)
    figure = empty_figure(7, 6)
    ax = figure.add_subplot(projection=image.geom.wcs)
    largest = np.nanpercentile(np.abs(image.data), 99.9) or 1.0
    limit = max(largest, 5.0) if "significance" in name else largest
    low = -5.0 if "significance" in name else -limit
    image.plot(
        ax=ax, add_cbar=True, vmin=low, vmax=limit, cmap="RdBu_r" if low == -limit else "viridis"
    )
    position = sky_position(request.target).transform_to(image.geom.frame)
    ax.scatter(
        position.data.lon.deg, position.data.lat.deg, marker="+", s=120, color="white",
        transform=ax.get_transform(image.geom.frame),
    )  # fmt: skip
    return figure


def _distribution(made):
    figure, axes = new_figure()
    ax = axes[0, 0]
    edges = np.linspace(-6, 10, 81)
    for (name, label), colour in zip(
        (("significance", "above background"), ("residual_significance", "above all models")),
        COLOURS,
        strict=False,
    ):
        if name in made.maps:
            values = made.maps[name].data[np.isfinite(made.maps[name].data)]
            ax.hist(values, edges, histtype="step", color=colour, label=label, density=True)
    middle = (edges[1:] + edges[:-1]) / 2
    ax.plot(middle, np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), color="0.5", label="normal")
    ax.set_yscale("log")
    ax.set_ylim(1e-5, 1)
    ax.set_xlabel("Significance")
    ax.set_ylabel("Fraction of pixels per unit")
    ax.legend()
    return figure


def _theta2(table):
    figure, axes = new_figure()
    ax = axes[0, 0]
    edges = np.append(table["theta2_min"], table["theta2_max"][-1])
    off = np.asarray(table["counts_off"] * table["alpha"])
    ax.stairs(table["counts"], edges, color=COLOURS[0], label="target")
    ax.stairs(off, edges, color=COLOURS[1], linestyle="--", label="mirror position")
    middle = (edges[1:] + edges[:-1]) / 2
    ax.errorbar(middle, table["counts"], np.sqrt(table["counts"]), fmt="none", color=COLOURS[0])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Squared angular distance [deg2]")
    ax.set_ylabel("Events")
    ax.legend()
    return figure
