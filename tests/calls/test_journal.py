"""One call folded into facts, and read back from a store."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lifecycle import CallState
from sipagent.identifiers import CallId
from sipagent.realtime import ResponseUsage, TranscriptionUsage
from sipagent.realtime.session_events import (
    RealtimeResponseEnded,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
)
from sipagent.store import CallRecord, Fact, MemoryCallStore
from sipagent.telemetry import Latency
from tests.calls.events import INFO, item, response, tool_end, tool_start

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
CALL = IncomingCall(
    call_id=CallId("rtc_1"),
    webhook_id="wh_1",
    caller="+15550100123",
    dialled="+15550100000",
    sip_call_id="abc@carrier",
    sip_headers=(),
    media_security="rtp",
)


class Desk:
    """A journal and what it wrote."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.journal = CallJournal(CALL.call_id, self.facts.append, lambda: AT)
        self.journal.opened(CALL, agent="front-desk", model="gpt-realtime-2.1", configuration="c0ffee")

    async def record(self) -> CallRecord:
        store = MemoryCallStore()
        await store.open()
        await store.apply(self.facts)
        record = await store.call(CALL.call_id)
        assert record is not None
        return record


def line(number: int, position: float, text: str, *, interrupted: bool = False) -> RealtimeTranscriptLine:
    return RealtimeTranscriptLine(
        role="caller" if number % 2 else "agent",
        item_id=item(number),
        position=position,
        text=text,
        interrupted=interrupted,
        final=True,
        info=INFO,
    )


async def test_a_whole_call_reads_back_as_it_went() -> None:
    desk = Desk()
    for state in (CallState.ACCEPTING, CallState.ATTACHING, CallState.TALKING):
        desk.journal.enter(state)
    desk.journal.observe(line(2, 3.0, "second"))
    desk.journal.observe(line(1, 2.0, "first, whose transcript came late"))
    desk.journal.observe(line(2, 3.0, "second", interrupted=True))
    desk.journal.observe(tool_start())
    desk.journal.observe(tool_end())
    usage = ResponseUsage(input_tokens=10, cached_tokens=4, output_tokens=5, output_audio_tokens=3)
    desk.journal.observe(
        RealtimeResponseEnded(
            response_id=response(1),
            status="completed",
            reason=None,
            error_message=None,
            usage=usage,
            info=INFO,
        )
    )
    seconds = TranscriptionUsage(duration_s=1.5)
    desk.journal.observe(RealtimeTranscriptionUsage(item_id=item(1), usage=seconds, info=INFO))
    desk.journal.latency(Latency(name="webhook_to_accept", milliseconds=1.5))
    desk.journal.latency(Latency(name="caller_end_to_first_word", milliseconds=300))
    desk.journal.latency(Latency(name="caller_end_to_first_word", milliseconds=400))
    desk.journal.enter(CallState.ENDING)
    desk.journal.ended(EndReason.AGENT_HUNG_UP, "The agent ended the call.")

    record = await desk.record()
    assert [change.state for change in record.states] == [
        "ringing", "accepting", "attaching", "talking", "ending", "ended",
    ]  # fmt: skip
    assert [(one.text, one.interrupted) for one in record.transcript] == [
        ("first, whose transcript came late", False),
        ("second", True),
    ]
    assert [(run.name, run.output, run.is_error, run.duration_ms) for run in record.tools] == [
        ("look_up", "found", False, 12.5)
    ]
    assert [(used.kind, used.input_tokens, used.duration_s) for used in record.usage] == [
        ("response", 10, 0.0),
        ("transcription", 0, 1.5),
    ]
    assert [(one.name, one.sequence) for one in record.latencies] == [
        ("webhook_to_accept", 0),
        ("caller_end_to_first_word", 0),
        ("caller_end_to_first_word", 1),
    ]
    assert (record.summary.end_reason, record.summary.fault_owner) == ("agent_hung_up", "none")
    assert (record.summary.agent, record.configuration) == ("front-desk", "c0ffee")


async def test_a_record_knows_the_line_and_the_leg() -> None:
    facts: list[Fact] = []
    journal = CallJournal(CALL.call_id, facts.append, lambda: AT)
    leg = CarrierLeg(carrier="twilio", carrier_call_id="CA1", caller="+15550100123", dialled="+15550100000")
    journal.opened(replace(CALL, line="stream", leg=leg), agent=None, model=None, configuration="c0ffee")
    store = MemoryCallStore()
    await store.apply(facts)
    record = await store.call(CALL.call_id)
    assert record is not None
    assert (record.line, record.carrier, record.carrier_call_id) == ("stream", "twilio", "CA1")
    assert (await Desk().record()).line == "sip"


async def test_a_tool_that_never_finished_is_closed_with_the_call() -> None:
    desk = Desk()
    desk.journal.observe(tool_start("slow", 1))
    desk.journal.ended(EndReason.CALLER_HUNG_UP, "")
    record = await desk.record()
    assert [(run.output, run.is_error) for run in record.tools] == [("the call ended first", True)]


async def test_the_transfer_that_took_the_call_away_succeeded() -> None:
    desk = Desk()
    desk.journal.observe(tool_start("transfer", 1))
    desk.journal.ended(EndReason.TRANSFERRED, "")
    record = await desk.record()
    assert [(run.output, run.is_error) for run in record.tools] == [("the call left by this transfer", False)]
    assert record.summary.end_reason == "transferred"


async def test_notes_are_kept_in_order_as_json() -> None:
    desk = Desk()
    desk.journal.note("route", route="vip", why=["The caller is listed."], at=AT)
    desk.journal.note("wrap_up")
    desk.journal.note("message_taken", fields={"name": "Żółć"})
    record = await desk.record()
    assert [(note.sequence, note.kind, json.loads(note.data)) for note in record.notes] == [
        (0, "route", {"route": "vip", "why": ["The caller is listed."], "at": str(AT)}),
        (1, "wrap_up", {}),
        (2, "message_taken", {"fields": {"name": "Żółć"}}),
    ]
    assert "Żółć" in record.notes[2].data  # readable without decoding it
    assert {note.at for note in record.notes} == {AT}
