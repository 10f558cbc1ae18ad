"""The carriers' own APIs: HTTP requests with limits, and errors in our words.

Sources: https://www.twilio.com/docs/voice/api/call-resource, https://developers.telnyx.com/api-reference
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from sipagent import __version__
from sipagent.carrier.base import Command
from sipagent.carrier.settings import TelnyxSettings, TwilioSettings
from sipagent.errors import (
    CarrierError,
    CarrierLegGoneError,
    CarrierRefusedError,
    CarrierUnavailableError,
)

TWILIO_GONE_CODES = frozenset({"20404", "21220"})
"""Not found; not in progress, so that nothing can be done with it any more."""
TELNYX_GONE_CODES = frozenset({"10005", "10015", "90015", "90018"})
"""Not found; a call control id that is none, or whose call has ended."""
LONGEST_ANSWER_BYTES = 256 * 1024
_EVENTS = ("initiated", "ringing", "answered", "completed")
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
        authorization: str,
        gone_codes: frozenset[str],
        limits: RestLimits | None = None,
    ) -> None:
        """``authorization`` is the value of that header: it is written nowhere else."""
        self._carrier = carrier
        self._base_url = base_url.rstrip("/")
        self._authorization = authorization
        self._gone_codes = gone_codes
        self._limits = limits or RestLimits()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {
            "Authorization": self._authorization,
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
                return await self._once(action, method, path, form, body, deadline)
            except CarrierUnavailableError as error:
                # 429 and a refused connection have done nothing, whatever the request.
                again = repeatable or error.status == 429 or isinstance(error, _NotReachedError)
                wait_s = pause_s * random.uniform(1.0, 1.25)
                if not again or loop.time() + wait_s >= deadline:
                    raise
            await asyncio.sleep(wait_s)
            pause_s *= 2

    async def _once(
        self,
        action: str,
        method: str,
        path: str,
        form: _Form | None,
        body: Mapping[str, Any] | None,
        deadline: float,
    ) -> Mapping[str, Any]:
        """The seam at which foreign exceptions become ours."""
        assert self._session is not None, "the client is used inside its context"
        url = URL(self._base_url + path, encoded=True)
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout_at(min(deadline, loop.time() + self._limits.try_timeout_s)),
                self._session.request(method, url, data=form, json=body, allow_redirects=False) as response,
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


class TwilioApi:
    """Calls of one Twilio account. Raises as `CarrierHttp.request`."""

    def __init__(self, settings: TwilioSettings, limits: RestLimits | None = None) -> None:
        key = b64encode(f"{settings.account_sid}:{settings.auth_tokens[0]}".encode()).decode()
        self.http = CarrierHttp(
            carrier="Twilio",
            base_url=settings.api_base_url,
            authorization=f"Basic {key}",
            gone_codes=TWILIO_GONE_CODES,
            limits=limits,
        )
        self._calls = f"/2010-04-01/Accounts/{_part(settings.account_sid)}/Calls"

    async def call(
        self, *, to: str, caller_id: str, document: str, status_url: str, answer_timeout_s: int
    ) -> str | None:
        """Call somebody, who gets ``document`` (TwiML) when they answer; the identifier of their leg."""
        answer = await self.http.request(
            "call somebody",
            "POST",
            f"{self._calls}.json",
            form=[
                *_call_form(to, caller_id, status_url, answer_timeout_s).items(),
                *(("StatusCallbackEvent", event) for event in _EVENTS),
                ("Twiml", document),
            ],
            repeatable=False,
        )
        return _text(answer, "sid")

    async def redirect(self, leg_id: str, document: str) -> None:
        """Let a leg go on with ``document``, whatever it does now."""
        await self._update("move a leg", leg_id, {"Twiml": document})

    async def end(self, leg_id: str) -> None:
        """End a leg, whether it rings or talks."""
        await self._update("end a leg", leg_id, {"Status": "completed"})

    async def status(self, leg_id: str) -> str | None:
        """``queued``, ``ringing``, ``in-progress``, ``completed``, ``busy``, ``no-answer``…"""
        path = f"{self._calls}/{_part(leg_id)}.json"
        return _text(await self.http.request("look at a leg", "GET", path, repeatable=True), "status")

    async def _update(self, action: str, leg_id: str, form: Mapping[str, str]) -> None:
        path = f"{self._calls}/{_part(leg_id)}.json"
        await self.http.request(action, "POST", path, form=form, repeatable=True)


class TexmlApi:
    """Calls of Telnyx' TeXML applications. Raises as `CarrierHttp.request`."""

    def __init__(self, http: CarrierHttp, *, account: str, application_id: str | None) -> None:
        """``account`` as the legs' webhooks name it."""
        self._http = http
        self._application_id = application_id
        self._calls = f"/v2/texml/Accounts/{_part(account)}/Calls"

    async def call(
        self, *, to: str, caller_id: str, document: str, status_url: str, answer_timeout_s: int
    ) -> str | None:
        """As `TwilioApi.call`, with TeXML; None where the answer does not name the leg."""
        form = _call_form(to, caller_id, status_url, answer_timeout_s) | {
            "StatusCallbackEvent": " ".join(_EVENTS),
            "Texml": document,
            "ApplicationSid": self._application_id or "",
        }
        answer = await self._http.request("call somebody", "POST", self._calls, form=form, repeatable=False)
        return _text(answer, "sid") or _text(answer, "call_sid")

    async def redirect(self, leg_id: str, document: str) -> None:
        """As `TwilioApi.redirect`."""
        await self._update("move a leg", leg_id, {"Texml": document})

    async def end(self, leg_id: str) -> None:
        """As `TwilioApi.end`."""
        await self._update("end a leg", leg_id, {"Status": "completed"})

    async def status(self, leg_id: str) -> str | None:
        """As `TwilioApi.status`."""
        path = f"{self._calls}/{_part(leg_id)}"
        return _text(await self._http.request("look at a leg", "GET", path, repeatable=True), "status")

    async def _update(self, action: str, leg_id: str, form: Mapping[str, str]) -> None:
        path = f"{self._calls}/{_part(leg_id)}"
        await self._http.request(action, "POST", path, form=form, repeatable=True)


class CallControlApi:
    """Calls of Telnyx' Call Control applications. Raises as `CarrierHttp.request`."""

    def __init__(self, http: CarrierHttp, *, connection_id: str | None) -> None:
        self._http = http
        self._connection_id = connection_id

    async def command(self, command: Command) -> None:
        """Have ``command`` carried out, once."""
        path = f"/v2/calls/{_part(command.leg_id)}/actions/{_part(command.action)}"
        body = {**command.body, "command_id": command.command_id}
        await self._http.request(command.action, "POST", path, body=body, repeatable=True)

    async def call(
        self, *, to: str, caller_id: str, client_state: str, command_id: str, answer_timeout_s: int
    ) -> str | None:
        """Call somebody; the identifier of their leg."""
        body = {
            "connection_id": self._connection_id or "",
            "to": to,
            "from": caller_id,
            "timeout_secs": answer_timeout_s,
            "client_state": client_state,
            "command_id": command_id,
        }
        answer = await self._http.request("call somebody", "POST", "/v2/calls", body=body, repeatable=True)
        return _text(_inner(answer), "call_control_id")

    async def make_conference(self, name: str, leg_id: str, client_state: str, command_id: str) -> str:
        """Make a conference with one leg in it, which hears music until somebody comes; its identifier.
        Raises `CarrierUnavailableError` for an answer that names none."""
        body = {
            "name": name,
            "call_control_id": leg_id,
            "client_state": client_state,
            "beep_enabled": "never",
            "start_conference_on_create": True,
            "command_id": command_id,
        }
        answer = await self._http.request(
            "make a conference", "POST", "/v2/conferences", body=body, repeatable=True
        )
        found = _text(_inner(answer), "id")
        if found is None:
            raise CarrierUnavailableError("Telnyx made a conference, and did not say which.")
        return found

    async def join_conference(
        self, conference_id: str, leg_id: str, client_state: str, command_id: str
    ) -> None:
        """Put a leg into a conference, which ends when it leaves."""
        body = {
            "call_control_id": leg_id,
            "client_state": client_state,
            "beep_enabled": "never",
            "end_conference_on_exit": True,
            "command_id": command_id,
        }
        path = f"/v2/conferences/{_part(conference_id)}/actions/join"
        await self._http.request("join a conference", "POST", path, body=body, repeatable=True)

    async def is_alive(self, leg_id: str) -> bool:
        """Whether a leg is not over yet."""
        path = f"/v2/calls/{_part(leg_id)}"
        answer = await self._http.request("look at a leg", "GET", path, repeatable=True)
        return _inner(answer).get("is_alive") is True


def telnyx_http(settings: TelnyxSettings, limits: RestLimits | None = None) -> CarrierHttp:
    """The connection that both of Telnyx' interfaces share."""
    return CarrierHttp(
        carrier="Telnyx",
        base_url=settings.api_base_url,
        authorization=f"Bearer {settings.api_key}",
        gone_codes=TELNYX_GONE_CODES,
        limits=limits,
    )


# Inside ------------------------------------------------------------------------------------------------


def _part(text: str) -> str:
    return quote(text, safe="")


def _call_form(to: str, caller_id: str, status_url: str, answer_timeout_s: int) -> dict[str, str]:
    return {
        "To": to,
        "From": caller_id,
        "Timeout": str(answer_timeout_s),
        "StatusCallback": status_url,
        "StatusCallbackMethod": "POST",
    }


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _inner(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data = answer.get("data")
    return data if isinstance(data, dict) else {}


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def _code(answer: Mapping[str, Any]) -> tuple[str, str]:
    """The carrier's code and words: Twilio has one error, Telnyx a list of them."""
    errors = answer.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        error = errors[0]
        return str(error.get("code") or "")[:20], str(error.get("detail") or error.get("title") or "")
    return str(answer.get("code") or "")[:20], str(answer.get("message") or "no words")
