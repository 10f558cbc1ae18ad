"""The messages of Telnyx's media streams."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.frames_json import UnreadableFrameError
from sipagent.carrier.frames_telnyx import TelnyxReader, TelnyxWriter
from sipagent.carrier.stream import (
    CallerAudio,
    CallerDigit,
    MarkPlayed,
    StreamFault,
    StreamFormat,
    StreamStart,
    StreamStopped,
)

STREAM = "5b1a2c3d-0000-4000-8000-000000000001"
CALL = "v3:leg-1"


def message(event: str, **fields: Any) -> str:
    return json.dumps({"event": event, "sequence_number": "4", "stream_id": STREAM, **fields})


def start(encoding: str = "PCMU", rate: int = 8000, channels: int = 1, **changes: Any) -> str:
    contents = {
        "call_control_id": CALL,
        "from": "+15550100123",
        "to": "+15550100100",
        "client_state": "aGV5",
        "custom_parameters": {"t": "token"},
        "media_format": {"encoding": encoding, "sample_rate": rate, "channels": channels},
        **changes,
    }
    return message("start", start=contents)


def media(audio: bytes) -> str:
    payload = base64.b64encode(audio).decode()
    return message("media", media={"track": "inbound", "chunk": "2", "timestamp": "5", "payload": payload})


@pytest.mark.parametrize(
    ("encoding", "rate", "hears"),
    [
        ("PCMU", 8000, StreamFormat(encoding="g711_ulaw")),
        ("pcma", 8000, StreamFormat(encoding="g711_alaw")),
        ("L16", 16000, StreamFormat(encoding="pcm16", rate_hz=16000)),
    ],
)
def test_the_callers_format_is_the_one_of_their_network(
    encoding: str, rate: int, hears: StreamFormat
) -> None:
    assert TelnyxReader().read(start(encoding, rate)) == StreamStart(
        stream_id=STREAM, carrier_call_id=CALL, parameters={"t": "token"}, hears=hears, plays=StreamFormat()
    )


def test_a_second_start_changes_nothing() -> None:
    reader = TelnyxReader()
    assert isinstance(reader.read(start()), StreamStart)
    assert reader.read(start("L16", 16000)) is None
    assert reader.read(media(b"\x01\x02")) == CallerAudio(audio=b"\x01\x02", sequence=2, timestamp_ms=5)


def test_what_is_nested_without_end_is_no_message() -> None:
    with pytest.raises(UnreadableFrameError):
        TelnyxReader().read('{"event": "media", "other": ' + "[" * 50_000 + "]" * 50_000 + "}")


@pytest.mark.parametrize(
    ("encoding", "rate", "channels"),
    [("OPUS", 16000, 1), ("G722", 8000, 1), ("PCMU", 16000, 1), ("L16", 44100, 1), ("PCMU", 8000, 2)],
)
def test_formats_that_we_do_not_speak_are_errors(encoding: str, rate: int, channels: int) -> None:
    with pytest.raises(UnreadableFrameError):
        TelnyxReader().read(start(encoding, rate, channels))


def test_a_start_without_an_id_is_an_error() -> None:
    with pytest.raises(UnreadableFrameError):
        TelnyxReader().read(start(call_control_id=""))
    with pytest.raises(UnreadableFrameError):
        TelnyxReader().read(message("start"))


def test_linear_audio_comes_and_goes_in_network_order() -> None:
    reader = TelnyxReader(StreamFormat(encoding="pcm16", rate_hz=16000))
    found = reader.read(start("L16", 16000))
    assert isinstance(found, StreamStart)
    assert reader.read(media(b"\x01\x02\x03\x04\x05")) == CallerAudio(
        audio=b"\x02\x01\x04\x03", sequence=2, timestamp_ms=5
    )
    written = json.loads(TelnyxWriter(found).media(b"\x02\x01\x04\x03"))
    assert base64.b64decode(written["media"]["payload"]) == b"\x01\x02\x03\x04"


def test_what_comes_during_a_call() -> None:
    reader = TelnyxReader()
    reader.read(start("PCMA"))
    assert reader.read(media(b"\xd5" * 160)) == CallerAudio(audio=b"\xd5" * 160, sequence=2, timestamp_ms=5)
    assert reader.read(message("dtmf", dtmf={"digit": "5"})) == CallerDigit(digit="5")
    assert reader.read(message("mark", mark={"name": "m1"})) == MarkPlayed(name="m1")
    assert reader.read(message("stop", stop={"call_control_id": CALL})) == StreamStopped(reason="stopped")
    fault = reader.read(
        message("error", payload={"code": 100003, "title": "malformed_frame", "detail": "x" * 999})
    )
    assert isinstance(fault, StreamFault)
    assert fault.detail.startswith("100003 malformed_frame xxx")
    assert len(fault.detail) == 300
    assert reader.read(message("connected", version="1.0.0")) is None
    assert reader.read(message("something new")) is None


@given(st.binary() | st.text())
def test_nothing_else_is_raised_whatever_comes(data: bytes | str) -> None:
    with contextlib.suppress(UnreadableFrameError):
        TelnyxReader().read(data)


@given(st.binary(min_size=1, max_size=400), st.text(max_size=40))
def test_what_is_written_is_json_as_telnyx_documents_it(audio: bytes, name: str) -> None:
    writer = TelnyxWriter(StreamStart(stream_id=STREAM, carrier_call_id=CALL))
    payload = base64.b64encode(audio).decode()
    assert json.loads(writer.media(audio)) == {"event": "media", "media": {"payload": payload}}
    assert json.loads(writer.mark(name)) == {"event": "mark", "mark": {"name": name}}
    assert json.loads(writer.clear) == {"event": "clear"}
