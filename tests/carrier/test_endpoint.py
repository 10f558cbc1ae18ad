"""The carriers' door: who is let in, who is not, and what is said twice."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from sipagent.calls import Route
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.endpoint import BODY_TIMEOUT_S, FAILURES_AT_ONCE, MAXIMUM_BODY_BYTES
from sipagent.carrier.former import OVERLAP_S, Former
from sipagent.carrier.refusing import RefusingLine
from sipagent.carrier.replays import RETRY_WINDOW_S
from sipagent.carrier.tokens import LONGEST_AGE_S
from tests.carrier.doorway import QUICK, Front, doorway, ringing
from tests.carrier.legs import CALLER, CONTROL_LEG, DIALLED, LEG, NOW_S, TEXML_LEG, settings, token
from tests.carrier.signing import PUBLIC_URL, telnyx_headers, twilio_headers
from tests.support.practice import front_door

VOICE = "/carriers/twilio/voice"


def verbs(text: str) -> list[str]:
    return [child.tag for child in ElementTree.fromstring(text)]


async def test_twilio_asks_and_is_answered() -> None:
    async with doorway(settings()) as way:
        status, text = await way.twilio("voice", ringing())
        assert (status, verbs(text)) == (200, ["Dial"])
        sip = ElementTree.fromstring(text)[0][0]
        header = (sip.text or "").partition("?X-Sipagent-Leg=")[2]
        assert way.desk.tokens.leg_of([("X-Sipagent-Leg", header)], way.now_s) == LEG
        assert way.metrics.webhooks == {"twilio ok": 1}
        assert [report.kind for report in way.noted] == ["announced"]
        assert not way.front.taken, "the call comes to us by another way"


async def test_telnyx_asks_and_is_answered() -> None:
    async with doorway(settings()) as way:
        form = ringing(TEXML_LEG, AccountSid="acc-1")
        status, text = await way.texml("voice", form)
        assert (status, verbs(text)) == (200, ["Dial"])
        header = (ElementTree.fromstring(text)[0][0].text or "").partition("?X-Sipagent-Leg=")[2]
        assert way.desk.tokens.leg_of([("X-Sipagent-Leg", header)], way.now_s) == TEXML_LEG


async def test_a_second_try_gets_the_same_answer_and_has_no_second_effect() -> None:
    async with doorway(settings()) as way:
        first = await way.twilio("voice", ringing())
        way.now_s += 10
        assert await way.twilio("voice", ringing()) == first
        report = {"CallSid": "CA1", "CallStatus": "completed", "SequenceNumber": "3"}
        assert [await way.twilio("status", report) for _ in range(3)] == [(204, "")] * 3
        assert [report.kind for report in way.noted] == ["announced", "completed"]
        assert way.metrics.webhooks == {"twilio ok": 2, "twilio duplicate": 3}


async def test_an_impatient_carrier_waits_for_the_first_answer() -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(carrier: str, leg_id: str) -> list[object]:
        asked.set()
        await go_on.wait()
        return []

    async with doorway(settings(), look_up=slow) as way:  # type: ignore[arg-type]
        tries = [asyncio.create_task(way.twilio("voice", ringing())) for _ in range(3)]
        await asked.wait()
        go_on.set()
        answers = await asyncio.gather(*tries)
        assert len(set(answers)) == 1
        assert way.metrics.webhooks == {"twilio ok": 1, "twilio duplicate": 2}


async def test_a_copy_that_comes_later_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with doorway(settings()) as way:
        await way.twilio("voice", ringing())
        await way.texml("voice", ringing(TEXML_LEG))
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + RETRY_WINDOW_S + 1)
        assert (await way.twilio("voice", ringing()))[0] == 403
        assert (await way.texml("voice", ringing(TEXML_LEG)))[0] == 403, "signed anew, and said before"
        # Another request about a call that does not ring any more.
        assert (await way.twilio("voice", ringing(CallStatus="queued")))[0] == 403
        monkeypatch.undo()
        assert way.metrics.webhooks["twilio replayed"] == 1
        assert way.metrics.webhooks["telnyx replayed"] == 1
        assert way.metrics.webhooks["twilio late"] == 1
        assert len(way.noted) == 2


async def test_a_call_that_another_process_heard_of_long_ago() -> None:
    class Known:
        carrier_call_id, kind, data, event_id = "CA1", "announced", "{}", "e"
        at = datetime.fromtimestamp(NOW_S - 3600, UTC)

    async def look_up(carrier: str, leg_id: str) -> list[Known]:
        return [Known()] if leg_id == "CA1" else []

    async with doorway(settings(), look_up=look_up) as way:
        assert (await way.twilio("voice", ringing()))[0] == 403
        assert way.metrics.webhooks == {"twilio late": 1}
        assert (await way.twilio("voice", ringing(CallSid="CA2")))[0] == 200


async def test_a_store_that_does_not_answer_keeps_no_caller_waiting() -> None:
    async def never(carrier: str, leg_id: str) -> list[object]:
        await asyncio.Event().wait()
        return []

    async with doorway(settings(), look_up=never) as way:  # type: ignore[arg-type]
        async with asyncio.timeout(30):
            assert (await way.twilio("voice", ringing()))[0] == 200


async def test_forged_and_late() -> None:
    async with doorway(settings()) as way:
        body = urlencode(ringing()).encode()
        good = twilio_headers(PUBLIC_URL + VOICE, ringing())
        assert (await way.post(VOICE, body, {"Content-Type": good["content-type"]}))[0] == 403
        assert (await way.post(VOICE, body + b"&x=y", good))[0] == 403
        assert (await way.post("/carriers/twilio/status", body, good))[0] == 403
        assert (await way.twilio("voice", ringing(), auth_token="another"))[0] == 403
        texml = telnyx_headers(body, NOW_S - 301) | {"Content-Type": good["content-type"]}
        assert (await way.post("/carriers/telnyx/texml/voice", body, texml))[0] == 403
        assert way.metrics.webhooks == {"twilio bad_signature": 4, "telnyx late": 1}
        assert not way.noted


async def test_the_tokens_of_callbacks() -> None:
    form = {"CallSid": "CA1", "CallStatus": "in-progress", "DialCallStatus": "busy"}
    async with doorway(settings()) as way:
        assert (await way.twilio("next", form))[0] == 403, "none"
        assert (await way.twilio("next", form | {"CallSid": "CA2"}, token()))[0] == 403, "of another call"
        assert (await way.twilio("next", form, token(TEXML_LEG)))[0] == 403, "of another carrier"
        path = f"/carriers/twilio/next?t={way.issue(token())}x"
        headers = twilio_headers(PUBLIC_URL + path, form)
        assert (await way.post(path, urlencode(form).encode(), headers))[0] == 403, "forged"
        status, text = await way.twilio("next", form, token())
        assert (status, verbs(text)) == (200, ["Connect"])
        way.now_s += LONGEST_AGE_S + 1
        assert (await way.twilio("next", form, token(step=1)))[0] == 403
        assert way.metrics.webhooks == {"twilio bad_signature": 4, "twilio ok": 1, "twilio late": 1}


async def test_bodies_that_are_none() -> None:
    async with doorway(settings()) as way:
        for form in ({}, ringing(CallSid=""), ringing(CallSid="x" * 300), ringing(CallSid="CA\n1")):
            assert (await way.twilio("voice", form))[0] == 400
        body = b'{"data": 1}'
        headers = telnyx_headers(body, way.now_s)
        assert (await way.post("/carriers/telnyx/call-control", body, headers))[0] == 400
        big = b"a=" + b"b" * MAXIMUM_BODY_BYTES
        assert (await way.post(VOICE, big, {"x-twilio-signature": "x"}))[0] == 400
        packed = gzip.compress(urlencode(ringing()).encode())
        assert (await way.post(VOICE, packed, {"Content-Encoding": "gzip"}))[0] == 400
        assert way.metrics.webhooks["twilio bad_body"] == 6


async def test_a_body_without_a_length_is_bounded_too() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"b" * 10_000

    async with doorway(settings()) as way:
        assert way.http is not None
        async with way.http.post(way.base + VOICE, data=pieces()) as response:
            assert response.status == 400


async def test_a_slow_sender_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.carrier.endpoint.BODY_TIMEOUT_S", 0.1)
    assert BODY_TIMEOUT_S > 1
    async with doorway(settings()) as way:
        host, _, port = way.base.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST {VOICE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nCallSid".encode())
        async with asyncio.timeout(30):
            answer = await reader.read()
        assert b" 400 " in answer.splitlines()[0]
        writer.close()
        await writer.wait_closed()


async def test_whoever_forges_much_is_not_read_any_more() -> None:
    async with doorway(settings()) as way:
        strange = {"X-Forwarded-For": "203.0.113.7"}
        statuses = [(await way.post(VOICE, b"CallSid=CA1", strange))[0] for _ in range(FAILURES_AT_ONCE + 3)]
        assert statuses == [403] * FAILURES_AT_ONCE + [429] * 3
        assert way.metrics.webhooks["twilio limited"] == 3
        assert (await way.twilio("voice", ringing()))[0] == 200, "nobody else is kept out"


async def test_callbacks_of_calls_in_progress_outlast_a_new_public_url() -> None:
    async with doorway(settings()) as way:
        path = f"/carriers/twilio/next?t={way.issue(token())}"
        form = {"CallSid": LEG.carrier_call_id, "CallStatus": "in-progress", "DialCallStatus": "completed"}
        body = urlencode(form).encode()
        headers = twilio_headers("https://former.example.com" + path, form)
        assert (await way.post(path, body, headers))[0] == 403
        former = replace(settings(), public_url="https://former.example.com")
        async with CarrierDesk(
            settings(), former=Former().followed(former, settings(), way.now_s), limits=QUICK
        ) as newer:
            way.endpoint.desk = newer
            assert (await way.post(path, body, headers))[0] == 200
            form = ringing()
            headers = twilio_headers("https://former.example.com" + VOICE, form)
            body = urlencode(form).encode()
            assert (await way.post(VOICE, body, headers))[0] == 200, "the console may not know it yet"
            way.now_s += OVERLAP_S + 1
            form = ringing(replace(LEG, carrier_call_id="CA2"))
            headers = twilio_headers("https://former.example.com" + VOICE, form)
            assert (await way.post(VOICE, urlencode(form).encode(), headers))[0] == 403, "a new call"


async def test_a_forger_at_the_same_carrier_locks_nobody_out() -> None:
    """Whoever has an account at the carrier can have it send us what is not signed by our key."""
    async with doorway(settings()) as way:
        shared = {"X-Forwarded-For": "203.0.113.7"}
        form = ringing()
        signed = twilio_headers(PUBLIC_URL + VOICE, form) | shared
        assert (await way.post(VOICE, urlencode(form).encode(), signed))[0] == 200
        for _ in range(FAILURES_AT_ONCE + 3):
            assert (await way.post(VOICE, b"CallSid=CA1", shared))[0] == 403
        assert (await way.post(VOICE, urlencode(form).encode(), signed))[0] == 200


async def test_carriers_that_are_not_configured() -> None:
    async with doorway(settings(twilio=None)) as way:
        assert (await way.post(VOICE, b"", {}))[0] == 404
        way.endpoint.desk = None
        assert (await way.texml("voice", ringing(TEXML_LEG)))[0] == 404


async def test_nothing_secret_or_personal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with doorway(settings()) as way:
        await way.twilio("voice", ringing())
        await way.twilio("voice", ringing(), auth_token="another")
        form = {"CallSid": "CA1", "CallStatus": "in-progress", "DialCallStatus": "busy"}
        await way.twilio("next", form, token())
        await way.twilio("next", form, token(step=1), auth_token="another")
    text = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    ours = [line for line in text.splitlines() if "aiohttp" not in line]
    for secret in ("twilio-auth-token", "telnyx-api-key", CALLER, DIALLED, "t=1."):
        assert not any(secret in line for line in ours), secret


async def test_a_refer_may_come_twice() -> None:
    form = {
        "CallSid": "CA1",
        "CallStatus": "in-progress",
        "ReferTransferTarget": "<sip:+15550100177@carrier.example>",
    }
    async with doorway(settings()) as way:
        answers = [await way.twilio("refer", form, token()) for _ in range(2)]
        for status, text in answers:
            assert status == 200
            dial = ElementTree.fromstring(text)[0]
            assert dial[0].text == "sip:+15550100177@carrier.example"
        bad = form | {"ReferTransferTarget": "https://example.com"}
        assert (await way.twilio("refer", bad, token()))[0] == 400


async def test_call_control_is_answered_at_once() -> None:
    async with doorway(settings(telnyx_url="http://127.0.0.1:9")) as way:
        status, text = await way.event(
            "call.initiated",
            "e1",
            call_control_id=CONTROL_LEG.carrier_call_id,
            direction="incoming",
            **{"from": CALLER, "to": DIALLED},
        )
        assert (status, text) == (200, "")
        assert [report.kind for report in way.noted] == ["announced"]


@pytest.mark.parametrize(("status", "reason"), [(603, "rejected"), (486, "busy")])
async def test_a_call_that_is_refused_is_taken_for_its_record(status: int, reason: str) -> None:
    nobody = replace(front_door(), routes=(Route(reject=status),))
    async with doorway(settings(), front=Front(nobody)) as way:
        answered, text = await way.twilio("voice", ringing())
        reject = ElementTree.fromstring(text)[0]
        assert (answered, reject.tag, reject.get("reason")) == (200, "Reject", reason)
        [(call, line)] = way.front.taken
        assert call.leg == LEG
        assert (call.caller, call.dialled) == (CALLER, DIALLED)
        assert isinstance(line, RefusingLine)
