"""Style of the plots: figures, colours, axes and what is drawn in the same way everywhere.

Colours are those of Okabe and Ito (distinguishable with all kinds of colour vision); offsets go from
dark to light.
"""

import numpy as np

from ctabatch.report.figures import COLOURS, dress, empty_figure, log_axes

REFERENCE = {"color": "0.45", "linewidth": 3, "alpha": 0.5, "zorder": 1}


def ratio_figure(with_ratio):
    """Make a figure with two panels, and a flat one for ratios below the right one if wanted.

    Returns
    -------
    tuple
        Figure, left, right and ratio panel (None without).
    """
    figure = empty_figure(11, 4.8)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    left = figure.add_subplot(grid[:, 0])
    if not with_ratio:
        right, ratio = figure.add_subplot(grid[:, 1]), None
    else:
        right = figure.add_subplot(grid[0, 1])
        ratio = figure.add_subplot(grid[1, 1])
        log_axes(ratio, y=False)
        ratio.set_ylim(0, 2)
        ratio.set_ylabel("to nominal")
        right.tick_params(labelbottom=False)
    for ax in (left, right, ratio):
        if ax is not None:
            dress(ax)
    return figure, left, right, ratio


def styles_of(irfs):
    """Colour of each label, the nominal one drawn on top and thicker."""
    styles = {}
    for number, label in enumerate(irfs):
        nominal = number == 0
        styles[label] = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": "-" if nominal else ("--", ":", "-.")[(number - 1) % 3],
            "linewidth": 1.8 if nominal else 1.4,
            "zorder": 4 if nominal else 3,
        }
    return styles


def offset_colours(number):
    """Colours of offset bins, dark to light."""
    import matplotlib

    return matplotlib.colormaps["cividis"](np.linspace(0.0, 0.85, max(number, 2)))


def ring_name(component, column):
    """Name an offset bin: ``0 to 1 deg``."""
    edges = component.edges["THETA"]
    return f"{edges[column]:g} to {edges[column + 1]:g} deg"


def column_at(component, offset):
    """Index of the bin that holds an offset (deg); the last one beyond it."""
    edges = component.edges["THETA"]
    return int(np.clip(np.searchsorted(edges, offset, "right") - 1, 0, len(edges) - 2))


def middle_of_first(component):
    """Centre of the innermost offset bin in deg; curves are compared there."""
    return component.edges["THETA"][:2].mean()


def steps(ax, component, values, **style):
    """Draw a histogram over energy; empty bins stay open."""
    shown = np.where(values > 0, values, np.nan) if ax.get_yscale() == "log" else values
    ax.stairs(shown, component.edges["ENERG"], baseline=None, **style)


def reference_name(irf):
    """Name of the reference, short enough for a legend."""
    name = irf.path.name.removesuffix(".gz").removesuffix(".fits")
    return "reference: " + (name if len(name) <= 44 else name[:41] + "...")
