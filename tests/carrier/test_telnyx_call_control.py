"""Call Control: what events mean, and which commands follow."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.base import (
    HEARD,
    Command,
    ConnectStream,
    Delivery,
    DialNumber,
    DialSip,
    HangUp,
    Instruction,
    JoinConference,
    LegAnswered,
    LegReport,
    Message,
    OfferAnswer,
    OfferCall,
    RejectLeg,
    SayAndHangUp,
    StepOutcome,
    VoiceRequest,
    WordsSpoken,
)
from sipagent.carrier.desk import tokens_of
from sipagent.carrier.plan import AFTER_THE_LAST, Planner
from sipagent.carrier.telnyx import TelnyxSignatures
from sipagent.carrier.telnyx_call_control import CallControl, client_state, commands
from sipagent.carrier.tokens import LONGEST_AGE_S, LegToken
from sipagent.errors import WebhookBodyError, WebhookLateError
from tests.carrier.legs import CALLER, CONTROL_LEG, DIALLED, LEG, NOW_S, PERSON, settings, token
from tests.carrier.signing import TELNYX_PUBLIC_KEY, telnyx_headers

NOW = datetime.fromtimestamp(NOW_S, UTC)
SETTINGS = settings()
TOKENS = tokens_of(SETTINGS)
CONTROL = CallControl(TelnyxSignatures([TELNYX_PUBLIC_KEY]), TOKENS)
PLANS = Planner(SETTINGS, TOKENS)
OWN = CONTROL_LEG.carrier_call_id
OTHER = "v3:other"


def delivery(kind: str, event_id: str = "e1", **payload: Any) -> Delivery:
    event = {"event_type": kind, "id": event_id, "occurred_at": "2026-09-22T10:00:00Z", "payload": payload}
    return Delivery(
        purpose="event", url="", headers={}, body=json.dumps({"data": event}).encode(), token=None
    )


def read(kind: str, leg: str = OWN, of: LegToken | None = None, **payload: Any) -> tuple[Message, ...]:
    if of is not None:
        payload["client_state"] = client_state(TOKENS.issue(of))
    return CONTROL.read(delivery(kind, call_control_id=leg, **payload), NOW, None)


def own(step: int = 0, **changes: Any) -> LegToken:
    return token(CONTROL_LEG, step=step, **changes)


def test_a_call_rings() -> None:
    headers = [{"name": "X-Account", "value": "7"}, {"name": 1}, "x"]
    parties: dict[str, Any] = {"from": CALLER, "to": DIALLED}
    [request] = read("call.initiated", direction="incoming", custom_headers=headers, **parties)
    assert isinstance(request, VoiceRequest)
    assert request.leg == CONTROL_LEG
    assert request.event_id == "e1"
    assert request.sip_headers == (("X-Account", "7"),)


def test_what_events_mean() -> None:
    answered, _ = read("call.answered", of=own())
    assert isinstance(answered, LegAnswered)
    spoken, _ = read("call.speak.ended", of=own(3))
    assert isinstance(spoken, WordsSpoken)
    stopped, _ = read("streaming.stopped", of=own(1))
    assert isinstance(stopped, StepOutcome)
    assert (stopped.result, stopped.by_stream) == ("ended", True)
    failed, _ = read("streaming.failed", of=own(1))
    assert isinstance(failed, StepOutcome)
    assert failed.result == "failed"
    [hung_up] = read("call.hangup", of=own(), hangup_cause="normal_clearing")
    assert isinstance(hung_up, LegReport)
    assert (hung_up.kind, hung_up.parent_call_id) == ("completed", None)
    assert hung_up.at == datetime(2026, 9, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cause", "sip", "result", "kind"),
    [
        ("normal_clearing", None, "ended", "completed"),
        ("normal_clearing", "200", "ended", "completed"),
        ("normal_clearing", "503", "failed", "failed"),
        ("time_limit", None, "ended", "completed"),
        ("user_busy", "486", "busy", "busy"),
        ("timeout", None, "no_answer", "no_answer"),
        ("no_answer", "480", "no_answer", "no_answer"),
        ("originator_cancel", "487", "canceled", "canceled"),
        ("call_rejected", "603", "rejected", "failed"),
        ("not_found", "404", "failed", "failed"),
        ("unspecified", "500", "failed", "failed"),
        (None, None, "failed", "failed"),
        ("normal_clearing", "no number", "ended", "completed"),
    ],
)
def test_how_a_leg_that_was_called_ends(cause: str | None, sip: str | None, result: str, kind: str) -> None:
    outcome, report = read("call.hangup", OTHER, own(), hangup_cause=cause, sip_hangup_cause=sip)
    assert isinstance(outcome, StepOutcome)
    assert (outcome.leg, outcome.result, outcome.leg_follows) == (CONTROL_LEG, result, True)
    assert isinstance(report, LegReport)
    assert (report.kind, report.parent_call_id) == (kind, OWN)


def test_whoever_was_met_in_a_conference_takes_the_caller_along() -> None:
    outcome, _ = read("call.hangup", OTHER, own(AFTER_THE_LAST), hangup_cause="normal_clearing")
    assert isinstance(outcome, StepOutcome)
    assert isinstance(PLANS.after(outcome, NOW_S), HangUp)


def test_offers() -> None:
    offered = own(offer="o")
    for digits, taken in (("1", True), ("2", False), ("", False)):
        answer, report = read("call.gather.ended", OTHER, offered, digits=digits)
        assert isinstance(answer, OfferAnswer)
        assert (answer.taken, answer.carrier_call_id) == (taken, OTHER)
        assert isinstance(report, LegReport)
        assert report.offer == "o"
    assert len(read("call.speak.ended", OTHER, offered)) == 1, "the words before the question"
    heard, _ = read("call.speak.ended", OTHER, own(offer="o", route=HEARD), status="completed")
    assert isinstance(heard, OfferAnswer)
    assert heard.taken
    left, _ = read("call.speak.ended", OTHER, own(offer="o", route=HEARD), status="call_hangup")
    assert isinstance(left, OfferAnswer)
    assert not left.taken
    assert len(read("call.hangup", OTHER, offered, hangup_cause="user_busy")) == 1
    assert len(read("streaming.stopped", OWN, offered)) == 1, "the caller was taken out of it"


def test_a_state_that_is_not_ours_is_no_reason_to_act() -> None:
    late = LegToken(leg=CONTROL_LEG, route="r", step=0, issued_at=NOW_S - LONGEST_AGE_S - 1)
    for state in ("", "no base64", b64encode(b"theirs").decode(), client_state(TOKENS.issue(late))):
        [report] = read("call.answered", client_state=state)
        assert isinstance(report, LegReport)
        assert report.kind == "answered"


@pytest.mark.parametrize("kind", ["fax.received", "message.received", ""])
def test_other_events(kind: str) -> None:
    assert read(kind) == ()


@pytest.mark.parametrize("leg", ["", "x" * 500, "a\nb", "é", None, 5.5, []])
def test_legs_that_are_none(leg: Any) -> None:
    assert read("call.answered", leg) == ()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data":1}', b'{"data":{"event_type":"x","id":"y","payload":[]}}', b"[" * 9000]
)
def test_bodies_that_are_no_event(body: bytes) -> None:
    with pytest.raises(WebhookBodyError):
        CONTROL.read(Delivery(purpose="event", url="", headers={}, body=body, token=None), NOW, None)


PAYLOADS = st.dictionaries(
    st.sampled_from(
        ["call_control_id", "client_state", "direction", "from", "to", "digits", "custom_headers"]
    ),
    st.none() | st.text(max_size=20) | st.integers() | st.lists(st.text(max_size=3), max_size=2),
)


@given(kind=st.sampled_from(["call.initiated", "call.hangup", "streaming.stopped"]), payload=PAYLOADS)
def test_whatever_comes_is_read(kind: str, payload: dict[str, Any]) -> None:
    CONTROL.read(delivery(kind, **payload), NOW, None)


def test_signatures_and_second_tries() -> None:
    one = delivery("call.answered", "e7", call_control_id=OWN)
    signed = Delivery(
        purpose="event", url="", headers=telnyx_headers(one.body, NOW_S), body=one.body, token=None
    )
    CONTROL.verify(signed, NOW_S)
    with pytest.raises(WebhookLateError):
        CONTROL.verify(signed, NOW_S + 301)
    assert CONTROL.fingerprint(signed) == CONTROL.fingerprint(one)
    assert CONTROL.fingerprint(delivery("call.answered", "e8")) != CONTROL.fingerprint(one)


# Commands ------------------------------------------------------------------------------------------------


def command(instruction: Instruction, *, answered: bool = True) -> Command:
    [found] = commands(instruction, CONTROL_LEG, answered)
    return found


def test_a_leg_is_answered_first() -> None:
    first = PLANS.begin(CONTROL_LEG, "r", NOW_S)
    assert isinstance(first, DialSip)
    answer = CONTROL.answer(first, CONTROL_LEG, answered=False)
    assert (answer.status, answer.body) == (200, "")
    [told] = answer.commands
    assert (told.action, dict(told.body)) == ("answer", {"client_state": client_state(first.callbacks.token)})
    assert CONTROL.answer(None, CONTROL_LEG, answered=True).commands == ()


def test_the_api_is_dialled_with_our_header() -> None:
    first = PLANS.begin(CONTROL_LEG, "r", NOW_S)
    assert isinstance(first, DialSip)
    told = command(first)
    assert told.action == "transfer"
    assert told.body["to"] == "sip:proj_demo@sip.api.openai.com;transport=tls"
    assert told.body["sip_transport_protocol"] == "TLS"
    assert told.body["media_encryption"] == "SRTP"
    assert told.body["custom_headers"] == [{"name": "X-Sipagent-Leg", "value": first.callbacks.token}]
    assert told.body["target_leg_client_state"] == told.body["client_state"]
    assert TOKENS.leg_of([("X-Sipagent-Leg", first.callbacks.token)], NOW_S) == CONTROL_LEG


def test_the_other_steps() -> None:
    outcome = StepOutcome(leg=CONTROL_LEG, token=own(0), result="failed")
    stream = PLANS.after(outcome, NOW_S)
    assert isinstance(stream, ConnectStream)
    told = command(stream)
    assert told.action == "streaming_start"
    assert told.body["stream_url"] == "wss://phone.example.com/carriers/telnyx/media"
    assert told.body["custom_parameters"] == [{"name": "t", "value": stream.callbacks.token}]
    assert told.body["stream_bidirectional_mode"] == "rtp"
    call = PLANS.again(own(2), NOW_S)
    assert isinstance(call, DialNumber)
    told = command(call)
    assert (told.action, told.body["to"], told.body["from"]) == ("transfer", PERSON, DIALLED)
    say = PLANS.again(own(3), NOW_S)
    assert isinstance(say, SayAndHangUp)
    told = command(say)
    assert (told.action, told.body["payload"], told.body["language"]) == ("speak", say.words, "en-GB")
    assert command(RejectLeg(busy=True), answered=False).body["cause"] == "USER_BUSY"
    assert command(RejectLeg(busy=False), answered=False).body["cause"] == "CALL_REJECTED"
    assert command(HangUp()).action == "hangup"
    with pytest.raises(AssertionError):
        command(JoinConference(name="x"))


def test_an_offer_asks() -> None:
    callbacks = PLANS.callbacks(CONTROL_LEG, "", 0, NOW_S, "o")
    offer = OfferCall(
        briefing="Ann.", question="Press 1.", language=None, answer_timeout_s=20, callbacks=callbacks
    )
    told = command(offer)
    assert (told.action, told.body["payload"], told.body["maximum_digits"]) == (
        "gather_using_speak",
        "Ann. Press 1.",
        1,
    )
    silent = OfferCall(briefing="Ann.", question="", language=None, answer_timeout_s=20, callbacks=callbacks)
    assert command(silent).action == "speak"


def test_a_timeout_is_one_that_telnyx_takes() -> None:
    callbacks = PLANS.callbacks(CONTROL_LEG, "", 0, NOW_S)
    for asked, told in ((1, 5), (30, 30), (900, 120)):
        dial = DialNumber(number=PERSON, caller_id=None, answer_timeout_s=asked, callbacks=callbacks)
        assert command(dial).body["timeout_secs"] == told
        assert "from" not in command(dial).body


def test_the_same_command_has_the_same_identifier_whoever_gives_it() -> None:
    one, later = PLANS.again(own(2), NOW_S), PLANS.again(own(2), NOW_S + 60)
    assert command(one).command_id == command(later).command_id
    others = [
        command(PLANS.again(own(0), NOW_S)),
        command(PLANS.refer(own(2), "tel:+15550100177", NOW_S)),
        command(HangUp()),
        commands(one, LEG, answered=True)[0],
    ]
    assert len({command(one).command_id, *(other.command_id for other in others)}) == 5
