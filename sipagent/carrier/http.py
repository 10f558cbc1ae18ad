"""One request to a carrier's API: with limits, and errors in our words."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from yarl import URL

from sipagent import __version__
from sipagent.errors import (
    CarrierError,
    CarrierLegGoneError,
    CarrierRefusedError,
    CarrierUnavailableError,
)

logger = logging.getLogger(__name__)

LONGEST_ANSWER_BYTES = 256 * 1024
_Form = Mapping[str, str] | Sequence[tuple[str, str]]
_DIGITS = re.compile(r"\d{5,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestLimits:
    """How patient a client is."""

    try_timeout_s: float = 5.0
    """The longest one request may take."""
    total_s: float = 8.0
    """The longest all tries of one request may take together."""
    first_retry_s: float = 0.2
    """Pause before the second try; doubles, with up to a quarter of jitter."""


class CarrierHttp:
    """One HTTP API with one key. Used as an async context manager: leaving it closes its connections."""

    def __init__(
        self,
        *,
        carrier: str,
        base_url: str,
        authorizations: Sequence[str],
        gone_codes: frozenset[str],
        limits: RestLimits | None = None,
    ) -> None:
        """``authorizations`` are values of that header, written nowhere else: what is not known at the API
        is followed by the next one, which is shown first from then on."""
        self._carrier = carrier
        self._base_url = base_url.rstrip("/")
        self._authorizations = tuple(authorizations)
        self._shown = 0
        self._gone_codes = gone_codes
        self._limits = limits or RestLimits()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {
            "Accept": "application/json",
            "User-Agent": f"sipagent/{__version__}",
        }
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout())
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None, "the client was entered"
        await self._session.close()

    async def request(
        self,
        action: str,
        method: Literal["GET", "POST"],
        path: str,
        *,
        form: _Form | None = None,
        body: Mapping[str, Any] | None = None,
        repeatable: bool,
    ) -> Mapping[str, Any]:
        """Make a request, and return the object that answers it; ``action`` names it in errors.

        ``repeatable``: made twice, it acts once, so that it is made again when no answer came. Raises
        `CarrierLegGoneError`, `CarrierRefusedError` or `CarrierUnavailableError`. Safe to cancel; whether it
        was carried out is unknown then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._limits.total_s
        pause_s = self._limits.first_retry_s
        while True:
            try:
                return await self._authorized(action, method, path, form, body, deadline)
            except CarrierUnavailableError as error:
                # 429 and a refused connection have done nothing, whatever the request.
                again = repeatable or error.status == 429 or isinstance(error, _NotReachedError)
                wait_s = pause_s * random.uniform(1.0, 1.25)
                if not again or loop.time() + wait_s >= deadline:
                    raise
            await asyncio.sleep(wait_s)
            pause_s *= 2

    async def _authorized(
        self,
        action: str,
        method: str,
        path: str,
        form: _Form | None,
        body: Mapping[str, Any] | None,
        deadline: float,
    ) -> Mapping[str, Any]:
        """One try, with the keys that may be meant: during a rotation nobody knows which one it is."""
        known, first = self._authorizations, self._shown
        for turn in range(len(known)):
            shown = (first + turn) % len(known)
            try:
                answer = await self._once(action, method, path, form, body, deadline, known[shown])
            except CarrierRefusedError as error:
                if error.status != 401 or turn + 1 == len(known):
                    raise
                # 401 has done nothing, whatever the request.
                logger.warning("%s does not know a key any more; the next one is shown", self._carrier)
            else:
                self._shown = shown
                return answer
        raise AssertionError("there is a key")

    async def _once(
        self,
        action: str,
        method: str,
        path: str,
        form: _Form | None,
        body: Mapping[str, Any] | None,
        deadline: float,
        authorization: str,
    ) -> Mapping[str, Any]:
        """The seam at which foreign exceptions become ours."""
        assert self._session is not None, "the client is used inside its context"
        url = URL(self._base_url + path, encoded=True)
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout_at(min(deadline, loop.time() + self._limits.try_timeout_s)),
                self._session.request(
                    method,
                    url,
                    data=form,
                    json=body,
                    headers={"Authorization": authorization},
                    allow_redirects=False,
                ) as response,
            ):
                status, raw = response.status, await response.content.read(LONGEST_ANSWER_BYTES)
        except TimeoutError as error:
            raise CarrierUnavailableError(f"{self._carrier} did not answer in time: {action}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ClientSSLError) as error:
            raise _NotReachedError(
                f"{self._carrier} cannot be reached ({type(error).__name__}): {action}"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise CarrierUnavailableError(
                f"The connection to {self._carrier} was lost ({type(error).__name__}): {action}"
            ) from error
        answer = _object(raw)
        if status >= 300:
            raise self._refusal(action, status, answer)
        return answer

    def _refusal(self, action: str, status: int, answer: Mapping[str, Any]) -> CarrierError:
        """The error for an answer other than 2xx, with the carrier's code and words, shortened and without
        telephone numbers."""
        code, words = _code(answer)
        said = f" ({code})" if code else ""
        message = f"{self._carrier} answered {status}{said} to {action}: {_DIGITS.sub('…', words)[:200]}"
        if status == 404 or code in self._gone_codes:
            return CarrierLegGoneError(message, status=status)
        if status in (408, 429) or status >= 500:
            return CarrierUnavailableError(message, status=status)
        return CarrierRefusedError(message, status=status)


class _NotReachedError(CarrierUnavailableError):
    """Nothing was sent."""


# Inside ------------------------------------------------------------------------------------------------


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _code(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The carrier's code and words: Twilio has one error, Telnyx a list of them."""
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        error = errors[0]
        return str(error.get("code") or "")[:20], str(error.get("detail") or error.get("title") or "")
    return str(answer.get("code") or "")[:20], str(answer.get("message") or "no words")
