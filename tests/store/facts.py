"""Facts to test with: one moment per second, one call unless said otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sipagent.identifiers import CallId, ItemId, ResponseId, ToolCallId
from sipagent.store.carrier_records import CarrierReported, RecordingDeleted, RecordingKept
from sipagent.store.records import (
    CallCheckpointed,
    CallEnded,
    CallNoted,
    CallOpened,
    ConfigurationLoaded,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
    TranscriptRole,
)

CALL = CallId("rtc_one")
LEG = "CA0000000000000000000000000000000001"
FILE = "/var/lib/sipagent/rtc_one.wav"
START = datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def opened(
    call_id: str = CALL,
    *,
    second: float = 0,
    agent: str | None = "front-desk",
    line: str = "sip",
    carrier: str | None = None,
    leg: str | None = None,
) -> CallOpened:
    return CallOpened(
        call_id=CallId(call_id),
        at=at(second),
        webhook_id=f"wh_{call_id}",
        caller="+15550100123",
        dialled="+15550100000",
        agent=agent,
        model="gpt-realtime-2.1",
        sip_call_id="a84b4c76e66710",
        configuration="c0ffee",
        line=line,
        carrier=carrier,
        carrier_call_id=leg,
    )


def state(sequence: int, name: str, call_id: str = CALL) -> StateChanged:
    return StateChanged(call_id=CallId(call_id), sequence=sequence, state=name, at=at(sequence))


def line(
    item_id: str,
    position: float,
    text: str,
    *,
    call_id: str = CALL,
    role: TranscriptRole = "agent",
    interrupted: bool = False,
    second: float | None = None,
) -> TranscriptLineSaid:
    return TranscriptLineSaid(
        call_id=CallId(call_id),
        item_id=ItemId(item_id),
        position=position,
        role=role,
        text=text,
        interrupted=interrupted,
        at=at(position if second is None else second),
    )


def tool(
    tool_call_id: str = "call_1",
    *,
    output: str | None = None,
    is_error: bool = False,
    second: float = 5,
    call_id: str = CALL,
) -> ToolRan:
    return ToolRan(
        call_id=CallId(call_id),
        tool_call_id=ToolCallId(tool_call_id),
        name="next_free_slot",
        arguments='{"day": "Monday"}',
        started_at=at(second),
        output=output,
        is_error=is_error,
        duration_ms=None if output is None else 12.5,
    )


def response_tokens(response_id: str = "resp_1", *, output: int = 20, second: float = 6) -> TokensUsed:
    return TokensUsed(
        call_id=CALL,
        source_id=ResponseId(response_id),
        kind="response",
        at=at(second),
        input_tokens=100,
        cached_tokens=64,
        output_tokens=output,
        input_audio_tokens=80,
        output_audio_tokens=15,
        cached_audio_tokens=48,
    )


def transcription_seconds(item_id: str = "item_1", *, second: float = 7) -> TokensUsed:
    return TokensUsed(
        call_id=CALL, source_id=ItemId(item_id), kind="transcription", at=at(second), duration_s=1.75
    )


def latency(name: str, sequence: int, milliseconds: float) -> LatencyMeasured:
    return LatencyMeasured(call_id=CALL, name=name, sequence=sequence, milliseconds=milliseconds)


def note(
    sequence: int, kind: str = "route", data: str = '{"route":"vip"}', *, call_id: str = CALL
) -> CallNoted:
    return CallNoted(call_id=CallId(call_id), sequence=sequence, at=at(sequence), kind=kind, data=data)


def checkpoint(
    sequence: int = 0, data: str = "{}", *, call_id: str = CALL, epoch: int = 1, second: float = 8
) -> CallCheckpointed:
    return CallCheckpointed(call_id=CallId(call_id), epoch=epoch, sequence=sequence, at=at(second), data=data)


def loaded(
    fingerprint: str = "c0ffee", *, number: int = 1, second: float = 0, text: str = "version: 1\n"
) -> ConfigurationLoaded:
    return ConfigurationLoaded(
        fingerprint=fingerprint, number=number, at=at(second), text=text, summary="1 agent, 1 route"
    )


def ended(
    reason: str = "agent_hung_up", *, call_id: str = CALL, second: float = 60, owner: str = "none"
) -> CallEnded:
    return CallEnded(
        call_id=CallId(call_id),
        at=at(second),
        reason=reason,
        fault_owner=owner,
        detail="The agent said goodbye and hung up.",
    )


def report(
    kind: str = "completed",
    *,
    event_id: str = "event_1",
    second: float = 61,
    leg: str = LEG,
    carrier: str = "twilio",
    parent: str | None = None,
    call_id: str | None = None,
    data: str = '{"sip_status":200}',
) -> CarrierReported:
    return CarrierReported(
        carrier=carrier,
        carrier_call_id=leg,
        at=at(second),
        kind=kind,
        data=data,
        event_id=event_id,
        call_id=None if call_id is None else CallId(call_id),
        parent_call_id=parent,
    )


def recording(
    path: str = FILE,
    *,
    call_id: str = CALL,
    second: float = 2,
    seconds: float | None = 57.5,
    keep_s: float = 86_400,
    host: str = "one",
) -> RecordingKept:
    return RecordingKept(
        call_id=CallId(call_id),
        path=path,
        host=host,
        started_at=at(second),
        seconds=seconds,
        consent="This call is recorded.",
        keep_until=at(second + keep_s),
    )


def deleted(path: str = FILE, *, call_id: str = CALL, second: float = 90_000) -> RecordingDeleted:
    return RecordingDeleted(call_id=CallId(call_id), path=path, at=at(second), reason="expired")
