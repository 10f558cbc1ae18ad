"""Values of the pretended carriers: faults, subscribers, signatures, buffers, documents, tapes."""

from __future__ import annotations

import contextlib
import io
import json
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier import (
    Busy,
    CarrierFault,
    CarrierFaults,
    Declines,
    NoAnswer,
    Person,
    SipPhone,
    Unreachable,
    parse_subscriber,
)
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.carrier.audio_socket import PacketReader, packet
from sipagent.simulator.carrier.leg import LegFacts
from sipagent.simulator.carrier.markup import MarkupError, parse_document
from sipagent.simulator.carrier.network import SipAddress
from sipagent.simulator.carrier.record import Tape
from sipagent.simulator.carrier.signing import TelnyxKey, twilio_signature
from sipagent.simulator.carrier.stream_buffer import StreamBuffer
from sipagent.simulator.carrier.stream_frames import (
    BadMessage,
    ClearBuffer,
    PlaceMark,
    PlayAudio,
    StreamFrames,
    TelnyxFrames,
    TwilioFrames,
)
from sipagent.simulator.carrier.verbs import ConnectVerb, DialVerb, GatherVerb, RedirectVerb, SayVerb
from tests.simulator.carrier.twiml import RequestValidator

# Faults


def test_faults_are_read_and_written() -> None:
    faults = CarrierFaults.parse("late=30, carrier.forged, carrier.api_500=2")
    assert str(faults) == "carrier.late=30, carrier.forged, carrier.api_500=2"
    assert faults.number(CarrierFault.LATE) == 30
    assert faults.number(CarrierFault.STREAM_CUT) is None
    assert CarrierFaults.parse("late").number(CarrierFault.LATE) == 600
    assert CarrierFault.FORGED in faults
    assert not CarrierFaults.parse("")
    both = faults | CarrierFaults.parse("late=5")
    assert both.number(CarrierFault.LATE) == 5


@pytest.mark.parametrize(
    "text", ["earthquake", "forged=1", "late=soon", "late=-1", "sip_status=200", "=3", "api_500=0"]
)
def test_faults_that_cannot_be(text: str) -> None:
    with pytest.raises(SimulatorError):
        CarrierFaults.parse(text)


# Subscribers


@pytest.mark.parametrize(
    ("text", "subscriber"),
    [
        ("busy", Busy()),
        ("no_answer", NoAnswer()),
        ("declines", Declines()),
        ("unreachable=480", Unreachable(480)),
        ("unreachable", Unreachable(404)),
        ("sip:boss@127.0.0.1:5090", SipPhone("sip:boss@127.0.0.1:5090")),
    ],
)
def test_subscribers_are_read(text: str, subscriber: Any) -> None:
    assert parse_subscriber(text) == subscriber


def test_a_person_answers_when_told() -> None:
    person = parse_subscriber("answers=2.5")
    assert isinstance(person, Person)
    assert person.answers_after_s == 2.5
    for text in ("", "perhaps", "answers=soon"):
        with pytest.raises(SimulatorError):
            parse_subscriber(text)


# Signatures


def test_twilios_published_example_is_signed_as_published() -> None:
    """The numbers of Twilio's "Webhooks security" page."""
    parameters = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_signature(url, parameters, "12345") == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("parameters", [{}, {"b": "2", "a": "ä ö &", "A": "+"}])
def test_twilios_library_agrees(parameters: dict[str, str]) -> None:
    url = "https://phone.example.com/carriers/twilio/next?t=a.b%3D"
    signature = twilio_signature(url, parameters, "a token")
    assert RequestValidator("a token").validate(url, parameters, signature)
    assert not RequestValidator("another").validate(url, parameters, signature)


def test_each_telnyx_account_has_its_own_key() -> None:
    one, other = TelnyxKey(), TelnyxKey()
    assert one.public_key != other.public_key
    assert one.sign("1", b"x") == one.sign("1", b"x")
    assert one.sign("1", b"x") != one.sign("2", b"x")


# The buffer of a stream


def test_a_mark_returns_when_its_audio_was_played() -> None:
    buffer = StreamBuffer()
    buffer.add(b"a" * 320)
    assert buffer.mark("middle") == []
    buffer.add(b"b" * 100)
    assert buffer.mark("end") == []
    assert buffer.buffered_ms == 52.5
    assert buffer.next_frame() == (b"a" * 160, [])
    frame, marks = buffer.next_frame()
    assert (frame, marks) == (b"a" * 160, [])
    frame, marks = buffer.next_frame()
    assert frame == b"b" * 100 + b"\xff" * 60
    assert marks == ["middle"]
    assert buffer.next_frame() == (None, ["end"])
    assert buffer.mark("later") == ["later"]


def test_clearing_returns_the_marks_that_wait() -> None:
    buffer = StreamBuffer()
    buffer.add(b"a" * 160)
    buffer.mark("one")
    buffer.next_frame()
    buffer.add(b"b" * 1600)
    buffer.mark("two")
    assert buffer.clear() == ["one", "two"]
    assert buffer.next_frame() == (None, [])


def test_more_than_ten_minutes_are_dropped_and_counted() -> None:
    buffer = StreamBuffer()
    buffer.add(bytes(8000 * 600))
    buffer.add(b"more")
    assert buffer.bytes_dropped == 4


# Documents


def test_a_document_is_read() -> None:
    document = parse_document(
        b"""<?xml version="1.0" encoding="UTF-8"?>
        <Response>
          <Say language="de-DE" loop="2">Guten  Tag</Say>
          <Gather numDigits="1" action="/keys"><Say>Press one</Say></Gather>
          <Dial action="/next" timeout="20" answerOnBridge="true" callerId="+15550100100">
            <Sip statusCallback="/s" statusCallbackEvent="initiated answered">sip:p@h?X-A=b</Sip>
          </Dial>
          <Connect action="/n"><Stream url="wss://h/m"><Parameter name="t" value="x"/></Stream></Connect>
          <Redirect method="GET">/else</Redirect>
        </Response>"""
    )
    say, gather, dial, connect, redirect = document.verbs
    assert isinstance(say, SayVerb)
    assert (say.text, say.times, say.language) == ("Guten Tag", 2, "de-DE")
    assert isinstance(gather, GatherVerb)
    assert gather.digits == 1
    assert isinstance(dial, DialVerb)
    assert dial.answers_on_bridge
    assert dial.timeout_s == 20
    assert dial.targets[0].report_to is not None
    assert dial.targets[0].report_to.events == {"initiated", "answered"}
    assert isinstance(connect, ConnectVerb)
    assert connect.stream.parameters == {"t": "x"}
    assert redirect == RedirectVerb(url="/else", method="GET")
    assert document.warnings == ()


def test_an_unknown_attribute_is_a_warning() -> None:
    document = parse_document(b"<Response><Say volume='11'>Hello</Say></Response>")
    assert document.warnings == ("<Say> has no attribute 'volume'",)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 12100),
        (b"<Answer/>", 12100),
        (b"<Response><Record/></Response>", 12100),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><Response/>", 12100),
        (b"<Response><Dial/></Response>", 13200),
        (b"<Response><Dial><Sip>proj@host</Sip></Dial></Response>", 13224),
        (b"<Response><Dial><Conference/></Dial></Response>", 13233),
        (b"<Response><Dial timeout='soon'>+15550100777</Dial></Response>", 12200),
        (b"<Response><Connect/></Response>", 12200),
        (b"<Response><Gather input='speech'/></Response>", 12200),
        (b"<Response>" + b" " * 70_000 + b"</Response>", 11750),
    ],
)
def test_documents_that_cannot_be_carried_out(body: bytes, code: int) -> None:
    with pytest.raises(MarkupError) as caught:
        parse_document(body)
    assert caught.value.code == code


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
def test_whatever_comes_is_a_document_or_a_mistake(body: bytes) -> None:
    with contextlib.suppress(MarkupError):
        parse_document(b"<Response>" + body + b"</Response>")
    with contextlib.suppress(MarkupError):
        parse_document(body)


@pytest.mark.parametrize("body", [b'<?xml version="1.0" encoding="nonsense"?><Response/>', b"\xff\xfe<"])
def test_an_encoding_nobody_knows_is_a_mistake(body: bytes) -> None:
    with pytest.raises(MarkupError):
        parse_document(body)


# Messages of sockets

FACTS = LegFacts(sid="CA1", caller="+15550100123", called="+15550100100", direction="inbound")


def both_carriers() -> list[StreamFrames]:
    return [
        TwilioFrames(FACTS, stream_id="MZ1", account="AC1"),
        TelnyxFrames(FACTS, stream_id="MZ1", user_id="u", client_state=""),
    ]


@given(
    st.text(max_size=200)
    | st.fixed_dictionaries(
        {"event": st.sampled_from(["media", "mark", "clear", "x"]), "streamSid": st.just("MZ1")},
        optional={
            "media": st.none() | st.dictionaries(st.just("payload"), st.text() | st.integers()),
            "mark": st.none() | st.dictionaries(st.just("name"), st.text() | st.integers()),
        },
    ).map(json.dumps)
)
def test_whatever_a_service_sends_is_understood_or_bad(text: str) -> None:
    for frames in both_carriers():
        assert isinstance(frames.read(text), PlayAudio | PlaceMark | ClearBuffer | BadMessage)


def test_a_bottomless_message_is_bad() -> None:
    for frames in both_carriers():
        assert isinstance(frames.read("[" * 100_000), BadMessage)


# SIP addresses


def test_a_sip_address_keeps_what_is_for_the_far_end() -> None:
    address = SipAddress("sip:p@h:5061;transport=tls;secure=true;edge=dublin?X-A=b%20c&User-to-User=1")
    assert address.uri == "sip:p@h:5061;transport=tls"
    assert address.secure
    assert address.headers == [("X-A", "b c"), ("User-to-User", "1")]
    assert address.complaints == []


def test_too_many_headers_are_not_sent() -> None:
    address = SipAddress(f"sip:p@h?X-A={'b' * 1024}")
    assert address.headers == []
    assert [code for code, _ in address.complaints] == [21227]
    with pytest.raises(SimulatorError):
        SipAddress("tel:+15550100777")


# Packets


def test_packets_are_put_together() -> None:
    stream = packet(0x10, b"abcd") + packet(0x03, b"5") + packet(0x00)
    reader = PacketReader()
    found = [each for byte in stream for each in reader.feed(bytes([byte]))]
    assert found == [(0x10, b"abcd"), (0x03, b"5"), (0x00, b"")]


# Tapes


def test_a_tape_knows_when_something_was_heard() -> None:
    tape = Tape()
    loud, quiet = tone((400,), seconds=0.02), b"\xff" * 160
    for number in range(10):
        tape.record(loud if number in (2, 3) else quiet, 100.0 + number * 0.02)
    assert tape.loud_s == pytest.approx(0.04)
    assert tape.last_loud_at_s == pytest.approx(100.06)
    assert tape.rms(since_s=100.03, until_s=100.07) > 1000
    assert tape.rms(until_s=100.03) == 0
    tape.record(loud, 101.0)
    assert len(tape.aligned(100.0)) == 51 * 160
    with wave.open(io.BytesIO(tape.wav())) as sound:
        assert sound.getnframes() == 51 * 160
