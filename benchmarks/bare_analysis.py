"""The 3-D analysis of `benchmarks/analysis.py` as one Gammapy script, without this project.

    python benchmarks/bare_analysis.py CTA-1DC-FOLDER OUTPUT-FOLDER

Reduces, fits two candidates against the null hypothesis, makes flux points, light curve, maps,
theta-squared distribution and plots, and writes the numbers into ``bare.json``.
"""

import json
import os
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.data import DataStore
from gammapy.datasets import Datasets, MapDataset
from gammapy.estimators import ExcessMapEstimator, FluxPointsEstimator, LightCurveEstimator
from gammapy.makers import DatasetsMaker, FoVBackgroundMaker, MapDatasetMaker, SafeMaskMaker
from gammapy.makers.utils import ThetaSquaredTable
from gammapy.maps import MapAxis, WcsGeom
from gammapy.modeling import Fit
from gammapy.modeling.models import FoVBackgroundModel, Models
from regions import CircleSkyRegion


def main(data, output):
    """Run the analysis."""
    os.environ["CALDB"] = str(data / "caldb")
    observations = DataStore.from_dir(data / "index/gps").get_observations()
    centre = SkyCoord(0, 0, unit="deg", frame="galactic")
    energy = MapAxis.from_energy_bounds("0.1 TeV", "10 TeV", 10)
    energy_true = MapAxis.from_energy_bounds("0.03 TeV", "30 TeV", 24, name="energy_true")
    geom = WcsGeom.create(skydir=centre, binsz=0.02, width=(4, 4), frame="galactic", axes=[energy])
    excluded = [
        CircleSkyRegion(centre, 0.5 * u.deg),
        CircleSkyRegion(SkyCoord(0.87, 0.08, unit="deg", frame="galactic"), 0.3 * u.deg),
    ]
    wide = WcsGeom.create(skydir=centre, binsz=0.02, width=10, frame="galactic")
    makers = [
        MapDatasetMaker(),
        SafeMaskMaker(methods=["offset-max"], offset_max="2.5 deg"),
        FoVBackgroundMaker(method="scale", exclusion_mask=wide.region_mask(excluded, inside=False)),
    ]
    empty = MapDataset.create(geom, energy_axis_true=energy_true, name="stacked", binsz_irf=0.2)
    single = DatasetsMaker(
        makers, stack_datasets=False, cutout_mode="trim", cutout_width=5 * u.deg
    ).run(empty, observations)
    stacked = empty
    for dataset in single:
        stacked.stack(dataset)

    results = {}
    for name in ("pl", "ecpl"):
        background = FoVBackgroundModel(dataset_name="stacked")
        models = Models.read(output / f"{name}.yaml")
        stacked.models = Models([model for model in models if model.name != "gc"] + [background])
        null = Fit().run([stacked])
        background = FoVBackgroundModel(dataset_name="stacked")
        stacked.models = Models([*models, background])
        fit = Fit().run([stacked])
        free = len(stacked.models.parameters.free_parameters)
        results[name] = (
            fit.total_stat + 2 * free,
            stacked.models.copy(),
            null.total_stat - fit.total_stat,
        )
    best = min(results, key=lambda name: results[name][0])
    stacked.models = results[best][1]
    edges = energy.edges
    optional = ["errn-errp", "ul"]
    points = FluxPointsEstimator(edges, source="gc", selection_optional=optional).run([stacked])
    integral = FluxPointsEstimator(edges[[0, -1]], source="gc", selection_optional=optional).run(
        [stacked]
    )

    near = Datasets(
        [item.cutout(centre, width=1 * u.deg, name=f"near-{n}") for n, item in enumerate(single)]
    )
    scale = next(model for model in stacked.models if isinstance(model, FoVBackgroundModel))
    sky = [model for model in stacked.models if model is not scale]
    near.models = Models(
        sky
        + [
            FoVBackgroundModel(dataset_name=item.name, spectral_model=scale.spectral_model.copy())
            for item in near
        ]
    )
    curve = LightCurveEstimator(
        energy_edges=edges[[0, -1]], source="gc", selection_optional=optional
    ).run(near)

    estimator = ExcessMapEstimator(0.1 * u.deg, energy_edges=edges[[0, -1]])
    residual = estimator.run(stacked)
    stacked.models = Models([scale])
    excess = estimator.run(stacked)
    theta2 = ThetaSquaredTable(
        observations,
        MapAxis.from_bounds(0, 0.1, 20, unit="deg2", name="theta_squared"),
        centre,
        energy_edges=edges[[0, -1]],
    ).run()
    plot(output, points, results[best][1], excess, residual, theta2, curve)
    region = stacked.to_spectrum_dataset(
        CircleSkyRegion(centre, 0.11 * u.deg), containment_correction=False
    ).info_dict()
    parameters = results[best][1].parameters
    content = {
        "best": best,
        "ts": float(results[best][2]),
        "index": float(parameters["index"].value),
        "index_error": float(parameters["index"].error),
        "amplitude": float(parameters["amplitude"].value),
        "counts": int(region["counts"]),
        "excess": float(region["excess"]),
        "largest_significance": float(np.nanmax(excess.sqrt_ts.data)),
        "flux": float(integral.flux.data.ravel()[0]),
        "flux_points": [float(value) for value in points.dnde.data.ravel()],
        "light_curve": [float(value) for value in curve.flux.data.ravel()],
        "theta2_counts": [int(value) for value in theta2["counts"]],
    }
    (output / "bare.json").write_text(json.dumps(content, indent=1))


def plot(output, points, models, excess, residual, theta2, curve):
    """Draw what a person would look at."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    models["gc"].spectral_model.plot([0.1, 10] * u.TeV, ax=ax, sed_type="e2dnde")
    models["gc"].spectral_model.plot_error([0.1, 10] * u.TeV, ax=ax, sed_type="e2dnde")
    points.plot(ax=ax, sed_type="e2dnde")
    plt.savefig(output / "bare-spectrum.png")
    plt.figure()
    curve.plot(sed_type="flux")
    plt.savefig(output / "bare-light-curve.png")
    for name, image in (
        ("significance", excess.sqrt_ts),
        ("excess", excess.npred_excess),
        ("residual", residual.sqrt_ts),
    ):
        plt.figure()
        image.sum_over_axes(keepdims=False).plot(add_cbar=True)
        plt.savefig(output / f"bare-{name}.png")
    plt.figure()
    plt.stairs(theta2["counts"], np.append(theta2["theta2_min"], theta2["theta2_max"][-1]))
    plt.savefig(output / "bare-theta2.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
