"""The ctapipe configuration files of the chain (section ``pipeline``)."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from ctabatch.config.base import SafePath, SafePathText, Section


class PipelineSettings(Section):
    """One set of ctapipe configurations serves IRF production and DL3 production alike."""

    process: SafePath = Path("config/pipeline/process.yaml")
    """Image cleaning, parameters and stereo reconstruction (``ctapipe-process``)."""
    train: SafePath = Path("config/pipeline/train.yaml")
    """Energy regressor, particle classifier and disp reconstructor (``ctapipe-train-*``)."""
    irf: SafePath = Path("config/pipeline/irf.yaml")
    """Cut optimisation and IRF (``ctapipe-optimize-event-selection``, ``ctapipe-compute-irf``)."""
    container: SafePathText = "containers/pipeline/pipeline.sif"
    """Image with this package and ctapipe, used where Snakemake is given ``--sdm apptainer``."""
    merge_files: Annotated[int, Field(strict=True, ge=2, le=1000)] = 50
    """Most files that one merge job reads; larger samples merge in several levels."""
