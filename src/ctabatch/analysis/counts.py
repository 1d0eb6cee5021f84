"""Counts, background, excess and significance of a dataset's on region."""

import math
from typing import Any


def finite(value: Any) -> Any:
    """Return None for NaN and infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def on_counts(dataset) -> dict[str, Any]:
    """Count events of a spectrum dataset within its safe range.

    Parameters
    ----------
    dataset : gammapy.datasets.SpectrumDataset
        One with off counts, or with a background.

    Returns
    -------
    dict
        ``counts``, ``background``, ``excess`` and ``sqrt_ts`` (Li & Ma with off counts, else Cash);
        None where a number does not exist.

    Notes
    -----
    Without a single off count Gammapy 2.1 gives no excess and no significance: it takes the
    ratio of exposures from background and off counts, which is 0 / 0. The ratio of the acceptances
    is used then.
    """
    info = dataset.info_dict()
    counts, background = int(info["counts"]), float(info["background"])
    significance = float(info["sqrt_ts"])
    if info.get("counts_off") == 0:
        significance = _without_off_counts(dataset, counts)
    return {
        "counts": counts,
        "background": finite(background),
        "excess": finite(counts - background),
        "sqrt_ts": finite(significance),
    }


def _without_off_counts(dataset, counts: int) -> float:
    from gammapy.stats import WStatCountsStatistic

    mask = dataset.mask_safe.data if dataset.mask_safe is not None else slice(None)
    on, off = (
        float(item.data[mask].sum()) for item in (dataset.acceptance, dataset.acceptance_off)
    )
    if not (on > 0 and off > 0):
        return math.nan
    return float(WStatCountsStatistic(n_on=counts, n_off=0, alpha=on / off).sqrt_ts)
