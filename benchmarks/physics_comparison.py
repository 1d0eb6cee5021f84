"""Compare an IRF of ``physics.py`` with a published one: tables, JSON and a plot."""

import json

import numpy as np

from physics_chain import BINNINGS

OFFSET, OTHER_OFFSET = 0.5, 1.5  # deg, for effective area and containment
RING = 2.0  # deg, radius of the field that the background is averaged over

EDGES = 10 ** np.arange(-1.5, 1.31, 0.2)
#: Wide ranges (TeV) for the background, of which few protons are left after cuts.
WIDE = ((0.08, 0.4), (0.4, 1.3), (1.3, 5.0))


def column(component, values, edges):
    """Values at `OFFSET` of a table of (energy, offset): median of the table's bins in wide bins."""
    offset = int(np.searchsorted(component.edges["THETA"], OFFSET, "right")) - 1
    place = np.digitize(component.centers("ENERG"), edges) - 1
    row = [values[place == i, offset] for i in range(len(edges) - 1)]
    return np.array([np.nanmedian(v) if np.isfinite(v).any() else np.nan for v in row])


def curves(path, edges):
    """Read all quantities of an IRF, see `QUANTITIES`, at the centres of energy bins (edges in TeV)."""
    import astropy.units as u

    from ctabatch.irf.performance import background_rate, energy_resolution, sensitivity
    from ctabatch.irf.reading import open_irf

    file = open_irf(path)
    irf, dispersion = file.gammapy, file.components["edisp"]
    energy = np.sqrt(edges[1:] * edges[:-1]) * u.TeV
    result = {}
    for suffix, degrees in (("", OFFSET), (" off", OTHER_OFFSET)):
        offset = degrees * u.deg
        area = irf["aeff"].evaluate(energy_true=energy, offset=offset)
        radius = irf["psf"].containment_radius(0.68, energy_true=energy, offset=offset)
        result[f"aeff{suffix}"], result[f"r68{suffix}"] = (
            area.to_value("m2"),
            radius.to_value("deg"),
        )
    rate = background_rate(file.components["bkg"], 0, RING)
    place = np.searchsorted(file.components["bkg"].centers("ENERG"), edges[:-1])
    result["background"] = rate[place]
    bias, resolution = energy_resolution(dispersion)
    result["bias"] = column(dispersion, bias, edges)
    result["resolution"] = column(dispersion, resolution, edges)
    centres, flux = sensitivity(file, offset=OFFSET)
    known = np.isfinite(flux)
    result["sensitivity"] = np.exp(
        np.interp(np.log(energy.value), np.log(centres[known]), np.log(flux[known]), np.nan, np.nan)
    )
    # Gammapy interpolates logarithms: a bin without events comes out as a tiny number.
    for name in ("aeff", "aeff off"):
        result[name] = np.where(result[name] > 1e-6, result[name], 0)
    return result


#: Quantity -> title, aim (factor, if there is one), whether the simulator was adjusted to it.
QUANTITIES = {
    "aeff": ("effective area at 0.5 deg (m2)", 1.3, True),
    "r68": ("68 % containment at 0.5 deg (deg)", 1.5, True),
    "background": ("background (1/s/TeV/deg2)", 3.0, True),
    "aeff off": ("effective area at 1.5 deg (m2)", 1.3, False),
    "r68 off": ("68 % containment at 1.5 deg (deg)", 1.5, False),
    "resolution": ("energy resolution", 1.5, False),
    "sensitivity": ("sensitivity, 50 h (erg/cm2/s)", 2.0, False),
}


def counted(irf, edges):
    """Numbers of selected gammas and background events in energy bins, offsets to 2 deg."""
    from types import SimpleNamespace

    import astropy.units as u

    from ctabatch.irf.benchmarks import read_benchmark
    from ctabatch.irf.reading import open_irf
    from ctabatch.irf.validation.numbers import background_events

    path = irf.with_name("irf.benchmarks.fits.gz")
    table = read_benchmark(path, "ANGULAR RESOLUTION", ("N_EVENTS",))
    gammas = table["N_EVENTS"][np.searchsorted(table["ENERG"], edges[:-1] * 1.001) - 1].sum(axis=1)
    request = SimpleNamespace(observation_time=u.Quantity(BINNINGS["irf"]["IrfTool"]["obs_time"]))
    background = open_irf(irf).components["bkg"]
    events = background_events(SimpleNamespace(benchmarks=path, request=request), background)
    events = events[np.searchsorted(background.centers("ENERG"), edges[:-1])].sum(axis=1)
    return {"gammas": gammas.astype(int), "events": np.round(events).astype(int)}


def compare(chain, irf, reference):
    """Print the tables, write JSON and plot."""
    edges = EDGES
    energy = np.sqrt(edges[1:] * edges[:-1])
    ours, theirs = curves(irf, edges), curves(reference, edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = {name: ours[name] / theirs[name] for name in QUANTITIES}
    inside = (energy > 0.099) & (energy < 5)
    counts = counted(irf, edges)
    reached = {}
    for adjusted in (True, False):
        adjusted_to = chain.subarray == "CTAO-North" and adjusted
        print(f"\n{'adjusted to' if adjusted_to else 'not adjusted to'}: ratios ours / published")
        names = [name for name, (_, _, how) in QUANTITIES.items() if how == adjusted]
        extra = list(counts) if adjusted else ["bias", "published"]
        print(f"{'E / TeV':>8}", *(f"{name:>12}" for name in [*names, *extra]))
        for i, value in enumerate(energy):
            row = [f"{ratio[name][i]:12.2f}" for name in names]
            if adjusted:
                row += [f"{count[i]:12d}" for count in counts.values()]
            else:
                row += [f"{irf_['bias'][i]:12.3f}" for irf_ in (ours, theirs)]
            print(f"{value:8.3f}", *row, "" if inside[i] else "  (outside 0.1-5 TeV)")
        for name in names:
            title, limit, _ = QUANTITIES[name]
            good = inside & (ratio[name] < limit) & (ratio[name] > 1 / limit)
            reached[name] = f"{np.count_nonzero(good)} of {np.count_nonzero(inside)}"
            print(f"{title}: {reached[name]} bins within a factor {limit}")
    wide = {}
    for low, high in WIDE:
        rows = (energy > low) & (energy < high)
        sums = [(x["background"] * np.diff(edges))[rows].sum() for x in (ours, theirs)]
        wide[f"{low:g}-{high:g} TeV"] = [sums[0] / sums[1], int(counts["events"][rows].sum())]
    for name, (value, events) in wide.items():
        print(f"background {name}: {value:.2f} of the published one, from {events} events")
    shift = np.abs(ours["bias"] - theirs["bias"])[inside].max()
    print(f"energy bias: at most {shift:.3f} from the published one at 0.1-5 TeV")
    report = {
        "subarray": chain.subarray,
        "showers": chain.showers,
        "energy_TeV": energy.tolist(),
        "open": {k: np.nan_to_num(v).tolist() for k, v in ours.items()},
        "published": {k: np.nan_to_num(v).tolist() for k, v in theirs.items()},
        "ratio": {k: np.nan_to_num(v).tolist() for k, v in ratio.items()},
        "selected": {k: v.tolist() for k, v in counts.items()},
        "background_wide": wide,
        "reached": reached,
    }
    path = chain.work / "physics.json"
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    plot(energy, ours, theirs, ratio, reference.name, chain.work / "physics.png")


def plot(energy, ours, theirs, ratio, label, path):
    """Draw all quantities and their ratios."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        4, 4, figsize=(16, 11), sharex=True, height_ratios=[2, 1] * 2, layout="constrained"
    )
    for place, (name, (title, limit, adjusted)) in enumerate(QUANTITIES.items()):
        top, bottom = axes[2 * (place // 4) : 2 * (place // 4) + 2, place % 4]
        top.loglog(energy, theirs[name], "k-", label=label[:40])
        top.loglog(energy, ours[name], "C1o", label="openiact")
        top.set_title(f"{title}{' *' if adjusted else ''}", fontsize="medium")
        bottom.semilogx(energy, ratio[name], "C1o-")
        bottom.axhspan(1 / limit, limit, color="C2", alpha=0.2)
        bottom.axvspan(0.1, 5, color="k", alpha=0.05)
        bottom.set(yscale="log", ylim=(0.1, 10), xlabel="E / TeV", ylabel="ratio")
    for ax in axes[2:, 3]:
        ax.axis("off")
    axes[0, 0].legend(fontsize="small")
    figure.suptitle("* the simulator was adjusted to these quantities of CTAO-North")
    figure.savefig(path, dpi=100)
