"""The line of a caller whose audio passes through us, as a call uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from sipagent.calls.endings import Ending, EndReason
from sipagent.calls.line import CarrierSide, Line
from sipagent.calls.preparation import CallSession
from sipagent.calls.profile import AgentProfile, Greeting, Recording
from sipagent.calls.template import Template
from sipagent.carrier import agent_voice
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.recording import KeptRecording
from sipagent.carrier.stream import MarkPlayed, StreamFormat, StreamStopped
from sipagent.carrier.stream_line import LineOutcome, LineSettings, StreamLine, outcome_of
from sipagent.errors import CallControlRefusedError, CallGoneError
from sipagent.identifiers import CallId, ItemId
from sipagent.realtime import CarriedCallModel, RealtimeAgent
from tests.carrier.pretended_stream import PretendedStream
from tests.support.eventually import eventually

CALL = CallId("twilio:CA1:0")
NO_SESSION = cast(CallSession, None)


@dataclass
class Side:
    """A carrier that remembers what it was asked."""

    sent_to: list[str] = field(default_factory=list)

    async def send_to(self, target_uri: str) -> None:
        self.sent_to.append(target_uri)


@dataclass(kw_only=True)
class Lined:
    line: StreamLine
    stream: PretendedStream
    told: list[tuple[LineOutcome, EndReason | None, bool]]
    """With whether the stream was still open then."""
    kept: list[KeptRecording]
    running: asyncio.Task[None]


@asynccontextmanager
async def lined(*, carrier: Any = None, stream: PretendedStream | None = None) -> AsyncIterator[Lined]:
    stream = stream or PretendedStream()
    told: list[tuple[LineOutcome, EndReason | None, bool]] = []
    kept: list[KeptRecording] = []

    def tell(outcome: LineOutcome, ending: Ending | None) -> None:
        told.append((outcome, None if ending is None else ending.reason, not stream.closed.is_set()))

    with Pacer() as pacer:
        settings = LineSettings(pacer=pacer, kept=kept.append)
        line = StreamLine(stream, settings, call_id=CALL, carrier=carrier, told=tell)
        a_line: Line = line
        assert a_line.kind == "stream"
        running = asyncio.create_task(line.run())
        try:
            yield Lined(line=line, stream=stream, told=told, kept=kept, running=running)
        finally:
            running.cancel()
            await asyncio.wait([running])


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def profile(**changes: Any) -> AgentProfile:
    return AgentProfile(name="desk", agent=RealtimeAgent(name="desk"), settings={}, **changes)


def ending(reason: EndReason) -> Ending:
    return Ending(reason=reason, detail="")


async def test_to_hang_up_is_to_close_the_stream_after_saying_how_it_went() -> None:
    async with lined() as it:
        await it.line.accept(NO_SESSION, deadline=0)
        it.line.model(profile())
        await it.line.hang_up(ending(EndReason.AGENT_HUNG_UP))
        assert it.told == [("ended", EndReason.AGENT_HUNG_UP, True)]
        async with asyncio.timeout(30):
            await it.stream.closed.wait()
        it.line.close(ending(EndReason.AGENT_HUNG_UP))
        async with asyncio.timeout(30):
            await it.running
        assert it.line.outcome == "ended"
        assert len(it.told) == 1


async def test_a_caller_who_is_gone_cannot_be_answered_or_hung_up() -> None:
    async with lined() as it:
        it.stream.stop()
        with pytest.raises(CallGoneError):
            await it.line.accept(NO_SESSION, deadline=0)
        with pytest.raises(CallGoneError):
            await it.line.hang_up(ending(EndReason.AGENT_HUNG_UP))
        with pytest.raises(CallGoneError):
            await it.line.refer("tel:+15550100001")
        it.line.close(ending(EndReason.CALLER_GONE))
        async with asyncio.timeout(30):
            await it.running
        assert [outcome for outcome, *_ in it.told] == ["ended"]


async def test_a_refused_call_goes_on_with_its_plan() -> None:
    async with lined() as it:
        await it.line.reject(503, deadline=0)
        it.line.close(ending(EndReason.REJECTED_FULL))
        async with asyncio.timeout(30):
            await it.running
        assert it.told == [("rejected", None, True)]
        assert it.stream.closed.is_set()


async def test_a_carrier_with_a_door_is_asked_for_transfers() -> None:
    side = Side()
    async with lined(carrier=cast(CarrierSide, side)) as it:
        await it.line.refer("tel:+15550100001")
        assert side.sent_to == ["tel:+15550100001"]
    async with lined() as it:
        with pytest.raises(CallControlRefusedError):
            await it.line.refer("tel:+15550100001")


async def test_the_model_is_one_for_this_caller() -> None:
    stream = PretendedStream(hears=StreamFormat(encoding="g711_alaw"))
    async with lined(stream=stream) as it:
        model = it.line.model(profile(greeting=Greeting(text=Template("Hello."))))
        assert isinstance(model, CarriedCallModel)
        config = it.line.model_config(NO_SESSION)
        assert config["initial_model_settings"] == {
            "input_audio_format": "g711_alaw",
            "output_audio_format": "g711_ulaw",
        }
        assert config["playback_tracker"] is it.line.bridge.agent


async def test_nothing_is_recorded_before_consent_and_nothing_without_a_recording(tmp_path: Path) -> None:
    recording = Recording(consent=Template("Recorded."), folder=tmp_path, keep_days=1)
    async with lined() as it:
        it.line.model(profile())
        it.line.consented("Recorded.")
        it.line.close(ending(EndReason.AGENT_HUNG_UP))
        async with asyncio.timeout(30):
            await it.running
    assert names(tmp_path) == []
    async with lined() as it:
        it.line.model(profile(recording=recording))
        it.stream.speak(b"\x10" * 160)
        await asyncio.sleep(0.05)
        assert names(tmp_path) == []
        it.line.consented("Recorded.")
        it.line.consented("Recorded.")
        it.stream.speak(b"\x10" * 160)
        await eventually(lambda: it.kept)
        it.stream.stop()
        it.line.close(ending(EndReason.CALLER_HUNG_UP))
        async with asyncio.timeout(30):
            await it.running
        assert [each.seconds is None for each in it.kept] == [True, False]
    assert [name[-4:] for name in names(tmp_path)] == [".wav"]


@pytest.mark.parametrize("then", ["confirmed", "interrupted", "interrupted late", "hung up"])
async def test_what_the_carrier_has_not_confirmed_is_no_consent_yet(
    tmp_path: Path, then: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recording = Recording(consent=Template("Recorded."), folder=tmp_path, keep_days=1)
    async with lined() as it:
        it.line.model(profile(recording=recording))
        agent = it.line.bridge.agent
        it.stream.mute_marks = True
        agent.play(ItemId("item_1"), 0, bytes(320))
        agent.finish(ItemId("item_1"), 0)
        await eventually(lambda: agent.get_state()["elapsed_ms"] == 40.0)
        it.line.consented("Recorded.")
        match then:
            case "confirmed":
                assert it.kept == []
                it.stream.say(MarkPlayed(name=it.stream.last_mark))
            case "interrupted":
                mark = it.stream.last_mark
                agent.on_interrupted()
                it.stream.say(MarkPlayed(name=mark))
            case "interrupted late":
                monkeypatch.setattr(agent_voice, "MOST_ROUND_TRIP_S", 0.0)
                mark = it.stream.last_mark
                agent.on_interrupted()
                await asyncio.sleep(0.01)
                it.stream.say(MarkPlayed(name=mark))
            case _:
                it.stream.stop()
                it.stream.say(MarkPlayed(name=it.stream.last_mark))
        if then in ("confirmed", "interrupted"):
            await eventually(lambda: it.kept)
        else:
            await asyncio.sleep(0.05)
            assert it.kept == []
            assert names(tmp_path) == []
    assert ("was not recorded" in caplog.text) == (then in ("interrupted late", "hung up"))


async def test_a_carrier_that_confirms_nothing_is_believed_while_it_takes_what_it_is_sent(
    tmp_path: Path,
) -> None:
    recording = Recording(consent=Template("Recorded."), folder=tmp_path, keep_days=1)
    for takes in (False, True):
        async with lined(stream=PretendedStream(confirms=False)) as it:
            it.line.model(profile(recording=recording))
            it.stream.can_send = takes
            it.line.consented("Recorded.")
            await asyncio.sleep(0.05)
            assert bool(it.kept) == takes


async def test_cancelling_a_line_ends_its_recording_in_order(tmp_path: Path) -> None:
    recording = Recording(consent=Template("Recorded."), folder=tmp_path, keep_days=1)
    async with lined() as it:
        it.line.model(profile(recording=recording))
        it.line.consented("Recorded.")
        await eventually(lambda: it.kept)
        it.running.cancel()
        await asyncio.wait([it.running])
        assert it.kept[-1].seconds is not None


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_ending_means_something_for_the_caller(reason: EndReason) -> None:
    left_alone = {
        EndReason.CONNECTION_LOST,
        EndReason.ATTACH_FAILED,
        EndReason.MODEL_SILENT,
        EndReason.MODEL_FAILED,
        EndReason.INTERNAL_ERROR,
        EndReason.SERVICE_STOPPED,
        EndReason.OPERATOR_CODE_FAILED,
    }
    wanted = {
        EndReason.AGENT_HUNG_UP,
        EndReason.CALLER_HUNG_UP,
        EndReason.TRANSFERRED,
        EndReason.CALLER_SILENT,
        EndReason.MAXIMUM_DURATION,
        EndReason.HUNG_UP_BY_OPERATOR,
        EndReason.SPEND_LIMIT,
    }
    outcome = outcome_of(ending(reason))
    if reason in left_alone:
        assert outcome == "failed"
    elif reason in wanted:
        assert outcome == "ended"
    elif reason.value.startswith("rejected"):
        assert outcome == "rejected"


def test_a_call_that_was_let_go_of_is_one_that_failed() -> None:
    assert outcome_of(None) == "failed"


async def test_consent_that_is_known_when_the_caller_has_left_begins_no_recording(tmp_path: Path) -> None:
    recording = Recording(consent=Template("Recorded."), folder=tmp_path, keep_days=1)
    async with lined() as it:
        it.line.model(profile(recording=recording))
        it.stream.stop()
        it.line.bridge.abandon()
        async with asyncio.timeout(30):
            await it.running
        before = asyncio.all_tasks()
        it.line.consented("Recorded.")
        assert asyncio.all_tasks() == before, "nobody would end it"
        it.line.close(ending(EndReason.CALLER_HUNG_UP))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("stopped", "outcome"),
    [("stopped", "ended"), ("closed", "ended"), ("lost", "failed"), ("protocol", "failed")],
)
async def test_a_socket_that_breaks_is_no_caller_who_hung_up(stopped: Any, outcome: LineOutcome) -> None:
    async with lined() as it:
        it.stream.say(StreamStopped(reason=stopped))
        it.line.close(ending(EndReason.CALLER_HUNG_UP))
        async with asyncio.timeout(30):
            await it.running
        assert [told for told, *_ in it.told] == [outcome]


def test_who_was_told_goodbye_is_not_called_by_the_next_step() -> None:
    stopped = Ending(reason=EndReason.SERVICE_STOPPED, detail="", goodbye=True)
    assert outcome_of(stopped) == "ended"
