"""The messages of Twilio's media streams."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.frames_json import UnreadableFrameError
from sipagent.carrier.frames_twilio import TwilioWriter, read
from sipagent.carrier.stream import (
    CallerAudio,
    CallerDigit,
    MarkPlayed,
    StreamFormat,
    StreamStart,
    StreamStopped,
)

SID = "MZ00000000000000000000000000000001"
CALL = "CA00000000000000000000000000000001"


def message(event: str, **fields: Any) -> str:
    return json.dumps({"event": event, "sequenceNumber": "7", "streamSid": SID, **fields})


def start(**changes: Any) -> str:
    contents = {
        "accountSid": "AC00000000000000000000000000000001",
        "streamSid": SID,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"t": "token", "n": 7},
        **changes,
    }
    return message("start", start=contents)


def test_a_start_says_whose_stream_it_is() -> None:
    found = read(start())
    assert found == StreamStart(
        stream_id=SID,
        carrier_call_id=CALL,
        parameters={"t": "token"},
        hears=StreamFormat(),
        plays=StreamFormat(),
    )
    assert "token" not in repr(found)


DEEP = "[" * 300 + "]" * 300


def test_what_is_nested_without_end_is_no_message() -> None:
    with pytest.raises(UnreadableFrameError):
        read('{"event": "media", "other": ' + "[" * 50_000 + "]" * 50_000 + "}")
    found = read(start().replace('"n": 7', f'"n": {DEEP}'))
    assert isinstance(found, StreamStart)
    assert found.parameters == {"t": "token"}


@pytest.mark.parametrize(
    "changes",
    [
        {"callSid": ""},
        {"callSid": "C" * 300},
        {"callSid": "CA\x00"},
        {"mediaFormat": {"encoding": "audio/x-alaw", "sampleRate": 8000, "channels": 1}},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1}},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2}},
    ],
)
def test_a_start_that_cannot_be_used_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableFrameError):
        read(start(**changes))


def test_parameters_are_bounded() -> None:
    found = read(
        start(customParameters={"t": "x" * 5000, "k" * 300: "v", **{f"p{i}": "v" for i in range(99)}})
    )
    assert isinstance(found, StreamStart)
    assert len(found.parameters) == 32
    assert "t" not in found.parameters


def test_what_comes_during_a_call() -> None:
    payload = base64.b64encode(bytes(range(160))).decode()
    media = {"track": "inbound", "chunk": "3", "timestamp": "60", "payload": payload}
    assert read(message("media", media=media)) == CallerAudio(
        audio=bytes(range(160)), sequence=3, timestamp_ms=60
    )
    assert read(message("media", media={**media, "track": "outbound"})) is None
    assert read(message("media", media={"payload": ""})) is None
    assert read(message("dtmf", dtmf={"track": "inbound_track", "digit": "#"})) == CallerDigit(digit="#")
    assert read(message("dtmf", dtmf={"digit": "12"})) is None
    assert read(message("mark", mark={"name": "m7"})) == MarkPlayed(name="m7")
    assert read(message("stop", stop={"callSid": CALL})) == StreamStopped(reason="stopped")
    assert read(message("connected", protocol="Call", version="1.0.0")) is None
    assert read(message("a new one", anything=[1, {"deep": None}])) is None
    assert read(b'{"event":"mark","mark":{"name":"m1"}}') == MarkPlayed(name="m1")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", '"media"', '{"event":7}', '{"event":"media","media":[]}']
)
def test_what_is_no_message_is_an_error_of_the_carriers(text: str) -> None:
    with pytest.raises(UnreadableFrameError):
        read(text)


@given(st.binary() | st.text())
def test_nothing_else_is_raised_whatever_comes(data: bytes | str) -> None:
    with contextlib.suppress(UnreadableFrameError):
        read(data)


@given(st.binary(min_size=1, max_size=400), st.text(max_size=40), st.text(min_size=1, max_size=40))
def test_what_is_written_is_json_as_twilio_documents_it(audio: bytes, name: str, sid: str) -> None:
    writer = TwilioWriter(StreamStart(stream_id=sid, carrier_call_id="CA1"))
    assert json.loads(writer.media(audio)) == {
        "event": "media",
        "streamSid": sid,
        "media": {"payload": base64.b64encode(audio).decode()},
    }
    assert json.loads(writer.mark(name)) == {"event": "mark", "streamSid": sid, "mark": {"name": name}}
    assert json.loads(writer.clear) == {"event": "clear", "streamSid": sid}
