"""What both data lakes do alike with requests for disk copies."""

from abc import abstractmethod
from collections.abc import Iterable

from ctabatch.errors import InputError
from ctabatch.lake.base import DataLake, Progress, StageRequest
from ctabatch.lake.names import unique_dids


class StagedLake(DataLake):
    """A data lake whose part ``_staging`` keeps the requests for disk copies."""

    @abstractmethod
    def _check_disk(self, rse: str) -> None:
        """Refuse a storage element that is not a disk."""

    def stage(self, dids: Iterable[str], *, rse: str, lifetime: float) -> StageRequest:
        """Ask for disk copies; see `DataLake.stage`."""
        self._check_disk(rse)
        if not lifetime > 0:
            raise InputError(f"lifetime {lifetime!r}", allowed="more than 0 seconds")
        asked = unique_dids(dids)
        if not asked:
            raise InputError("nothing to stage", allowed="at least one DID")
        return self._staging.stage(asked, rse, lifetime)

    def wait(
        self,
        request: StageRequest,
        *,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Wait for the disk copies of a request; see `DataLake.wait`."""
        self._staging.wait(request, timeout, progress)

    def release(self, request: StageRequest) -> None:
        """Give up disk copies; see `DataLake.release`."""
        self._staging.release(request)

    def requests(self) -> list[StageRequest]:
        """List staging requests; see `DataLake.requests`."""
        return self._staging.requests()

    def held(self, dids: Iterable[str], *, rse: str) -> StageRequest | None:
        """Find a staging request; see `DataLake.held`."""
        return self._staging.held(unique_dids(dids), rse)
