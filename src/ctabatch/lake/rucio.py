"""The data lake on a Rucio server.

DIDs of the configured scope are written; searches also cover the scopes that the configuration
names besides.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ctabatch.config.lake import LakeSettings
from ctabatch.errors import InputError
from ctabatch.lake.base import (
    IngestResult,
    NewFile,
    Progress,
    Replica,
    Usage,
    Volume,
)
from ctabatch.lake.frame import make_frame
from ctabatch.lake.local_ingest import check_files
from ctabatch.lake.names import check_metadata, lfn_root, unique_dids
from ctabatch.lake.query import parse
from ctabatch.lake.rucio_catalogue import RucioCatalogue
from ctabatch.lake.rucio_fetch import RucioFetch
from ctabatch.lake.rucio_ingest import RucioIngest, check_scopes
from ctabatch.lake.rucio_session import RucioSession
from ctabatch.lake.rucio_space import usage
from ctabatch.lake.rucio_staging import RucioStaging
from ctabatch.lake.rucio_storage import RucioStorage
from ctabatch.lake.staged import StagedLake


class RucioLake(StagedLake):
    """A data lake on a Rucio server.

    Parameters
    ----------
    settings : ctabatch.config.lake.LakeSettings
        With the section ``rucio``. Nothing is connected before the first call.
    """

    def __init__(self, settings: LakeSettings):
        self._settings = settings
        self.session = RucioSession(settings.rucio)
        self._folder = f"{lfn_root(settings.vo, settings.scope)}/ctabatch"
        scopes = [settings.scope, *settings.rucio.search_scopes]
        self._catalogue = RucioCatalogue(self.session, scopes)
        self._storage = RucioStorage(self.session)
        self._staging = RucioStaging(
            self.session, self._catalogue, self._storage, settings.scope, f"{self._folder}/staging"
        )
        self._fetching = RucioFetch(self._catalogue, self._storage)

    def search(self, query: str, *, columns: Sequence[str] | None = None):
        """Find files by metadata; see `DataLake.search`."""
        found = self._catalogue.search(parse(query))
        return make_frame(((e.did, e.bytes, e.adler32, e.metadata) for e in found), columns)

    def volume(self, dids: Iterable[str]) -> Volume:
        """Count files and bytes; see `DataLake.volume`."""
        files = self._catalogue.files(unique_dids(dids))
        return Volume(len(files), sum(entry.bytes for entry in files.values()))

    def replicas(self, dids: Iterable[str]) -> list[Replica]:
        """List all copies; see `DataLake.replicas`."""
        files = self._catalogue.files(unique_dids(dids))
        held = self._catalogue.replicas(list(files))
        return [replica for did in files for replica in held[did]]

    def metadata(self, dids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return metadata; see `DataLake.metadata`."""
        known = self._catalogue.known(unique_dids(dids), metadata=True)
        return {did: entry.metadata for did, entry in known.items()}

    def set_metadata(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        """Set metadata keys; see `DataLake.set_metadata`.

        Keys of up to 250 DIDs change at once; a fault may leave those of the others as they were,
        and the same call again completes it.
        """
        dids = unique_dids(updates)
        checked = {did: check_metadata(updates[did]) for did in dids}
        self._catalogue.known(dids)
        self._catalogue.set_metadata(checked)

    def ingest(
        self,
        files: Sequence[NewFile],
        *,
        dataset: str | None = None,
        rse: str | None = None,
        progress: Progress | None = None,
    ) -> IngestResult:
        """Take files in; see `DataLake.ingest` and `ctabatch.lake.rucio_ingest`."""
        checked = check_files(files, dataset)
        check_scopes(checked, dataset, self._catalogue.scopes)
        rse = rse or self._settings.default_rse
        self._storage.describe(rse)
        if not checked:
            return IngestResult((), ())
        if dataset is None:
            dids = sorted(item.did for item in checked)
            digest = hashlib.sha256(json.dumps([rse, dids]).encode()).hexdigest()[:32]
            dataset = f"{self._settings.scope}:{self._folder}/ingest/{digest}"
        work = RucioIngest(
            self.session, self._catalogue, self._storage, rse, checked, dataset, progress
        )
        return work.run()

    def fetch(
        self, dids: Iterable[str], folder: Path, *, progress: Progress | None = None
    ) -> dict[str, Path]:
        """Copy files to a folder; see `DataLake.fetch`."""
        return self._fetching.fetch(unique_dids(dids), Path(folder), progress)

    def _check_disk(self, rse: str) -> None:
        if self._storage.tier(rse) != "DISK":
            raise InputError(f"{rse} is not a disk", allowed="a storage element of tier DISK")

    def usage(self, rse: str) -> Usage:
        """Return the space of a storage element; see `DataLake.usage`."""
        return usage(self.session, self._storage, rse)

    def verify(self, dids: Iterable[str]) -> dict[str, str]:
        """Read all disk copies again; see `DataLake.verify`."""
        return self._fetching.verify(unique_dids(dids))
