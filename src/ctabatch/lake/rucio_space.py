"""Room on the storage elements of a Rucio lake: free space, and the account's limit."""

import logging
import math

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from ctabatch.errors import NoRoomError
from ctabatch.lake.base import Usage
from ctabatch.lake.rucio_session import RucioSession
from ctabatch.lake.rucio_storage import RucioStorage

logger = logging.getLogger(__name__)


def usage(session: RucioSession, storage: RucioStorage, rse: str) -> Usage:
    """Return the space of a storage element as the account sees it.

    What the storage itself reports goes before what Rucio counts.

    Parameters
    ----------
    session, storage
        The parts of the lake.
    rse : str
        Storage element.
    """
    storage.describe(rse)
    rows = {row["source"]: row for row in session.call("get_rse_usage", rse)}
    used = max((row["used"] or 0 for row in rows.values()), default=0)
    free = rows.get("storage", {}).get("free")
    account = session.call("get_local_account_usage", session.account, rse)
    left = account[0]["bytes_remaining"] if account else 0
    return Usage(rse, used, free, None if left is None or math.isinf(left) else int(left))


def check_space(session: RucioSession, storage: RucioStorage, rse: str, needed: int) -> None:
    """Refuse what does not fit, before anything is moved.

    Parameters
    ----------
    session, storage
        The parts of the lake.
    rse : str
        Storage element.
    needed : int
        Bytes to be added.

    Raises
    ------
    ctabatch.errors.NoRoomError
        With the bytes needed and those there are.
    """
    if not needed:
        return
    room = usage(session, storage, rse)
    if room.quota_left is not None and needed > room.quota_left:
        raise NoRoomError(
            f"{needed} bytes are needed on {rse}, the quota of Rucio account {session.account} "
            f"leaves {max(room.quota_left, 0)}",
            "release staged files, or ask for a larger account limit",
        )
    if room.free is not None and needed > room.free:
        raise NoRoomError(
            f"{needed} bytes are needed on {rse}, {room.free} are free",
            "choose another storage element, or ask its operators",
        )


def wait_for_space(
    session: RucioSession, storage: RucioStorage, rse: str, needed: int, patience: float
) -> None:
    """Do as `check_space`, but wait for what was released and is not counted yet.

    Rucio's daemons end a released rule, and bring the account's counter up to date, some time after
    the release; the next wave of a reprocessing would be refused in between.

    Parameters
    ----------
    session, storage, rse, needed
        As for `check_space`.
    patience : float
        Longest wait, seconds.

    Raises
    ------
    ctabatch.errors.NoRoomError
        As of `check_space`, when there is no room after the wait.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(NoRoomError),
        wait=wait_exponential(max=10),
        stop=stop_after_delay(patience),
        before_sleep=lambda state: logger.warning(
            "%s; waiting for what was released", state.outcome.exception().message
        ),
        reraise=True,
    )
    attempts(check_space, session, storage, rse, needed)
