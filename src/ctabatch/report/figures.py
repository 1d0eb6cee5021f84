"""Figures of the reports: made without pyplot's global state, colours for all kinds of vision.

Colours are those of Okabe and Ito.
"""

from ctabatch.files import replacing

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(columns=1, width=7.0, height=4.6, **options):
    """Make a figure with a row of panels, without pyplot's global state."""
    figure = empty_figure(width, height)
    axes = figure.subplots(1, columns, squeeze=False, **options)
    for ax in axes.flat:
        dress(ax)
    return figure, axes


def empty_figure(width, height):
    """Make a figure without panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def dress(ax):
    """Give a panel grid and ticks."""
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


def save_figure(figure, path, notice=None):
    """Write a figure as PNG, the same bytes for the same numbers.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    path : pathlib.Path
        File to write.
    notice : str, optional
        Text below it, such as that the simulator is approximate.
    """
    if notice:
        figure.text(0.5, -0.01, notice, ha="center", va="top", fontsize=7, color="0.4")
    with replacing(path) as temporary:
        # no date or version in the file
        figure.savefig(temporary, dpi=110, bbox_inches="tight", metadata={"Software": None})
