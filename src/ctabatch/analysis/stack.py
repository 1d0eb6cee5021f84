"""Put the groups of reduced observations together."""

import logging
from dataclasses import dataclass
from pathlib import Path

from ctabatch.analysis.archive import unpacked
from ctabatch.analysis.models import STACKED
from ctabatch.analysis.reduce import DATASETS, STACK, SUMMARY, THETA2
from ctabatch.analysis.theta2 import finish_theta2, sum_theta2
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.errors import BatchError
from ctabatch.files import read_json, replacing

log = logging.getLogger(__name__)


@dataclass
class Stacked:
    """All observations of a request together."""

    dataset: object  #: `~gammapy.datasets.SpectrumDatasetOnOff` or `~gammapy.datasets.MapDataset`
    observations: list[dict]  #: counts of each observation
    bad: list[dict]  #: observations that were left out
    notes: list[str]  #: what else a person should know
    theta2: object | None = None  #: `~astropy.table.Table`


def stack(request: AnalysisRequest, archives: list[Path]) -> Stacked:
    """Stack the datasets of all groups, one group in memory at a time.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    archives : list of pathlib.Path
        Archives of `ctabatch.analysis.reduce.reduce_group`, in order of the groups.

    Raises
    ------
    ctabatch.errors.BatchError
        No observation is left.
    """
    from astropy.table import Table

    total, rows, bad, notes, tables = None, [], [], [], []
    acceptance_off = 0
    for archive in archives:
        with unpacked(archive) as folder:
            summary = read_json(folder / SUMMARY)
            rows += summary["observations"]
            bad += summary["bad"]
            notes += summary["notes"]
            if (folder / THETA2).is_file():
                tables.append(Table.read(folder / THETA2, format="ascii.ecsv"))
            for dataset in _datasets(folder / (STACK if request.dimension == "3d" else DATASETS)):
                if total is None:  # single observations are masked, a group's stack is already
                    single = request.dimension == "1d"
                    total = dataset.to_masked(name=STACKED) if single else dataset
                else:
                    total.stack(dataset)
                if request.dimension == "1d":
                    acceptance_off = acceptance_off + _acceptance_off(dataset)
    if total is None:
        reasons = "; ".join(f"{item['obs_id']}: {item['reason']}" for item in bad[:5])
        raise BatchError(
            f"none of {len(bad)} observations could be reduced ({reasons})",
            "change the selection, the on region or the exclusion regions",
        )
    if request.dimension == "1d" and not total.counts_off.data.any():
        # Gammapy 2.1 weights by the off counts, and gives NaN where there is none in any bin
        total.acceptance_off.data[...] = acceptance_off
    theta2 = finish_theta2(sum_theta2(tables)) if tables else None
    return Stacked(total, rows, bad, notes, theta2)


def _acceptance_off(dataset):
    """Acceptance of the off regions by energy, 0 outside of the safe range."""
    import numpy as np

    return np.where(dataset.mask_safe.data, np.nan_to_num(dataset.acceptance_off.data), 0)


def _datasets(path: Path):
    """Datasets of a file in Gammapy's format; none where no observation of a group was good."""
    if not path.is_file():
        return []
    from gammapy.datasets import Datasets

    return Datasets.read(path, lazy=False)  # the files are temporary


def read_single(archives: list[Path]):
    """Give the datasets of single observations, group by group.

    Yields
    ------
    gammapy.datasets.Datasets
        Those of one group.
    """
    for archive in archives:
        with unpacked(archive) as folder:
            datasets = _datasets(folder / DATASETS)
            if len(datasets):
                yield datasets


def write_dataset(dataset, path: Path) -> None:
    """Write a dataset in GADF format, as a whole or not at all."""
    with replacing(path) as temporary:
        dataset.write(temporary, overwrite=True)


def read_dataset(path: Path, request: AnalysisRequest):
    """Read what `write_dataset` wrote."""
    from gammapy.datasets import MapDataset, SpectrumDatasetOnOff

    kind = MapDataset if request.dimension == "3d" else SpectrumDatasetOnOff
    try:
        return kind.read(path, name=STACKED)
    except OSError as error:
        raise BatchError(f"{path} can't be read: {error}", "stack again") from None
