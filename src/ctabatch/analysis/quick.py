"""Two costs of Gammapy 2.1 that every evaluation of the likelihood pays, spared in one place.

- ``Datasets.stat_sum`` asks three times for ``Datasets.models``, which builds the container of all
  models with its covariance anew, to look for priors (since Gammapy's pull request 5835). In a fit
  with a handful of parameters that takes longer than the likelihood.
- Setting a covariance tries to import ``ray`` (pull request 4521); where it is not installed, each
  try searches all folders of the path again.

The numbers are the same; `tests/unit/test_analysis_quick.py` compares them with Gammapy's own.
"""

import importlib.util
import sys


def quicken() -> None:
    """Make the likelihood of Gammapy's datasets quicker in this process; calling it again is free."""
    from gammapy.datasets import Datasets

    if Datasets.stat_sum is stat_sum:
        return
    if "ray" not in sys.modules and importlib.util.find_spec("ray") is None:
        sys.modules["ray"] = None  # Python's own way to say that there is none
    Datasets.stat_sum = stat_sum


def stat_sum(datasets) -> float:
    """Joint fit statistic of datasets, -2 ln L plus the priors of their models and penalties.

    Parameters
    ----------
    datasets : gammapy.datasets.Datasets
        Datasets with models.
    """
    models = {id(model): model for dataset in datasets for model in dataset.models or ()}
    priors = sum(
        parameter.prior_stat_sum()
        for model in models.values()
        for parameter in model.parameters
        if parameter.prior is not None
    )
    # as in Gammapy, there is no public way to the penalties
    penalties = sum(penalty.stat_sum() for penalty in datasets._penalties or ())
    return sum(dataset.stat_sum() for dataset in datasets) + priors + penalties
