"""The carriers' own APIs.

Sources: https://www.twilio.com/docs/voice/api/call-resource, https://developers.telnyx.com/api-reference
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from sipagent.carrier.base import Command
from sipagent.carrier.http import CarrierHttp, RestLimits
from sipagent.carrier.settings import TelnyxSettings, TwilioSettings
from sipagent.errors import (
    CarrierUnavailableError,
)

TWILIO_GONE_CODES = frozenset({"20404", "21220"})
"""Not found; not in progress, so that nothing can be done with it any more."""
TELNYX_GONE_CODES = frozenset({"10005", "10015", "90015", "90018"})
"""Not found; a call control id that is none, or whose call has ended."""
_EVENTS = ("initiated", "ringing", "answered", "completed")


class TwilioApi:
    """Calls of one Twilio account. Raises as `CarrierHttp.request`."""

    def __init__(self, settings: TwilioSettings, limits: RestLimits | None = None) -> None:
        self.http = CarrierHttp(
            carrier="Twilio",
            base_url=settings.api_base_url,
            authorizations=[_basic(settings.account_sid, token) for token in settings.auth_tokens],
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
        authorizations=[f"Bearer {settings.api_key}"],
        gone_codes=TELNYX_GONE_CODES,
        limits=limits,
    )


# Inside ------------------------------------------------------------------------------------------------


def _basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


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


def _inner(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    data = answer.get("data")
    return data if isinstance(data, dict) else {}


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None
