"""Space of the embedded lake's storage elements: use, reservations by staging, quota."""

import shutil

from ctabatch.config.lake import RseSettings
from ctabatch.errors import LakeError
from ctabatch.lake.base import Usage
from ctabatch.lake.local_catalogue import Catalogue
from ctabatch.lake.local_storage import Storage

_USED = """
SELECT coalesce(sum(d.bytes), 0) FROM replicas r JOIN dids d ON d.id = r.did_id WHERE r.rse = ?
"""

_RESERVED = """
SELECT coalesce(sum(bytes), 0) FROM (
    SELECT DISTINCT d.id, d.bytes FROM requests q JOIN request_files f ON f.request_id = q.id
    JOIN dids d ON d.id = f.did_id WHERE q.rse = ?1
    AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.did_id = d.id AND r.rse = ?1)
)
"""


def usage(catalogue: Catalogue, storage: Storage, rse: str, settings: RseSettings) -> Usage:
    """Return the space of a storage element; files still to be staged count as quota, not as used.

    Parameters
    ----------
    catalogue, storage
        The parts of the lake.
    rse, settings
        Name and settings of the storage element.

    Returns
    -------
    ctabatch.lake.base.Usage
    """
    used = catalogue.connection.execute(_USED, [rse]).fetchone()[0]
    reserved = catalogue.connection.execute(_RESERVED, [rse]).fetchone()[0]
    folder = storage.rse_folder(rse)
    while not folder.exists():
        folder = folder.parent
    left = None if settings.quota is None else max(0, settings.quota - used - reserved)
    return Usage(rse, used, shutil.disk_usage(folder).free, left)


def check_space(
    catalogue: Catalogue, storage: Storage, rse: str, settings: RseSettings, needed: int
) -> None:
    """Refuse what would not fit.

    Parameters
    ----------
    catalogue, storage, rse, settings
        As in `usage`.
    needed : int
        Bytes to be added.

    Raises
    ------
    ctabatch.errors.LakeError
        With the numbers.
    """
    if settings.quota is None or not needed:
        return
    left = usage(catalogue, storage, rse, settings).quota_left
    if needed > left:
        raise LakeError(
            f"{rse} has {left} bytes left of its quota of {settings.quota}, {needed} are needed",
            "release staged files, or raise the quota in the configuration",
        )
