"""Calls of a Rucio server: each complete, repeated while the server is away, or a clear error.

Rucio's own client gives up at once when the server is down, and takes an answer that breaks off
half way for a short one.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from ctabatch.config.lake import RucioSettings
from ctabatch.errors import BatchError, InputError, LakeError
from ctabatch.lake.rucio_client import ServerError, load_client_library, make_client, one_line

logger = logging.getLogger(__name__)

#: Calls under way at once: enough to keep a server's workers busy, few enough not to be a burden.
CONNECTIONS = 4

#: Rucio takes at most so many DIDs a call (its schema and its bulk look-ups).
BULK = 1000


def chunks(items: Iterable, size: int = BULK) -> Iterator[list]:
    """Cut items into lists of at most `size`."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def did_dict(did: str) -> dict[str, str]:
    """Return a DID as Rucio's calls take it."""
    scope, _, name = did.partition(":")
    return {"scope": scope, "name": name}


class RucioSession:
    """Calls of a Rucio server, each complete or an error that a person can act on.

    Parameters
    ----------
    settings : ctabatch.config.lake.RucioSettings
        Host, account and login.
    """

    def __init__(self, settings: RucioSettings):
        self.settings = settings
        self.account = settings.account
        self._client = None
        self._lock = threading.Lock()

    @property
    def token(self) -> str | None:
        """Token to show to the storage; only OIDC tokens are any use there."""
        return self._connected().auth_token if self.settings.auth_type == "oidc" else None

    def _connected(self):
        with self._lock:
            if self._client is None:
                self._client = self._patiently(lambda: make_client(self.settings), "login")
            return self._client

    def call(self, method: str, *args, expected: Sequence[str] = (), **options) -> Any:
        """Call a method of Rucio's client.

        An answer that comes in a stream is read to its end, so that one which breaks off half way
        counts as a fault. Faults of the server are tried again for ``settings.patience`` seconds;
        all calls of this package may be sent twice.

        Parameters
        ----------
        method : str
            Name of the method.
        *args, **options
            Its arguments.
        expected : sequence of str
            Names of Rucio's errors that the caller handles; they are raised as they are.

        Returns
        -------
        object
            The answer; a list in place of an iterator.

        Raises
        ------
        ctabatch.errors.LakeError
            The server refuses, or stays away.
        """
        client = self._connected()

        def attempt():
            answer = getattr(client, method)(*args, **options)
            return list(answer) if isinstance(answer, Iterator) else answer

        return self._patiently(attempt, method, expected)

    def in_bulk(self, jobs: Iterable[tuple[str, tuple, dict]]) -> list:
        """Make several calls, some at the same time.

        Parameters
        ----------
        jobs : iterable of (method, arguments, options)
            See `call`.

        Returns
        -------
        list
            Answers in the order of the jobs.
        """
        jobs = list(jobs)
        if len(jobs) < 2:
            return [self.call(method, *args, **options) for method, args, options in jobs]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            futures = [pool.submit(self.call, name, *args, **kw) for name, args, kw in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _patiently(self, action: Callable[[], Any], doing: str, expected: Sequence[str] = ()):
        load_client_library()
        from requests import RequestException
        from rucio.common.exception import RucioException

        def attempt():
            try:
                return action()
            except (RequestException, ValueError) as error:
                # A stream that breaks off raises while it is read, at times as half a JSON line.
                raise ServerError(type(error).__name__) from error
            except RucioException as error:
                if "http status code: 5" in str(error):
                    raise ServerError(one_line(error)) from error
                raise

        try:
            return Retrying(
                retry=retry_if_exception_type(ServerError),
                wait=wait_random_exponential(multiplier=0.5, max=15),
                stop=stop_after_delay(self.settings.patience),
                before_sleep=self._report,
                reraise=True,
            )(attempt)
        except ServerError as fault:
            raise LakeError(
                f"the Rucio server {self.settings.host} does not answer ({doing}: {fault})",
                "try again later; what was begun is completed then",
            ) from None
        except RucioException as error:
            if type(error).__name__ in expected:
                raise
            raise self._explain(error, doing) from None

    def _report(self, state: RetryCallState) -> None:
        logger.warning(
            "%s: %s; trying again in %.1f s",
            self.settings.host,
            state.outcome.exception(),
            state.next_action.sleep,
        )

    def _explain(self, error: Exception, doing: str) -> BatchError:
        kind, text = type(error).__name__, one_line(error)
        if kind == "AccessDenied":
            return LakeError(f"Rucio account {self.account} may not do this: {text}")
        if kind in ("InsufficientAccountLimit", "RSEOverQuota"):
            return LakeError(
                f"the quota of Rucio account {self.account} is too small: {text}",
                "release staged files, or ask for a larger account limit",
            )
        if kind in ("ScopeNotFound", "InvalidObject", "InvalidRSEExpression"):
            return InputError(text)
        return LakeError(f"Rucio refuses {doing}: {kind}: {text}")
