"""Open the data lake that the configuration names."""

from ctabatch.config.lake import LakeSettings
from ctabatch.lake.base import DataLake


def open_lake(settings: LakeSettings) -> DataLake:
    """Open a data lake.

    Parameters
    ----------
    settings : ctabatch.config.lake.LakeSettings
        Section ``lake`` of the configuration.

    Returns
    -------
    ctabatch.lake.base.DataLake
    """
    if settings.backend == "rucio":
        from ctabatch.lake.rucio import RucioLake

        return RucioLake(settings)
    from ctabatch.lake.local import LocalLake

    return LocalLake(settings.local, settings.default_rse)
