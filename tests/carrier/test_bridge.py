"""A bridge between a carrier's stream and a session, over a real socket to a pretended server."""

from __future__ import annotations

import asyncio
import base64

import pytest

from sipagent.audio.g711 import decode_pcmu, encode_pcmu
from sipagent.carrier.bridge import Bridge
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.stream import StreamFault, StreamFormat, StreamStopped
from sipagent.realtime import (
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelPlaybackEvent,
)
from tests.carrier.bridged import SPEECH_STARTED, audio_delta, audio_done, bridged
from tests.carrier.pretended_stream import PretendedStream
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S
from tests.support.eventually import eventually

SPEECH = bytes(range(1, 121)) * 200
"""Three seconds."""


async def test_the_session_speaks_what_the_carrier_speaks() -> None:
    ulaw, alaw = {"type": "audio/pcmu"}, {"type": "audio/pcma"}
    for hears, plays, formats in (
        (StreamFormat(), StreamFormat(), (ulaw, ulaw)),
        (StreamFormat(encoding="g711_alaw"), StreamFormat(), (alaw, ulaw)),
        (StreamFormat(encoding="pcm16", rate_hz=16000), StreamFormat(encoding="g711_alaw"), (ulaw, alaw)),
    ):
        stream = PretendedStream(hears=hears, plays=plays)
        async with bridged(stream) as it:
            audio = it.update["session"]["audio"]
            assert (audio["input"]["format"], audio["output"]["format"]) == formats
            assert it.update["session"]["model"]


async def test_g711_passes_untouched_both_ways() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        for at in range(0, 1600, 160):
            stream.speak(SPEECH[at : at + 160])
        assert await it.appended(1600) == SPEECH[:1600]
        await it.peer.send(messages.response_created(), audio_delta(SPEECH[:1600]), audio_done())
        await eventually(lambda: stream.heard == SPEECH[:1600])


async def test_linear_audio_is_converted_both_ways() -> None:
    linear = StreamFormat(encoding="pcm16", rate_hz=8000)
    stream = PretendedStream(hears=linear, plays=linear, confirms=False, lead_ms=40)
    async with bridged(stream) as it:
        pcm = decode_pcmu(SPEECH[:1600])
        for at in range(0, len(pcm), 333):  # half samples too
            stream.speak(pcm[at : at + 333])
        assert await it.appended(1600) == encode_pcmu(pcm)
        await it.peer.send(audio_delta(SPEECH[:1600]), audio_done())
        await eventually(lambda: stream.heard == pcm)


async def test_pieces_shorter_than_a_sample_make_no_messages() -> None:
    stream = PretendedStream(hears=StreamFormat(encoding="pcm16", rate_hz=16000))
    async with bridged(stream) as it:
        for _ in range(40):
            stream.speak(b"\x00")
            await asyncio.sleep(0.002)
        sizes: list[int] = []
        while sum(sizes) < 9:
            message = await it.peer.receive("input_audio_buffer.append")
            sizes.append(len(base64.b64decode(message["audio"])))
        assert all(sizes)


async def test_one_frame_is_not_kept_waiting_for_another() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        for at in range(0, 800, 160):
            stream.speak(SPEECH[at : at + 160])
            message = await it.peer.receive("input_audio_buffer.append")
            assert base64.b64decode(message["audio"]) == SPEECH[at : at + 160]


async def test_an_interruption_cuts_the_caller_and_the_conversation_at_the_same_place() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        await it.peer.send(messages.response_created(), audio_delta(SPEECH), audio_done())
        await it.recorder.first(RealtimeModelPlaybackEvent)
        await asyncio.sleep(0.7)
        await it.peer.send(SPEECH_STARTED)
        truncate = await it.peer.receive("conversation.item.truncate")
        await it.recorder.first(RealtimeModelAudioInterruptedEvent)
        assert len(stream.clears) == 1
        heard = stream.heard
        assert SPEECH.startswith(heard)
        assert truncate["item_id"] == "item_1"
        assert abs(truncate["audio_end_ms"] - len(heard) / 8) <= 40
        assert 600 <= truncate["audio_end_ms"] <= 1500
        # What still comes of it is not heard; what comes of the next is.
        await it.peer.send(audio_delta(SPEECH[:160]), messages.response_done(status="cancelled"))
        await it.peer.send(messages.response_created("resp_2"))
        await it.peer.send(audio_delta(SPEECH[:320], item_id="item_2", response_id="resp_2"))
        await it.peer.send(audio_done(item_id="item_2", response_id="resp_2"))
        await eventually(lambda: stream.heard == heard + SPEECH[:320])


async def test_the_session_hears_when_all_was_played() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        began = asyncio.get_running_loop().time()
        await it.peer.send(messages.response_created(), audio_delta(SPEECH[:4000]), audio_done())
        await it.peer.send(messages.response_done())
        await it.recorder.until(lambda: len(it.recorder.all(RealtimeModelPlaybackEvent)) == 2)
        assert [event.change for event in it.recorder.all(RealtimeModelPlaybackEvent)] == [
            "started",
            "stopped",
        ]
        assert asyncio.get_running_loop().time() - began >= 0.48
        assert len(stream.heard) >= 4000 - 16, "a millisecond is not worth waiting for"
        assert SPEECH.startswith(stream.heard)


async def test_keys_reach_the_session_those_before_it_too() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        for digit in "12#":
            stream.press(digit)
        await it.recorder.until(lambda: len(it.recorder.all(RealtimeModelDtmfEvent)) == 3)
        events = it.recorder.all(RealtimeModelDtmfEvent)
        assert [event.digit for event in events] == ["1", "2", "#"]
        assert all(event.received_at for event in events)


@pytest.mark.parametrize("keep_early", [True, False])
async def test_what_is_said_before_the_session_is_kept_where_the_caller_speaks_first(
    keep_early: bool,
) -> None:
    stream = PretendedStream()
    early, late = b"\x01" * 160, b"\x02" * 160

    with Pacer() as pacer:
        bridge = Bridge(stream, pacer=pacer)
        model = bridge.new_model(keep_early=keep_early)
        for _ in range(120):
            stream.speak(early)
        stream.press("7")
        sent: list[bytes] = []
        pressed: list[str] = []

        async def send(event: object) -> None:
            sent.append(event.audio)  # type: ignore[attr-defined]

        async def press(digit: str, *, received_at: float) -> None:
            pressed.append(digit)

        model.send_event = send  # type: ignore[method-assign]
        model.key_pressed = press  # type: ignore[method-assign, assignment]
        running = asyncio.create_task(bridge.run())
        bridge.agent.connected()
        stream.speak(late)
        await eventually(lambda: b"".join(sent).endswith(late) and pressed == ["7"])
        assert b"".join(sent) == (early * 99 + late if keep_early else late)
        stream.stop()
        await running
    assert bridge.lost_frames == (1 if keep_early else 0, 0)


async def test_a_model_that_takes_nothing_costs_the_eldest_frames() -> None:
    stream = PretendedStream()
    with Pacer() as pacer:
        bridge = Bridge(stream, pacer=pacer)
        model = bridge.new_model(keep_early=True)
        taken: list[bytes] = []
        free = asyncio.Event()

        async def send(event: object) -> None:
            taken.append(event.audio)  # type: ignore[attr-defined]
            await free.wait()

        model.send_event = send  # type: ignore[method-assign]
        running = asyncio.create_task(bridge.run())
        bridge.agent.connected()
        frames = [bytes((number,)) * 160 for number in range(150)]
        stream.speak(frames[0])
        await eventually(lambda: taken)
        for frame in frames[1:]:
            stream.speak(frame)
        assert bridge.lost_frames == (49, 0)
        free.set()
        await eventually(lambda: len(taken) == 2)
        assert taken[1] == b"".join(frames[50:])
        stream.stop()
        await running


async def test_a_caller_who_hangs_up_ends_the_session_as_a_call_that_is_over() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        stream.stop()
        async with asyncio.timeout(PATIENCE_S):
            await it.running
        last = it.recorder.all(RealtimeModelConnectionStatusEvent)[-1]
        assert (last.status, last.cause) == ("disconnected", "call_over")
        assert isinstance(it.recorder.events[-1], RealtimeModelEndOfStreamEvent)
        assert (await it.peer.gone())[0] == 1000
        assert it.bridge.stopped == StreamStopped(reason="stopped")
        assert it.bridge.session_end is None


async def test_a_caller_who_hangs_up_before_the_session_ends_it_as_soon_as_it_is_there() -> None:
    stream = PretendedStream()
    with Pacer() as pacer:
        bridge = Bridge(stream, pacer=pacer)
        running = asyncio.create_task(bridge.run())
        stream.stop()
        await asyncio.sleep(0.05)
        assert not running.done()
        bridge.abandon()
        async with asyncio.timeout(PATIENCE_S):
            await running


async def test_a_session_that_is_lost_leaves_the_caller_on_the_line() -> None:
    for end in ("drop", "close"):
        stream = PretendedStream()
        async with bridged(stream) as it:
            await it.peer.send(messages.response_created(), audio_delta(SPEECH))
            await it.recorder.first(RealtimeModelPlaybackEvent)
            if end == "drop":
                it.peer.drop()
            else:
                await it.peer.close(1000)
            await it.recorder.first(RealtimeModelEndOfStreamEvent)
            last = it.recorder.all(RealtimeModelConnectionStatusEvent)[-1]
            assert (last.status, last.cause) == ("disconnected", "lost"), end
            assert it.bridge.session_end == "lost"
            assert it.bridge.stopped is None
            stream.speak(bytes(160))  # goes nowhere, and does no harm
            stream.press("1")
            stream.stop()
            async with asyncio.timeout(PATIENCE_S):
                await it.running


class Listener:
    """Hears when the caller said what."""

    def __init__(self) -> None:
        self.said: list[float] = []

    def caller_said(self, audio: bytes, at_s: float) -> None:
        self.said.append(at_s)

    def agent_said(self, audio: bytes, at_s: float) -> None:
        raise AssertionError("nobody speaks")

    def agent_cut(self, at_s: float) -> None:
        raise AssertionError("nobody speaks")


async def test_who_begins_to_record_in_the_middle_knows_what_was_held_up() -> None:
    stream, tap = PretendedStream(), Listener()
    with Pacer() as pacer:
        bridge = Bridge(stream, pacer=pacer)
        bridge.expect_recording()
        now = asyncio.get_running_loop().time
        began = now()
        stream.speak(bytes(160), timestamp_ms=1000)
        bridge.record_to(tap)
        await asyncio.sleep(0.2)
        stream.speak(bytes(160), timestamp_ms=1020)
        assert tap.said == [pytest.approx(began, abs=0.02)]
        bridge.record_to(None)
        stream.speak(bytes(160), timestamp_ms=1040)
        assert len(tap.said) == 1


async def test_faults_of_the_carrier_are_told_and_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        for number in range(9):
            stream.say(StreamFault(detail=f"fault {number}"))
        assert sum("reports a fault" in record.message for record in caplog.records) == 5
        stream.speak(bytes(160))
        assert await it.appended(160) == bytes(160)


async def test_cancelling_a_bridge_ends_its_session() -> None:
    stream = PretendedStream()
    async with bridged(stream) as it:
        it.running.cancel()
        await asyncio.wait([it.running])
        assert it.running.cancelled()
        assert it.recorder.all(RealtimeModelConnectionStatusEvent)[-1].cause == "call_over"
