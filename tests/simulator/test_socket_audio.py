"""Sessions whose audio goes over the socket, and the conversions they need."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from sipagent.audio.formats import AudioFormat
from sipagent.audio.g711 import decode_pcmu, rms_pcmu
from sipagent.audio.resample import resample
from sipagent.simulator.socket_audio import SocketDecoder, SocketEncoder
from sipagent.simulator.speech import SilentVoice
from tests.simulator.session_rig import Rig

SOCKET_SESSION: dict[str, Any] = {"type": "realtime", "model": "gpt-realtime-2.1"}
LOUD, QUIET = bytes([0x10, 0x10, 0x90, 0x90]) * 40, bytes([0xFF]) * 160
DELTA = "response.output_audio.delta"


def as_pcm(ulaw: bytes) -> bytes:
    return resample(decode_pcmu(ulaw), from_hz=8000, to_hz=24_000)


class LoudVoice:
    """A square wave, one second long, whatever is said."""

    async def speak(self, text: str) -> bytes:
        return LOUD * 50


def append(rig: Rig, audio: bytes) -> None:
    rig.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())


@pytest.mark.parametrize("spoken", list(AudioFormat))
def test_audio_survives_the_way_there_and_back_in_odd_pieces(spoken: AudioFormat) -> None:
    encoder, decoder = SocketEncoder(), SocketDecoder()
    sent = b"".join(encoder.feed(LOUD, spoken) for _ in range(50))
    assert abs(len(sent) - spoken.bytes_per_second) <= 12
    pieces = [sent[start : start + 331] for start in range(0, len(sent), 331)]
    back = b"".join(decoder.feed(piece, spoken) for piece in pieces)
    assert abs(len(back) - 8000) <= 4
    assert 0.7 < rms_pcmu(back) / rms_pcmu(LOUD) < 1.3


async def test_a_turn_over_the_socket() -> None:
    script = "turns: [It is noon.]\ncaller: {lines: ['What time is it?']}\n"
    async with Rig(script, session=SOCKET_SESSION, on_the_phone=False, voice=LoudVoice()) as rig:
        turn = QUIET * 50 + LOUD * 30 + QUIET * 40
        pcm = as_pcm(turn)
        for start in range(0, len(pcm), 9999):
            append(rig, pcm[start : start + 9999])
        await rig.client.until("response.done")
        assert len(rig.client.of("input_audio_buffer.committed")) == 1
        assert not [kind for kind in rig.client.types if kind.startswith("output_audio_buffer")]
        audio = b"".join(base64.b64decode(event["delta"]) for event in rig.client.of(DELTA))
        assert abs(len(audio) - 48_000) <= 12
        assert rig.client.last("response.done")["response"]["audio"]["output"]["format"] == {
            "type": "audio/pcm",
            "rate": 24000,
        }
        assert [line.text for line in rig.conversation.transcript] == ["What time is it?", "It is noon."]


async def test_the_client_tells_how_much_was_heard() -> None:
    async with Rig(session=SOCKET_SESSION, on_the_phone=False, voice=LoudVoice()) as rig:
        rig.send("response.create")
        done = await rig.client.until("response.done")
        item_id = done["response"]["output"][0]["id"]
        fields = {"item_id": item_id, "content_index": 0}
        rig.send("conversation.item.truncate", audio_end_ms=1001, **fields)
        assert "already shorter than 1001ms" in rig.client.last("error")["error"]["message"]
        rig.send("conversation.item.truncate", audio_end_ms=400, **fields)
        truncated = rig.client.last("conversation.item.truncated")
        assert (truncated["item_id"], truncated["audio_end_ms"]) == (item_id, 400)
        rig.send("conversation.item.retrieve", item_id=item_id)
        content = rig.client.last("conversation.item.retrieved")["item"]["content"][0]
        assert "transcript" not in content
        assert abs(len(base64.b64decode(content["audio"])) - 0.4 * 48_000) <= 12
        assert rig.conversation.transcript[0].interrupted


async def test_speech_cancels_a_response_and_leaves_the_cut_to_the_client() -> None:
    voice = SilentVoice(ms_per_character=100_000)
    async with Rig(session=SOCKET_SESSION, on_the_phone=False, voice=voice) as rig:
        rig.send("response.create")
        await rig.client.until(DELTA)
        append(rig, as_pcm(QUIET * 50 + LOUD * 10))
        done = rig.client.last("response.done")["response"]
        assert done["status_details"]["reason"] == "turn_detected"
        assert "output_audio_buffer.cleared" not in rig.client.types
        assert "transcript" in done["output"][0]["content"][0]


async def test_what_belongs_to_one_transport_is_refused_on_the_other() -> None:
    async with Rig() as phone, Rig(session=SOCKET_SESSION, on_the_phone=False) as socket:
        append(phone, bytes(160))
        socket.send("output_audio_buffer.clear")
        for rig in (phone, socket):
            assert rig.client.last("error")["error"]["code"] == "invalid_event"
