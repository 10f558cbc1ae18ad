"""What carriers post as forms, read into messages; and what nobody should post."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.base import (
    HEARD,
    LONGEST_VALUE,
    Delivery,
    LegReport,
    Message,
    OfferAnswer,
    Purpose,
    ReferRequest,
    StepOutcome,
    VoiceRequest,
)
from sipagent.carrier.forms import MOST_FIELDS, MOST_SIP_HEADERS, Form, parties, read_form
from sipagent.carrier.tokens import LegToken
from sipagent.errors import WebhookBodyError, WebhookError, WebhookSignatureError
from tests.carrier.doorway import ringing
from tests.carrier.legs import CALLER, DIALLED, LEG, NOW_S, TEXML_LEG, token

NOW = datetime.fromtimestamp(NOW_S, UTC)
PURPOSES: tuple[Purpose, ...] = ("voice", "next", "status", "offer", "refer", "event")


def read(
    purpose: Purpose, form: dict[str, str], with_token: LegToken | None = None, country: str | None = None
) -> tuple[Message, ...]:
    delivery = Delivery(
        purpose=purpose, url="https://x/y", headers={}, body=urlencode(form).encode(), token=with_token
    )
    return read_form("twilio", "", delivery, NOW, country)


def outcome(**form: str) -> tuple[StepOutcome, tuple[Message, ...]]:
    first, *others = read("next", {"CallSid": "CA1", "CallStatus": "in-progress", **form}, token())
    assert isinstance(first, StepOutcome)
    return first, tuple(others)


def report(with_token: LegToken | None = None, **form: str) -> LegReport:
    [found] = read("status", {"CallSid": "CA2", **form}, with_token)
    assert isinstance(found, LegReport)
    return found


def test_a_call_rings() -> None:
    [request] = read("voice", ringing() | {"SipHeader_X-Account": "7"})
    assert isinstance(request, VoiceRequest)
    assert request.leg == LEG
    assert request.sip_headers == (("X-Account", "7"),)
    assert "From" not in request.parameters


def test_the_account_of_texml_is_kept() -> None:
    body = urlencode(ringing(TEXML_LEG, AccountSid="acc-1")).encode()
    delivery = Delivery(purpose="voice", url="", headers={}, body=body, token=None)
    [request] = read_form("telnyx", "texml", delivery, NOW, None)
    assert isinstance(request, VoiceRequest)
    assert request.leg == TEXML_LEG


@pytest.mark.parametrize(
    ("given", "country", "read_as"),
    [
        ("+15550100123", None, "+15550100123"),
        ("+1 (555) 010-0123", None, "+15550100123"),
        ("030 12345678", "DE", "+493012345678"),
        ("sip:alice@pbx.example;user=phone", None, "alice"),
        ("sip:+15550100123@carrier.example", None, "+15550100123"),
        ("client:alice", None, "client:alice"),
        ("", None, None),
        ("anonymous", None, None),
        ("Anonymous", None, None),
        ("+266696687", None, None),
        ("+7378742833", None, None),
        ("+86282452253", None, None),
        ("RESTRICTED", None, None),
        ("sip:anonymous@anonymous.invalid", None, None),
    ],
)
def test_numbers(given: str, country: str | None, read_as: str | None) -> None:
    assert parties(given, DIALLED, country) == (read_as, DIALLED)


def test_numbers_bring_no_headers_along() -> None:
    caller, dialled = parties("+15550100123>, <sip:+15550100999@x", "<sip:x@y>;tag=1", None)
    assert caller is None or ">" not in caller
    assert dialled == "x"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("completed", "ended"),
        ("answered", "ended"),
        ("busy", "busy"),
        ("no-answer", "no_answer"),
        ("failed", "failed"),
        ("canceled", "canceled"),
        ("something new", "failed"),
    ],
)
def test_how_a_dialled_leg_went(status: str, result: str) -> None:
    found, others = outcome(
        DialCallStatus=status, DialCallSid="CA9", DialSipResponseCode="503", DialCallDuration="7"
    )
    assert (found.result, found.sip_status, found.duration_s) == (result, 503, 7)
    assert not found.by_stream
    assert not found.caller_gone
    [said] = others
    assert isinstance(said, LegReport)
    assert (said.carrier_call_id, said.parent_call_id) == ("CA9", "CA1")
    assert said.kind.startswith("dial_")


@pytest.mark.parametrize("status", ["completed", "canceled", "failed", "busy", "no-answer"])
def test_nobody_is_there_any_more(status: str) -> None:
    assert outcome(CallStatus=status, DialCallStatus="failed")[0].caller_gone


def test_a_stream_that_ended_says_nothing_of_how() -> None:
    found, others = outcome(StreamSid="MZ1")
    assert found.by_stream
    assert others == ()


@pytest.mark.parametrize("code", ["", "abc", "-5", "5.5", "99999999999999", "٥٠٣"])
def test_numbers_that_are_none(code: str) -> None:
    assert outcome(DialCallStatus="failed", DialSipResponseCode=code)[0].sip_status is None


def test_reports() -> None:
    found = report(
        token(),
        CallStatus="in-progress",
        SequenceNumber="2",
        Timestamp="Tue, 22 Sep 2026 10:00:00 +0000",
        SipResponseCode="200",
        CallDuration="9",
        From=CALLER,
        ErrorMessage="x" * 2000,
    )
    assert (found.kind, found.sip_status, found.duration_s) == ("answered", 200, 9)
    assert found.at == datetime(2026, 9, 22, 10, tzinfo=UTC)
    assert found.parent_call_id == "CA1", "the token says for whom the leg was called"
    assert found.event_id == "CA2:answered:2"
    assert len(found.detail["ErrorMessage"]) == LONGEST_VALUE
    assert not any(CALLER in value for value in found.detail.values())
    assert report(token(offer="o"), CallStatus="busy").offer == "o"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2021-04-28 21:51:18.731479Z", datetime(2021, 4, 28, 21, 51, 18, 731479, tzinfo=UTC)),
        ("2024-01-15T10:30:00Z", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
        ("2024-01-15T10:30:00", datetime(2024, 1, 15, 10, 30, tzinfo=UTC)),
        ("2024-01-15T10:30:00+02:00", datetime(2024, 1, 15, 8, 30, tzinfo=UTC)),
        ("yesterday", NOW),
        ("", NOW),
    ],
)
def test_when_it_was(text: str, at: datetime) -> None:
    found = report(CallStatus="ringing", Timestamp=text).at
    assert found == at
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ({"CallStatus": "no-answer"}, "no_answer"),
        ({"CallStatus": "something-New!"}, "something_new"),
        ({"RecordingStatus": "completed", "RecordingSid": "RE1"}, "recording"),
        ({"RecordingStatus": "absent"}, "recording_absent"),
        ({"StreamEvent": "stream-started"}, "stream_started"),
        ({"ConferenceSid": "CF1", "StatusCallbackEvent": "participant-join"}, "conference_participant_join"),
    ],
)
def test_kinds_of_reports(form: dict[str, str], kind: str) -> None:
    assert report(None, **dict(form)).kind == kind


def test_reports_of_no_leg_say_nothing() -> None:
    assert read("status", {"ConferenceSid": "CF1", "StatusCallbackEvent": "conference-start"}) == ()
    assert read("status", {"CallSid": "CA1"}) == ()
    assert read("event", {"CallSid": "CA1"}) == ()


def test_a_leg_is_not_its_own_parent() -> None:
    [found] = read("status", {"CallSid": "CA1", "CallStatus": "completed"}, token())
    assert isinstance(found, LegReport)
    assert found.parent_call_id is None


@pytest.mark.parametrize(
    ("digits", "route", "taken"),
    [("1", "", True), ("2", "", False), ("", "", False), ("11", "", False), ("", HEARD, True)],
)
def test_offers(digits: str, route: str, taken: bool) -> None:
    [found] = read("offer", {"CallSid": "CA2", "Digits": digits}, token(offer="o", route=route))
    assert isinstance(found, OfferAnswer)
    assert (found.taken, found.carrier_call_id) == (taken, "CA2")
    for without in (None, token()):
        with pytest.raises(WebhookSignatureError):
            read("offer", {"CallSid": "CA2", "Digits": "1"}, without)


@pytest.mark.parametrize("target", ["tel:+15550100177", "sip:x@y", "SIPS:x@y"])
def test_refers(target: str) -> None:
    [found] = read("refer", {"CallSid": "CA1", "ReferTransferTarget": f"<{target}>"}, token())
    assert isinstance(found, ReferRequest)
    assert found.target_uri == target


@pytest.mark.parametrize("target", ["", "http://x", "sip:" + "x" * 600])
def test_refers_to_nowhere(target: str) -> None:
    with pytest.raises(WebhookBodyError):
        read("refer", {"CallSid": "CA1", "ReferTransferTarget": target}, token())


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"&".join([b"a=b"] * (MOST_FIELDS + 1))])
def test_no_form(body: bytes) -> None:
    with pytest.raises(WebhookBodyError):
        Form(body)


def test_headers_are_bounded() -> None:
    form = Form(urlencode({f"SipHeader_X-{n}": "v" * 9000 for n in range(100)}).encode())
    assert len(form.sip_headers()) == MOST_SIP_HEADERS
    assert max(len(value) for _, value in form.sip_headers()) == 2000


@given(
    purpose=st.sampled_from(PURPOSES),
    form=st.dictionaries(
        st.sampled_from(
            [
                "CallSid", "From", "To", "CallStatus", "DialCallStatus", "Timestamp", "SequenceNumber",
                "ReferTransferTarget", "StatusCallbackEvent", "ConferenceSid", "RecordingStatus",
                "SipHeader_X", "Digits", "AccountSid", "DialCallSid", "ParentCallSid", "CallDuration",
            ]
        ),
        st.text(max_size=30),
    ),
    tokened=st.none() | st.builds(token, offer=st.none() | st.just("o")),
)  # fmt: skip
def test_whatever_comes_is_read_or_refused(
    purpose: Purpose, form: dict[str, str], tokened: LegToken | None
) -> None:
    body = urlencode(form, errors="replace").encode()
    delivery = Delivery(purpose=purpose, url="", headers={}, body=body, token=tokened)
    try:
        messages = read_form("telnyx", "texml", delivery, NOW, None)
    except WebhookError:
        return
    for message in messages:
        assert "\n" not in getattr(message, "kind", "")
