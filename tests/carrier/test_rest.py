"""The carriers' APIs: what is asked, how long, how often, and what the answers mean."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from sipagent.carrier.base import Command
from sipagent.carrier.http import RestLimits
from sipagent.carrier.rest import CallControlApi, TexmlApi, TwilioApi, telnyx_http
from sipagent.carrier.settings import TelnyxSettings, TwilioSettings
from sipagent.errors import (
    CarrierError,
    CarrierLegGoneError,
    CarrierRefusedError,
    CarrierUnavailableError,
)
from tests.carrier.legs import ACCOUNT, CALLER, DIALLED, PERSON
from tests.support.web import serving

QUICK = RestLimits(try_timeout_s=1.5, total_s=2.0, first_retry_s=0.01)
HASTY = RestLimits(try_timeout_s=0.5, total_s=2.0, first_retry_s=0.01)
COMMAND = Command(leg_id="v3:a/b", action="speak", command_id="id-1", body={"payload": "Hello."})


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, Any]
    lists: list[tuple[str, str]]


@dataclass
class Api:
    """A carrier's API that answers as it is told, and the clients of it."""

    twilio: TwilioApi
    texml: TexmlApi
    control: CallControlApi
    asked: list[Asked]
    answer: Callable[[int], Awaitable[web.StreamResponse]]


async def fine(number: int) -> web.StreamResponse:
    return web.json_response(
        {"sid": "CA9", "status": "ringing", "data": {"call_control_id": "v3:z", "id": "c1"}}
    )


def failing(status: int, body: Any, times: int = 10_000) -> Callable[[int], Awaitable[web.StreamResponse]]:
    async def answer(number: int) -> web.StreamResponse:
        return await fine(number) if number >= times else web.json_response(body, status=status)

    return answer


@asynccontextmanager
async def api(limits: RestLimits = QUICK) -> AsyncIterator[Api]:
    """An API on a port of its own."""
    asked: list[Asked] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        json_body = request.content_type == "application/json" and request.can_read_body
        form = [] if json_body else [(name, str(value)) for name, value in (await request.post()).items()]
        fields = await request.json() if json_body else dict(form)
        asked.append(Asked(request.method, request.raw_path, dict(request.headers), fields, form))
        return await found.answer(len(asked) - 1)

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(handle))
        account = TwilioSettings(account_sid=ACCOUNT, auth_tokens=("first", "second"), api_base_url=url)
        twilio = TwilioApi(account, limits)
        http = telnyx_http(TelnyxSettings(api_key="KEY1", public_keys=(), api_base_url=f"{url}/"), limits)
        await stack.enter_async_context(twilio.http)
        await stack.enter_async_context(http)
        found = Api(
            twilio,
            TexmlApi(http, account="acc-1", application_id="app-1"),
            CallControlApi(http, connection_id="con-1"),
            asked,
            fine,
        )
        yield found


async def test_twilio() -> None:
    async with api() as found:
        arguments = {
            "to": PERSON,
            "caller_id": DIALLED,
            "document": "<Response/>",
            "status_url": "https://x/s",
        }
        assert await found.twilio.call(**arguments, answer_timeout_s=20) == "CA9"
        await found.twilio.redirect("CA1", "<Response><Hangup/></Response>")
        await found.twilio.end("CA1")
        assert await found.twilio.status("CA1") == "ringing"
        call, redirect, end, status = found.asked
        assert call.path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        assert call.headers["Authorization"] == "Basic " + b64encode(f"{ACCOUNT}:first".encode()).decode()
        assert call.fields["To"] == PERSON
        assert (call.fields["From"], call.fields["Timeout"]) == (DIALLED, "20")
        events = [value for name, value in call.lists if name == "StatusCallbackEvent"]
        assert events == ["initiated", "ringing", "answered", "completed"]
        assert redirect.path == end.path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls/CA1.json"
        assert redirect.fields == {"Twiml": "<Response><Hangup/></Response>"}
        assert end.fields == {"Status": "completed"}
        assert status.method == "GET"


async def test_texml() -> None:
    async with api() as found:
        arguments = {
            "to": PERSON,
            "caller_id": DIALLED,
            "document": "<Response/>",
            "status_url": "https://x/s",
        }
        assert await found.texml.call(**arguments, answer_timeout_s=20) == "CA9"
        await found.texml.redirect("v3:a/b", "<Response/>")
        await found.texml.end("v3:a")
        assert await found.texml.status("v3:a") == "ringing"
        call, redirect, end, _ = found.asked
        assert call.path == "/v2/texml/Accounts/acc-1/Calls"
        assert call.headers["Authorization"] == "Bearer KEY1"
        assert (call.fields["ApplicationSid"], call.fields["Texml"]) == ("app-1", "<Response/>")
        assert redirect.path == "/v2/texml/Accounts/acc-1/Calls/v3%3Aa%2Fb"
        assert end.fields == {"Status": "completed"}


async def test_call_control() -> None:
    async with api() as found:
        await found.control.command(COMMAND)
        leg = await found.control.call(
            to=PERSON, caller_id=DIALLED, client_state="s", command_id="id-2", answer_timeout_s=20
        )
        assert leg == "v3:z"
        assert await found.control.make_conference("room", "v3:z", "s", "id-3") == "c1"
        await found.control.join_conference("c1", "v3:a", "s", "id-4")
        assert not await found.control.is_alive("v3:a")
        command, call, made, joined, _ = found.asked
        assert command.path == "/v2/calls/v3%3Aa%2Fb/actions/speak"
        assert command.fields == {"payload": "Hello.", "command_id": "id-1"}
        assert (call.path, call.fields["connection_id"]) == ("/v2/calls", "con-1")
        assert (made.path, made.fields["call_control_id"]) == ("/v2/conferences", "v3:z")
        assert joined.path == "/v2/conferences/c1/actions/join"
        assert joined.fields["end_conference_on_exit"] is True


GONE = CarrierLegGoneError
REFUSED = CarrierRefusedError
AWAY = CarrierUnavailableError


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"code": 20404, "message": "not found"}, GONE),
        (400, {"code": 21220, "message": "Call is not in-progress."}, GONE),
        (422, {"errors": [{"code": "90018", "title": "Call has already ended"}]}, GONE),
        (422, {"errors": [{"code": "90015", "detail": "Invalid"}]}, GONE),
        (401, {"code": 20003, "message": "Authenticate"}, REFUSED),
        (400, {"code": 21211, "message": "Invalid 'To' number"}, REFUSED),
        (422, {"errors": []}, REFUSED),
        (302, {}, REFUSED),
        (400, ["no object"], REFUSED),
        (429, {}, AWAY),
        (408, {}, AWAY),
        (500, {}, AWAY),
        (503, {"code": 1}, AWAY),
    ],
)
async def test_what_answers_mean(status: int, body: Any, kind: type[CarrierError]) -> None:
    async with api() as found:
        found.answer = failing(status, body)
        errors = isinstance(body, dict) and "errors" in body
        with pytest.raises(CarrierError) as raised:
            await (found.control.command(COMMAND) if errors else found.twilio.end("CA1"))
        assert (raised.value.status, type(raised.value)) == (status, kind)


@pytest.mark.parametrize("status", [429, 500])
async def test_what_acts_once_is_asked_again(status: int) -> None:
    async with api() as found:
        found.answer = failing(status, {}, times=2)
        await found.control.command(COMMAND)
        assert len(found.asked) == 3
        assert len({asked.fields["command_id"] for asked in found.asked}) == 1


async def test_nobody_is_called_twice() -> None:
    async with api() as found:
        arguments = {"to": PERSON, "caller_id": DIALLED, "document": "", "status_url": ""}
        found.answer = failing(500, {})
        with pytest.raises(CarrierUnavailableError):
            await found.twilio.call(**arguments, answer_timeout_s=20)
        assert len(found.asked) == 1
        found.answer = failing(429, {}, times=2)
        assert await found.twilio.call(**arguments, answer_timeout_s=20) == "CA9", "429 has called nobody"


async def test_no_answer_in_time() -> None:
    async def never(number: int) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with api(HASTY) as found:
        found.answer = never
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(CarrierUnavailableError) as raised:
            await found.control.command(COMMAND)
        assert raised.value.status is None
        assert loop.time() - began < HASTY.total_s + 5.0
        assert len(found.asked) >= 2


async def test_nobody_listens() -> None:
    account = TwilioSettings(account_sid=ACCOUNT, auth_tokens=("a",), api_base_url="http://127.0.0.1:9")
    twilio = TwilioApi(account, QUICK)
    async with twilio.http:
        with pytest.raises(CarrierUnavailableError, match="cannot be reached"):
            await twilio.end("CA1")


async def test_a_lost_connection_and_a_strange_answer() -> None:
    async def cut(number: int) -> web.StreamResponse:
        raise web.HTTPOk(text="not json")

    async with api() as found:
        found.answer = cut
        assert await found.twilio.status("CA1") is None
        with pytest.raises(CarrierUnavailableError, match="did not say which"):
            await found.control.make_conference("room", "v3:z", "s", "id")


async def test_no_key_and_no_number_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="sipagent")
    async with api() as found:
        found.answer = failing(
            400, {"code": 21211, "message": f"The number {CALLER} is not valid: " + "x" * 999}
        )
        with pytest.raises(CarrierRefusedError) as raised:
            await found.twilio.end("CA1")
        said = str(raised.value) + caplog.text
        assert "21211" in said
        assert len(said) < 400
        for secret in ("first", "KEY1", CALLER, CALLER[1:], ACCOUNT):
            assert secret not in said


async def test_cancelling_is_safe() -> None:
    async def never(number: int) -> web.StreamResponse:
        arrived.set()
        await asyncio.Event().wait()
        return web.Response()

    arrived = asyncio.Event()
    async with api(RestLimits()) as found:
        found.answer = never
        asking = asyncio.create_task(found.twilio.end("CA1"))
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        found.answer = fine
        await found.twilio.end("CA1")


async def test_the_other_key_is_shown_where_one_is_not_known() -> None:
    """Nobody tells us when the second auth token of an account is promoted, and the first one is gone."""

    def basic(token: str) -> str:
        return f"Basic {b64encode(f'{ACCOUNT}:{token}'.encode()).decode()}"

    good = "second"

    async def answer(number: int) -> web.StreamResponse:
        known = it.asked[number].headers["Authorization"] == basic(good)
        return await fine(number) if known else web.json_response({"code": 20003}, status=401)

    async with api() as it:
        it.answer = answer
        called = await it.twilio.call(
            to=PERSON, caller_id=DIALLED, document="<Response/>", status_url="https://x", answer_timeout_s=20
        )
        assert called == "CA9"
        assert len(it.asked) == 2, "a call is made once"
        await it.twilio.end("CA9")
        assert len(it.asked) == 3, "it is remembered which one is good"
        good = "neither"
        with pytest.raises(CarrierRefusedError) as refused:
            await it.twilio.end("CA9")
        assert refused.value.status == 401
        assert len(it.asked) == 5
