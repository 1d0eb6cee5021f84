"""The plots of IRFs, one function each: takes IRFs by label, the first the nominal one.

Each takes, too, the reference IRF (or None) and the nominal benchmark tables, and returns a figure.
"""

import logging
from itertools import pairwise

import numpy as np

from ctabatch.irf import performance
from ctabatch.irf.plot_style import (
    REFERENCE,
    column_at,
    middle_of_first,
    offset_colours,
    ratio_figure,
    reference_name,
    ring_name,
    steps,
    styles_of,
)
from ctabatch.report.figures import COLOURS, log_axes, new_figure, plain_log_labels

log = logging.getLogger(__name__)

_ENERGY = "True energy [TeV]"


def effective_area(irfs, other, benchmarks):
    """Draw the effective area: by offset, compared, and as ratio to the nominal one."""
    styles = styles_of(irfs)
    label, nominal = next((name, irf.components["aeff"]) for name, irf in irfs.items())
    figure, left, right, ratio = ratio_figure(len(irfs) > 1 or other is not None)
    log_axes(left)
    columns = nominal.data.shape[1]
    for column, colour in zip(range(columns), offset_colours(columns), strict=False):
        steps(
            left, nominal, nominal.data[:, column], color=colour, label=ring_name(nominal, column)
        )
    left.set_title(f"{label}, by offset", fontsize=10)
    log_axes(right)
    offset = middle_of_first(nominal)
    for name, irf in irfs.items():
        area = irf.components["aeff"]
        values = area.data[:, column_at(area, offset)]
        steps(right, area, values, label=name, **styles[name])
        if ratio is not None and area.data.shape == nominal.data.shape:
            base = nominal.data[:, column_at(nominal, offset)]
            quotient = np.divide(values, base, out=np.full_like(base, np.nan), where=base > 0)
            steps(ratio, area, quotient, **styles[name])
    _error_bars(right, nominal, benchmarks, column_at(nominal, offset), styles[label]["color"])
    if other is not None:
        area = other.components["aeff"]
        values = area.data[:, column_at(area, offset)]
        shown = np.where(values > 0, values, np.nan)
        energy = area.centers("ENERG")
        right.plot(energy, shown, label=reference_name(other), **REFERENCE)
        base = nominal.data[:, column_at(nominal, offset)]
        base = np.interp(np.log(energy), np.log(nominal.centers("ENERG")), base, np.nan, np.nan)
        base[base == 0] = np.nan
        ratio.plot(energy, shown / base, **REFERENCE)
    right.set_title(f"at {offset:.2g} deg", fontsize=10)
    filled = nominal.data[nominal.data > 0]
    if filled.size:
        lowest = max(filled.max() * 1e-4, filled.min() / 2)
        for ax in (left, right):
            ax.set_ylim(lowest, filled.max() * 2)
    for ax in (left, right, ratio):
        if ax is not None:
            ax.set_xlim(nominal.edges["ENERG"][[0, -1]])
    left.set_xlabel(_ENERGY)
    (right if ratio is None else ratio).set_xlabel(_ENERGY)
    for ax in (left, right):
        ax.legend(fontsize=8, loc="lower right")
    left.set_ylabel("Effective area after cuts [m$^2$]")
    return figure


def _error_bars(ax, nominal, benchmarks, column, colour):
    table = benchmarks.read("ENERGY BIAS RESOLUTION", "N_EVENTS")
    if table is None:
        return
    events = table["N_EVENTS"]
    if events.shape != nominal.data.shape:
        log.warning("%s has other bins than the IRF: no error bars", benchmarks.path)
        return
    number, value = events[:, column], nominal.data[:, column]
    filled = number > 0
    ax.errorbar(
        nominal.centers("ENERG")[filled],
        value[filled],
        yerr=(value[filled] / np.sqrt(number[filled])),
        fmt="none",
        ecolor=colour,
        elinewidth=1,
        capsize=2,
        zorder=5,
    )


def energy_dispersion(irfs, other, _benchmarks):
    """Draw the energy dispersion as an image, and bias and resolution."""
    styles = styles_of(irfs)
    label, nominal = next((name, irf.components["edisp"]) for name, irf in irfs.items())
    offset = middle_of_first(nominal)
    figure, axes = new_figure(columns=2, width=11)
    left, right = axes[0]
    density = nominal.data[:, :, column_at(nominal, offset)]
    content = density * np.diff(nominal.edges["MIGRA"])
    total = content.sum(axis=1, keepdims=True)
    share = np.divide(content, total, out=np.full_like(content, np.nan), where=total > 0)
    density = share / np.diff(nominal.edges["MIGRA"])
    image = left.pcolormesh(
        nominal.edges["ENERG"],
        nominal.edges["MIGRA"],
        np.where(density > 0, density, np.nan).T,
        cmap="cividis",
        rasterized=True,
        vmin=0,
    )
    figure.colorbar(image, ax=left, label="Probability density", pad=0.02)
    left.axhline(1, color="white", linewidth=0.8, linestyle="--")
    log_axes(left, y=False)
    left.set_ylim(max(0.0, nominal.edges["MIGRA"][0]), min(2.5, nominal.edges["MIGRA"][-1]))
    left.set_ylabel("E$_\\mathrm{reco}$ / E$_\\mathrm{true}$")
    left.set_title(f"{label}, {ring_name(nominal, column_at(nominal, offset))}", fontsize=10)
    compared = {**irfs, **({reference_name(other): other} if other else {})}
    for name, irf in compared.items():
        component = irf.components["edisp"]
        bias, resolution = (
            item[:, column_at(component, offset)]
            for item in performance.energy_resolution(component)
        )
        style = styles.get(name, REFERENCE)
        energy = component.centers("ENERG")
        right.plot(energy, resolution, label=name, **style)
        right.plot(energy, bias, **{**style, "linewidth": style["linewidth"] * 0.6})
    right.axhline(0, color="0.3", linewidth=0.8)
    right.annotate(
        "thick: resolution (half width of 68 %)\nthin: bias (median)",
        (0.03, 0.03),
        xycoords="axes fraction",
        fontsize=8,
    )
    log_axes(right, y=False)
    right.set_ylim(-0.5, 1.0)
    right.set_ylabel("Relative energy bias and resolution")
    right.set_title(f"at {offset:.2g} deg", fontsize=10)
    right.legend(fontsize=8, loc="upper right")
    for ax in (left, right):
        ax.set_xlim(nominal.edges["ENERG"][[0, -1]])
        ax.set_xlabel(_ENERGY)
    return figure


def psf(irfs, other, _benchmarks):
    """Draw the angular resolution, by offset and compared."""
    styles = styles_of(irfs)
    label, nominal = next((name, irf.components["psf"]) for name, irf in irfs.items())
    offset = middle_of_first(nominal)
    figure, axes = new_figure(columns=2, width=11, sharey=True)
    left, right = axes[0]
    radius = performance.angular_resolution(nominal)
    log_axes(left)
    for column, colour in zip(
        range(radius.shape[1]), offset_colours(radius.shape[1]), strict=False
    ):
        left.plot(
            nominal.centers("ENERG"),
            radius[:, column],
            color=colour,
            marker=".",
            label=ring_name(nominal, column),
        )
    left.set_title(f"{label}, by offset", fontsize=10)
    left.set_ylabel("Radius of 68 % containment [deg]")
    log_axes(right)
    compared = {**irfs, **({reference_name(other): other} if other else {})}
    for name, irf in compared.items():
        component = irf.components["psf"]
        values = performance.angular_resolution(component)[:, column_at(component, offset)]
        right.plot(
            component.centers("ENERG"),
            values,
            label=name,
            marker=".",
            **styles.get(name, REFERENCE),
        )
    right.set_title(f"at {offset:.2g} deg", fontsize=10)
    plain_log_labels(left)
    for ax in (left, right):
        ax.set_xlim(nominal.edges["ENERG"][[0, -1]])
        ax.set_xlabel(_ENERGY)
        ax.legend(fontsize=8)
    return figure


def background(irfs, other, _benchmarks):
    """Draw the background rate, by offset and compared."""
    styles = styles_of(irfs)
    label, nominal = next((name, irf.components["bkg"]) for name, irf in irfs.items())
    rings = _rings(nominal)
    figure, axes = new_figure(columns=2, width=11, sharey=True)
    left, right = axes[0]
    for ax in (left, right):
        log_axes(ax)
    for (inner, outer), colour in zip(rings, offset_colours(len(rings)), strict=False):
        steps(
            left,
            nominal,
            performance.background_rate(nominal, inner, outer),
            color=colour,
            label=f"{inner:g} to {outer:g} deg",
        )
    left.set_title(f"{label}, by offset", fontsize=10)
    compared = {**irfs, **({reference_name(other): other} if other else {})}
    for name, irf in compared.items():
        component = irf.components["bkg"]
        rate = performance.background_rate(component, *rings[0])
        shown = np.where(rate > 0, rate, np.nan)
        if name in styles:
            steps(right, component, rate, label=name, **styles[name])
        else:
            right.plot(component.centers("ENERG"), shown, label=name, **REFERENCE)
    right.set_title(f"{rings[0][0]:g} to {rings[0][1]:g} deg", fontsize=10)
    left.set_ylabel("Background rate after cuts [TeV$^{-1}$ s$^{-1}$ deg$^{-2}$]")
    for ax in (left, right):
        ax.set_xlim(nominal.edges["ENERG"][[0, -1]])
        ax.set_xlabel("Reconstructed energy [TeV]")
        ax.legend(fontsize=8)
    return figure


def _rings(component):
    """Offset rings of a background: its own, or of 1 deg for one in two dimensions."""
    if "THETA" in component.edges:
        edges = component.edges["THETA"]
    else:
        edges = np.arange(0, np.floor(component.edges["DETX"][-1]) + 1)
    return list(pairwise(edges))


def sensitivity(irfs, other, benchmarks):
    """Draw the differential sensitivity."""
    styles = styles_of(irfs)
    nominal = next(iter(irfs.values())).components["aeff"]
    offset = middle_of_first(nominal)
    figure, axes = new_figure()
    ax = axes[0, 0]
    log_axes(ax)
    compared = {**irfs, **({reference_name(other): other} if other else {})}
    drawn = []
    for name, irf in compared.items():
        energy, flux = performance.sensitivity(irf, offset=offset)
        if name in styles:
            drawn.append(flux[np.isfinite(flux)])
        ax.plot(energy, flux, label=name, **styles.get(name, REFERENCE))
    drawn = np.concatenate(drawn)
    if drawn.size:
        # a threshold bin of a reference may lie decades higher
        ax.set_ylim(drawn.min() / 3, min(drawn.max() * 3, drawn.min() * 1e3))
    _pyirf_sensitivity(ax, benchmarks, offset)
    ax.set_xlim(nominal.edges["ENERG"][[0, -1]])
    ax.set_xlabel("Reconstructed energy [TeV]")
    ax.set_ylabel("E$^2$ dN/dE [erg cm$^{-2}$ s$^{-1}$]")
    ax.set_title(
        f"Sensitivity to a point source at {offset:.2g} deg in 50 h, 5 bins a decade", fontsize=10
    )
    ax.legend(fontsize=8)
    return figure


def _pyirf_sensitivity(ax, benchmarks, offset):
    table = benchmarks.read("SENSITIVITY", "ENERGY_FLUX_SENSITIVITY")
    if table is None:
        return
    edges = table["ENERG"]
    column = int(np.searchsorted(table["THETA"], offset, "right") - 1)
    flux = table["ENERGY_FLUX_SENSITIVITY"][:, column]
    good = np.isfinite(flux) & (flux > 0)
    if good.any():
        energy = np.sqrt(edges[:-1] * edges[1:])[good]
        label = "nominal, pyirf with its own cuts"
        ax.plot(energy, flux[good], "o", color=COLOURS[0], markerfacecolor="none", label=label)
