"""Fit the candidate models and compare them."""

import logging
from functools import partial

from ctabatch.analysis.counts import finite
from ctabatch.analysis.models import load_models
from ctabatch.analysis.parallel import run_parallel
from ctabatch.analysis.settings import new_workflow, workflow_config
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.errors import BatchError

log = logging.getLogger(__name__)

#: Format of ``fit.json``.
FIT_FORMAT = 1


class FitFailed(BatchError):  # noqa: N818 - the field's own wording
    """No candidate converged; partial results are kept."""


def fit_candidates(request: AnalysisRequest, dataset, models: dict[str, dict]) -> dict:
    """Fit all candidates to a dataset, in parallel processes, and choose the best.

    For each candidate: the fit without the target (null hypothesis), then with it. Where the fit
    does not converge or the test statistic stays below ``models.detection``, the target's shape
    and position are frozen at the values of the file and the amplitude alone is fitted, which gives
    upper limits.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    dataset : gammapy.datasets.Dataset
        The stacked dataset.
    models : dict
        Of each candidate ``file`` and ``text``, see `ctabatch.analysis.models.check_models`.

    Returns
    -------
    dict
        Content of ``fit.json``: ``candidates`` with likelihood, AIC, convergence and models; ``best``
        (None if none is usable), ``detected`` and ``converged``.
    """
    names = list(request.models.candidates)
    for name in names:  # mistakes in a file are the user's, and are said before the work
        load_models(models[name]["text"], request.dimension, models[name]["file"])
    fits = [partial(fit_one, request, dataset, name, models[name]) for name in names]
    results = run_parallel(fits, request.n_jobs)
    candidates = dict(zip(names, results, strict=True))
    usable = {name: item for name, item in candidates.items() if item["usable"]}
    best = min(usable, key=lambda name: (usable[name]["aic"], name)) if usable else None
    return {
        "format": FIT_FORMAT,
        "candidates": candidates,
        "best": best,
        "converged": best is not None,
        "detected": bool(best and candidates[best]["detected"]),
    }


def fit_one(request: AnalysisRequest, dataset, name: str, model: dict) -> dict:
    """Fit one candidate; see `fit_candidates`.

    Returns
    -------
    dict
        ``stat`` (-2 ln L), ``free`` parameters, ``aic`` = stat + 2 free, ``ts`` of the target against
        the null hypothesis, ``success`` and ``message`` of the minimizer, ``frozen_shape``,
        ``parameters``, ``models`` and ``covariance``.
    """
    workflow = new_workflow(workflow_config(request))

    def fresh():
        return load_models(model["text"], request.dimension, model["file"])

    null = _run(workflow, dataset, _without(fresh(), request.models.source))
    full = _run(workflow, dataset, fresh())
    frozen = False
    result, models = full["result"], full["models"]
    ts = _ts(null, full)
    if not result.success or not ts >= request.models.detection:
        shape = _run(workflow, dataset, freeze_shape(fresh(), request.models.source))
        limited = _ts(null, shape)
        # a source that is not there leaves the shape undetermined: no failure, an upper limit
        if shape["result"].success and limited < request.models.detection:
            frozen, result, models, ts = True, shape["result"], shape["models"], limited
    free = len(models.parameters.free_parameters)
    stat = float(result.total_stat)
    usable = bool(result.success) and finite(stat) is not None
    return {
        "name": name,
        "file": model["file"],
        "stat": finite(stat),
        "stat_null": finite(float(null["result"].total_stat)),
        "free": free,
        "aic": finite(stat + 2 * free),
        "ts": finite(ts),
        "detected": bool(usable and not frozen and ts >= request.models.detection),
        "frozen_shape": frozen,
        "usable": usable,
        "success": bool(full["result"].success),
        "message": full["message"],
        "evaluations": int(full["result"].nfev),
        "parameters": _parameters(models, request.models.source),
        "models": models.to_yaml(full_output=True) if len(models) else "",
        "covariance": [[finite(float(value)) for value in row] for row in models.covariance.data],
    }


def _run(workflow, dataset, models) -> dict:
    """Fit with Gammapy's workflow; an error of the minimizer counts as not converged."""
    from gammapy.datasets import Datasets

    workflow.datasets = Datasets([dataset.copy(name=dataset.name)])
    workflow.set_models(models, extend=False)
    if not workflow.models or not workflow.models.parameters.free_parameters:
        return {"result": _Fixed(workflow.datasets), "models": workflow.models, "message": ""}
    try:
        workflow.run_fit()
    except Exception as error:  # any library's: a diverging fit ends in many ways
        message = f"{type(error).__name__}: {' '.join(str(error).split())}"
        log.warning("fit failed: %s", message)
        return {"result": _Failed(), "models": workflow.models, "message": message}
    result = workflow.fit_result
    message = " ".join(str(result.message).split())
    if not result.success:
        log.warning("fit did not converge: %s", message)
    return {"result": result, "models": workflow.models, "message": message}


class _Failed:
    """Result of a fit that raised."""

    success, total_stat, nfev = False, float("nan"), 0


class _Fixed:
    """Result where nothing is free: the likelihood as it stands."""

    success, nfev = True, 0

    def __init__(self, datasets):
        self.total_stat = float(datasets.stat_sum())


def _ts(null: dict, other: dict) -> float:
    return float(null["result"].total_stat) - float(other["result"].total_stat)


def _without(models, source: str):
    """Models without the target."""
    from gammapy.modeling.models import Models

    return Models([model for model in models if model.name != source])


def freeze_shape(models, source: str):
    """Freeze all parameters of the target but its amplitude."""
    target = models[source]
    norms = {parameter.name for parameter in norm_parameters(target)}
    for parameter in target.parameters:
        if parameter.name not in norms:
            parameter.frozen = True
    return models


def norm_parameters(model):
    """Parameters of a sky model that scale its flux."""
    names = ("amplitude", "norm", "const")
    spectral = model.spectral_model.parameters
    found = [parameter for parameter in spectral if parameter.name in names]
    return found or list(spectral)[:1]


def _parameters(models, source: str) -> list[dict]:
    """Free parameters, and all of the target, as rows."""
    rows = []
    for model in models:
        for parameter in model.parameters:
            if parameter.frozen and model.name != source:
                continue
            rows.append(
                {
                    "model": model.name,
                    "name": parameter.name,
                    "value": finite(float(parameter.value)),
                    "error": finite(float(parameter.error)),
                    "unit": str(parameter.unit),
                    "frozen": bool(parameter.frozen),
                }
            )
    return rows


def restore_models(candidate: dict):
    """Rebuild the fitted models of a candidate, covariance included."""
    import numpy as np
    from gammapy.modeling.models import Models

    models = Models.from_yaml(candidate["models"])
    covariance = np.array(
        [[np.nan if value is None else value for value in row] for row in candidate["covariance"]]
    )
    if covariance.shape == models.covariance.data.shape:
        models.covariance = np.nan_to_num(covariance)
    return models


def require_convergence(fit: dict) -> None:
    """Raise if no candidate converged.

    Raises
    ------
    FitFailed
        Names each candidate with the message of the minimizer.
    """
    if fit["converged"]:
        return
    reasons = "; ".join(f"{name}: {item['message']}" for name, item in fit["candidates"].items())
    raise FitFailed(
        f"no candidate model converged ({reasons})",
        "partial results are kept; change start values or limits of the parameters, or the models",
    )
