"""Style of the plots: figures, colours, axes and what is drawn in the same way everywhere.

Colours are those of Okabe and Ito (distinguishable with all kinds of colour vision); offsets go from
dark to light.
"""

import numpy as np

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
REFERENCE = {"color": "0.45", "linewidth": 3, "alpha": 0.5, "zorder": 1}


def new_figure(columns=1, width=7.0, height=4.6, **options):
    """Make a figure with a row of panels, without pyplot's global state."""
    figure = _empty(width, height)
    axes = figure.subplots(1, columns, squeeze=False, **options)
    for ax in axes.flat:
        _dress(ax)
    return figure, axes


def ratio_figure(with_ratio):
    """Make a figure with two panels, and a flat one for ratios below the right one if wanted.

    Returns
    -------
    tuple
        Figure, left, right and ratio panel (None without).
    """
    figure = _empty(11, 4.8)
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
            _dress(ax)
    return figure, left, right, ratio


def _empty(width, height):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _dress(ax):
    ax.grid(which="major", alpha=0.3, linewidth=0.6)
    ax.tick_params(which="both", direction="in", top=True, right=True)


def log_axes(ax, y=True):
    """Make the energy axis logarithmic with plain labels, and the other one if wanted."""
    ax.set_xscale("log")
    # 0.1, 1, 10 in place of powers of ten
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if y:
        ax.set_yscale("log")


def plain_log_labels(ax):
    """Label a logarithmic axis over less than two decades by plain numbers."""
    from matplotlib.ticker import LogLocator

    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    for set_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        set_formatter(lambda value, _: f"{value:g}")


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
