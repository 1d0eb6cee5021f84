"""The connection to the DiracX server: one asynchronous client in a thread of its own.

All calls go through `Connection.call`, which retries what may pass, renews the login when the
server no longer takes it, and says once, not a hundred times, that the server is away.
"""

import asyncio
import email.utils
import fcntl
import json
import threading
import time

from snakemake_interface_common.exceptions import WorkflowError
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_delay,
    wait_exponential_jitter,
)

from snakemake_executor_plugin_dirac.errors import LoginLostError, PassingError, understand

LOGIN_HINT = (
    "log in again with `dirac login`, then start the same command again: it adopts the jobs"
)
#: Seconds: first and longest pause between two tries, and how long one answer may take.
FIRST_PAUSE, LONGEST_PAUSE, READ_TIMEOUT = 0.5, 30, 60
#: Seconds by which the clock in an answer's header may lag.
HEADER_LAG = 5


class Connection:
    """A DiracX client that outlives faults of server, network and login.

    Parameters
    ----------
    settings : ExecutorSettings
        Address and patience.
    logger : logging.Logger
        Told about faults.
    """

    def __init__(self, settings, logger):
        self.logger = logger
        self.patience = settings.patience * 60
        self.preferences = _preferences(settings.url)
        self.clock_offset = 0.0
        self._heard_once = False
        self.requests = 0
        self.closed = False
        self._client = None
        self._away_since = None
        self._said = 0.0
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="diracx-client", daemon=True
        )
        self._thread.start()

    def submit(self, coroutine):
        """Start a coroutine on the client's loop; returns a `concurrent.futures.Future`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine):
        """Run a coroutine on the client's loop and wait for its result."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def wait(self, coroutine):
        """Run a coroutine on the client's loop, awaited from another loop."""
        return await asyncio.wrap_future(self.submit(coroutine))

    def close(self):
        """Close the client and end the thread."""
        if self.closed:
            return
        self.closed = True
        self.run(self._finish())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)

    async def _finish(self):
        """Cancel what is left, close the client."""
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)

    def server_time(self) -> float:
        """Return the server's clock in seconds since 1970, from the headers of its answers.

        Headers lag by up to some seconds: a clock here that is ahead by less counts as right.
        """
        lagging = -HEADER_LAG < self.clock_offset <= 0
        return time.time() + (0 if lagging else self.clock_offset)

    async def call(self, what, function, patience=None, retry_sent=True):
        """Ask the server something, again and again where that may help.

        Parameters
        ----------
        what : str
            What is asked, as an infinitive; for messages.
        function : callable
            Takes the client and returns an awaitable.
        patience : float, optional
            Seconds to go on trying; the setting by default.
        retry_sent : bool
            Whether a request that may have been carried out can be sent again.

        Returns
        -------
        object
            What `function` returned.

        Raises
        ------
        LoginLostError, ServerRefusedError, PassingError
            See there; the last one only after `patience`, or if `retry_sent` is false.
        """
        attempts = AsyncRetrying(
            retry=retry_if_exception(
                lambda error: isinstance(error, PassingError) and (retry_sent or not error.sent)
            ),
            wait=wait_exponential_jitter(
                multiplier=FIRST_PAUSE, max=LONGEST_PAUSE, jitter=FIRST_PAUSE
            ),
            stop=stop_after_delay(self.patience if patience is None else patience),
            before_sleep=lambda state: self._server_away(
                what, state.outcome.exception(), state.attempt_number
            ),
            reraise=True,
        )
        result = await attempts(self._once, what, function)
        self._server_back()
        return result

    async def _once(self, what, function):
        renewed = False
        while True:
            try:
                api = await self._open()
                self.requests += 1
                return await function(api)
            except asyncio.CancelledError:
                if self.closed or asyncio.current_task().cancelling():
                    raise
                # Transports cancel themselves, too, when a connection breaks.
                raise PassingError(f"the connection broke while trying to {what}") from None
            except Exception as error:
                understood = understand(what, error)
                if isinstance(understood, LoginLostError) and not renewed:
                    renewed = True
                    self._renew(_refused_token(error))
                    continue
                if isinstance(understood, LoginLostError):
                    raise LoginLostError(
                        f"DIRAC: the login is no longer valid ({understood}); {LOGIN_HINT}"
                    ) from None
                if understood is error:
                    raise
                raise understood from error

    async def _open(self):
        """Return the client; its own retries are off, `call` does them with the login in view."""
        if self.closed:
            raise asyncio.CancelledError("the connection is closed")
        if self._client is None:
            from diracx.client.aio import AsyncDiracClient

            client = AsyncDiracClient(
                diracx_preferences=self.preferences,
                retry_total=0,
                connection_timeout=10,
                read_timeout=READ_TIMEOUT,
                raw_response_hook=self._heard,
            )
            self._client = await client.__aenter__()
        return self._client

    def _renew(self, refused):
        """Let diracx-client refresh the login: the server refused a token that seemed valid."""
        if self._client is None or refused is None:
            return
        policy = self._client._config.authentication_policy
        if policy._token is not None and policy._token.token == refused:
            policy._token = None
        _expire_in_file(self.preferences.credentials_path, refused)

    def _heard(self, response):
        """Note the server's clock."""
        date = response.http_response.headers.get("Date")
        if date:
            offset = email.utils.parsedate_to_datetime(date).timestamp() - time.time()
            # Answers come late and the header has whole seconds: the largest is the nearest.
            self.clock_offset = max(offset, self.clock_offset) if self._heard_once else offset
            self._heard_once = True

    def _server_away(self, what, error, attempt):
        if attempt < 2:  # a connection that was reset is nothing to tell
            return
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
        if now - self._said > 300 or self._away_since == now:
            self._said = now
            minutes = (now - self._away_since) / 60
            since = f" for {minutes:.0f} minutes" if minutes >= 1 else ""
            self.logger.warning(
                f"DIRAC: could not {what}{since}: {error}. Trying again; jobs go on meanwhile."
            )

    def _server_back(self):
        if self._away_since is not None:
            seconds = time.monotonic() - self._away_since
            self._away_since = None
            self.logger.info(f"DIRAC: the server answers again, after {seconds:.0f} s.")


def _preferences(url):
    from diracx.core.preferences import DiracxPreferences
    from pydantic import ValidationError

    try:
        preferences = DiracxPreferences(**({"url": url} if url else {}))
    except ValidationError as error:
        wrong = ", ".join(str(item["loc"][0]) for item in error.errors())
        if "url" in wrong and not url:
            raise WorkflowError(
                "DIRAC executor: no server given: set --dirac-url (or DIRACX_URL) to the address "
                "of a DiracX server, for instance https://dirac.example.org"
            ) from None
        raise WorkflowError(
            f"DIRAC executor: not valid: {wrong} ({error.errors()[0]['msg']})"
        ) from None
    if not preferences.credentials_path.exists():
        raise WorkflowError(
            f"DIRAC executor: not logged in (no {preferences.credentials_path}): run `dirac login`"
        )
    return preferences


def _refused_token(error) -> str | None:
    """Return the access token of a request that the server refused."""
    request = getattr(getattr(error, "response", None), "request", None)
    header = request.headers.get("Authorization", "") if request is not None else ""
    return header.removeprefix("Bearer ") or None


def _expire_in_file(path, refused):
    """Let diracx-client refresh the login though the clock says that it still holds."""
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            content = json.load(file)
            if content.get("access_token") == refused:
                content["expires_on"] = 0
                file.seek(0)
                file.truncate()
                json.dump(content, file)
    except (OSError, ValueError) as error:
        raise LoginLostError(
            f"DIRAC: the login cannot be read ({path}: {error}); {LOGIN_HINT}"
        ) from None
