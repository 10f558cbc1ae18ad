"""The Calls API: accept, reject, refer, hang up (https://platform.openai.com/docs/guides/realtime-sip).

Requests go over the HTTP client of the `openai` package with its aiohttp transport, without the layer of
request options, pagination and result casting above it: the four endpoints have a small body or none and
no result, and that layer costs three times the request itself (about 0.7 ms of processor time against
0.26 ms), which in a burst of calls is what callers wait for. Retries are ours, bounded by a deadline the
caller of this class shares over the whole answer; the package's own would repeat a REFER three times.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
import openai

from sipagent import __version__
from sipagent.errors import (
    CallControlError,
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
)
from sipagent.identifiers import CallId

_NO_TIMEOUTS: dict[str, Any] = {"timeout": {}}
"""Each try has its own deadline, over connecting and reading together; see `CallsClient._post_once`."""


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

    def __init__(self, *, api_key: str, base_url: str, settings: CallsClientSettings | None = None) -> None:
        """``base_url`` is the REST base, such as ``https://api.openai.com/v1``."""
        self._base_url = base_url.rstrip("/")
        self._settings = settings or CallsClientSettings()
        self._headers = httpx2.Headers(
            {
                "Authorization": f"Bearer {api_key}",
                "Content-Type": "application/json",
                "User-Agent": f"sipagent/{__version__}",
            }
        )
        self._http: httpx2.AsyncClient = openai.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def accept(self, call_id: CallId, session: bytes, *, deadline: float) -> None:
        """Answer the call with ``session``, the JSON of a Realtime session.

        Tries again on 429, 5xx, time-out and lost connections until ``deadline`` (``loop.time()``). Returns
        once the telephone leg rings and the session is being set up. When an earlier try timed out and a
        later one is told that the call is gone or already answered, the earlier one may well have
        succeeded: this method then returns, and attaching finds out.
        """
        await self._post(call_id, "accept", session, deadline=deadline)

    async def reject(self, call_id: CallId, status: int, *, deadline: float) -> None:
        """Refuse the call with the SIP status ``status`` (4xx to 6xx), with retries until ``deadline``."""
        await self._post(call_id, "reject", _body({"status_code": status}), deadline=deadline)

    async def refer(self, call_id: CallId, target_uri: str) -> None:
        """Ask the carrier to send the call to ``target_uri``. Success is no proof of a transfer."""
        await self._post(
            call_id, "refer", _body({"target_uri": target_uri}), tries=self._settings.refer_tries
        )

    async def hang_up(self, call_id: CallId) -> None:
        """End the call."""
        await self._post(call_id, "hangup", b"", tries=self._settings.hang_up_tries)

    async def _post(
        self,
        call_id: CallId,
        action: str,
        body: bytes,
        *,
        deadline: float | None = None,
        tries: int | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        pause_s = self._settings.first_retry_s
        tried, timed_out = 0, False
        while True:
            tried += 1
            try:
                await self._post_once(call_id, action, body)
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

    async def _post_once(self, call_id: CallId, action: str, body: bytes) -> None:
        url = f"{self._base_url}/realtime/calls/{quote(call_id, safe='')}/{action}"
        try:
            async with asyncio.timeout(self._settings.try_timeout_s):
                # Built here rather than by the client, which would merge URLs, cookies and headers anew.
                request = httpx2.Request(
                    "POST", url, content=body, headers=self._headers, extensions=_NO_TIMEOUTS
                )
                response = await self._http.send(request)
        except TimeoutError as error:
            raise CallControlUnavailableError(
                f"{action} of call {call_id} got no answer within {self._settings.try_timeout_s:g} seconds"
            ) from error
        except httpx2.HTTPError as error:
            raise CallControlUnavailableError(
                f"{action} of call {call_id} did not reach the Calls API: {type(error).__name__}"
            ) from error
        if response.is_success:
            return
        raise _refusal(call_id, action, response.status_code, response.content)


def _body(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _refusal(call_id: CallId, action: str, status: int, body: bytes) -> CallControlError:
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
