"""The Calls API: accept, reject, refer, hang up (https://platform.openai.com/docs/guides/realtime-sip).

They are posted over a bare HTTP session: of four requests whose answers are empty, the layers of the `openai`
package (options, transforms, casting of the result) cost four times the request itself, 1.2 ms of processor
time against 0.3, and in a burst every caller waits for that of all others. Retries are ours, bounded by a
deadline that the whole answer shares; the package's own would repeat a REFER three times.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from sipagent import __version__
from sipagent.errors import (
    CallControlError,
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
)
from sipagent.identifiers import CallId
from sipagent.realtime.provider import RealtimeProvider, provider_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsClientSettings:
    """Limits of one client."""

    try_timeout_s: float = 5.0
    """The longest one request may take; real accepts take under a second."""
    first_retry_s: float = 0.2
    """Pause before the second try; doubles from try to try, with up to a quarter of jitter."""
    longest_retry_s: float = 2.0
    hang_up_tries: int = 3
    refer_tries: int = 2
    """REFER answers 500 now and then; a second try is safe because a refused one did nothing."""


class CallsClient:
    """Speaks to one Calls API with one key.

    Used as an async context manager: leaving it closes the connections. Every method is safe to cancel;
    whether the API has acted on a cancelled request is unknown. Every method raises `CallGoneError` when
    the call is over, `CallControlRefusedError` for another 4xx, `CallControlRateLimitedError` for 429 and
    `CallControlUnavailableError` for 5xx, time-out or no connection, when retries are used up.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | RealtimeProvider,
        settings: CallsClientSettings | None = None,
    ) -> None:
        """``base_url`` is the REST base, such as ``https://api.openai.com/v1``, or an API that is shown its
        key in another way; a base of Azure is known by its host. Raises `UserError` for one that is no URL.
        """
        self._provider = provider_of(base_url) if isinstance(base_url, str) else base_url
        self._settings = settings or CallsClientSettings()
        self._headers = {**self._provider.headers(api_key), "User-Agent": f"sipagent/{__version__}"}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1000), timeout=aiohttp.ClientTimeout(), auto_decompress=False
        )
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._http is not None, "the client was entered"
        await self._http.close()

    async def accept(
        self, call_id: CallId, session: bytes, *, deadline: float, maybe_accepted: bool = False
    ) -> None:
        """Answer the call with ``session``, the JSON of a Realtime session.

        Tries again on 429, 5xx, time-out and lost connections until ``deadline`` (``loop.time()``). Returns
        once the telephone leg rings and the session is being set up. When an earlier try timed out and a
        later one is told that the call is gone or already answered, the earlier one may well have
        succeeded: this method then returns, and attaching finds out. ``maybe_accepted`` says the same of a
        try that another process may have made.
        """
        await self._try(
            "accept",
            call_id,
            session,
            deadline=deadline,
            uncertain=maybe_accepted,
        )

    async def reject(self, call_id: CallId, status: int, *, deadline: float) -> None:
        """Refuse the call with the SIP status ``status`` (4xx to 6xx), with retries until ``deadline``."""
        await self._try(
            "reject",
            call_id,
            _json({"status_code": status}),
            deadline=deadline,
        )

    async def refer(self, call_id: CallId, target_uri: str) -> None:
        """Ask the carrier to send the call to ``target_uri``. Success is no proof of a transfer."""
        await self._try(
            "refer",
            call_id,
            _json({"target_uri": target_uri}),
            tries=self._settings.refer_tries,
        )

    async def hang_up(self, call_id: CallId) -> None:
        """End the call."""
        await self._try(
            "hangup",
            call_id,
            None,
            tries=self._settings.hang_up_tries,
        )

    async def _try(
        self,
        action: str,
        call_id: CallId,
        body: bytes | None,
        *,
        deadline: float | None = None,
        tries: int | None = None,
        uncertain: bool = False,
    ) -> None:
        """Ask for ``action`` until it succeeds, is refused, or ``deadline`` or ``tries`` are used up.
        ``uncertain``: it may have been asked for before, and have succeeded."""
        loop = asyncio.get_running_loop()
        pause_s = self._settings.first_retry_s
        tried, timed_out = 0, uncertain
        while True:
            tried += 1
            try:
                await self._once(action, call_id, lambda: self._post(action, call_id, body))
                return
            except (CallControlRateLimitedError, CallControlUnavailableError) as error:
                timed_out = timed_out or error.status is None
                pause_s = min(pause_s, self._settings.longest_retry_s)
                wait_s = pause_s * random.uniform(1.0, 1.25)
                if tries is not None and tried >= tries:
                    raise
                if deadline is not None and loop.time() + wait_s >= deadline:
                    raise
            except (CallGoneError, CallControlRefusedError) as error:
                if action == "accept" and timed_out and error.status in (400, 404, 409):
                    return
                raise
            await asyncio.sleep(wait_s)
            pause_s *= 2

    async def _once(self, action: str, call_id: CallId, request: Callable[[], Awaitable[None]]) -> None:
        """The seam at which foreign exceptions become ours."""
        try:
            async with asyncio.timeout(self._settings.try_timeout_s):
                await request()
        except TimeoutError as error:
            raise CallControlUnavailableError(
                f"{action} of call {call_id} got no answer within {self._settings.try_timeout_s:g} seconds"
            ) from error
        except aiohttp.ClientError as error:
            raise CallControlUnavailableError(
                f"{action} of call {call_id} did not reach the Calls API: {type(error).__name__}"
            ) from error

    async def _post(self, action: str, call_id: CallId, body: bytes | None) -> None:
        assert self._http is not None, "the client is used inside its context"
        path = f"/realtime/calls/{quote(call_id, safe='')}/{action}"
        headers = self._headers if body is None else {**self._headers, "Content-Type": "application/json"}
        url = URL(self._provider.rest_url(path), encoded=True)
        async with self._http.post(url, data=body, headers=headers) as response:
            if response.status >= 300:
                raise _refusal(action, call_id, response.status, await response.read())


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _refusal(action: str, call_id: CallId, status: int, body: bytes) -> CallControlError:
    """The exception for an answer other than 2xx. The API's words are kept, shortened."""
    code, words = None, ""
    try:
        error = json.loads(body)["error"]
        code, words = error.get("code"), str(error.get("message") or "")[:300]
    except (ValueError, LookupError, TypeError, AttributeError):
        words = "the answer's body was no error object"
    message = f"{action} of call {call_id} was answered {status}{f' ({code})' if code else ''}: {words}"
    kind: type[CallControlError]
    if status == 404 or code == "call_id_not_found":
        kind = CallGoneError
    elif status == 429:
        kind = CallControlRateLimitedError
    elif status >= 500 or status == 408:
        kind = CallControlUnavailableError
    else:
        kind = CallControlRefusedError
    return kind(message, status=status, code=code if isinstance(code, str) else None)
