"""Translate a request into Gammapy's own configuration (`gammapy.workflow.WorkflowConfig`)."""

from pathlib import Path

from ctabatch.analysis.models import STACKED
from ctabatch.analysis.quick import quicken
from ctabatch.config.analysis import AnalysisRequest


def workflow_config(request: AnalysisRequest, *, exclusion: Path | None = None) -> dict:
    """Write the configuration of Gammapy's workflow for a request.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    exclusion : pathlib.Path, optional
        Mask of `write_exclusion`.

    Returns
    -------
    dict
        Accepted by `gammapy.workflow.WorkflowConfig`; can be given to ``gammapy workflow run``.
    """
    target, reco, true = request.target, request.energy.reco, request.energy.true
    sky = {"frame": target.frame, "lon": str(target.lon), "lat": str(target.lat)}
    offset_max = str(request.selection.offset_max)
    background = {"method": "reflected", "parameters": {}}
    if request.dimension == "3d":
        background = {"method": "fov_background", "parameters": {"method": "scale"}}
    if exclusion is not None:
        background["exclusion"] = str(exclusion)
    safe = request.safe_range
    products, edges = request.products, {"min": str(reco.min), "max": str(reco.max)}
    optional = ["errn-errp", "ul"]
    points = products.flux_points
    return {
        "general": {"n_jobs": 1, "log": {"level": "warning"}},
        "datasets": {
            "type": request.dimension,
            "stack": False,
            "on_region": sky | {"radius": str(request.on_radius)},
            "geom": {
                "wcs": {
                    "skydir": sky,
                    "binsize": str(request.geometry.bin_size),
                    "width": {
                        "width": str(request.geometry.width),
                        "height": str(request.geometry.width),
                    },
                    "binsize_irf": str(request.geometry.bin_size_irf),
                },
                "selection": {"offset_max": offset_max},
                "axes": {"energy": _axis(reco), "energy_true": _axis(true)},
            },
            "background": background,
            "safe_mask": {
                "methods": list(safe.methods),
                "parameters": {
                    "offset_max": offset_max,
                    "aeff_percent": safe.aeff_percent,
                    "bias_percent": safe.bias_percent,
                },
            },
        },
        "flux_points": {
            "energy": edges | {"nbins": points.bins if points else 1},
            "source": request.models.source,
            "parameters": {
                "selection_optional": sorted({*optional, *(points.optional if points else ())}),
                "reoptimize": bool(points and points.reoptimize),
                "n_jobs": request.n_jobs,
            },
        },
        "light_curve": {
            "energy_edges": edges | {"nbins": 1},
            "source": request.models.source,
            "parameters": {"selection_optional": optional, "n_jobs": request.n_jobs},
        },
        "excess_map": {
            "correlation_radius": str(products.maps.correlation_radius)
            if products.maps
            else "0.1 deg",
            "energy_edges": edges | {"nbins": 1},
            "parameters": {},
        },
    }


def new_workflow(settings: dict):
    """Make a Gammapy workflow that logs through the handlers that are there."""
    from gammapy.workflow import Workflow, WorkflowConfig

    quicken()
    return Workflow(WorkflowConfig(**settings))


def write_exclusion(request: AnalysisRequest, path: Path) -> Path | None:
    """Write the mask of the exclusion regions, True outside of them; None if there are none.

    It covers the largest field of view that a selected observation can have.
    """
    if not request.background.exclusion:
        return None
    from gammapy.maps import WcsGeom
    from regions import CircleSkyRegion

    from ctabatch.analysis.select import sky_position

    regions = [
        CircleSkyRegion(sky_position(item), item.radius) for item in request.background.exclusion
    ]
    geom = WcsGeom.create(
        skydir=sky_position(request.target),
        frame=request.target.frame,
        width=4 * request.selection.offset_max,
        binsz=max(request.geometry.bin_size.to_value("deg"), 0.01),
    )
    mask = geom.region_mask(regions, inside=False)
    mask.data = mask.data.astype(int)
    mask.write(path, overwrite=True)
    return path


def on_region(request: AnalysisRequest):
    """Return the on region around the target."""
    from regions import CircleSkyRegion

    from ctabatch.analysis.select import sky_position

    return CircleSkyRegion(sky_position(request.target), request.on_radius)


def empty_stack(workflow, name: str = STACKED):
    """Return the empty dataset of the request, into which observations are stacked."""
    from gammapy.workflow.steps import DatasetsWorkflowStep

    return DatasetsWorkflowStep(workflow.config)._create_reference_dataset(name=name)


def _axis(axis) -> dict:
    return {"min": str(axis.min), "max": str(axis.max), "nbins": axis.bins}
