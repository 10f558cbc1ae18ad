"""Where a call's record and its carrier's reports do not agree. Pure.

We know how a call ended from our own side: that its socket closed, that a transfer was accepted. The carrier
knows what became of the caller. The verdict of a record stands as it was written, whatever comes later; what
speaks against it is said beside it, each time the record is read: reports may come minutes after the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sipagent.calls.endings import EndReason
from sipagent.calls.lifecycle import CallState
from sipagent.store import CallRecord, CarrierReported

TOLERANCE_S = 5.0
"""Two clocks, times in whole seconds, and a leg that ends a moment after its call."""

Objection = Literal["caller_stayed", "not_the_caller", "nobody_reached", "leg_went_on", "not_counted"]

_LEG_OVER = frozenset({"completed", "busy", "no_answer", "failed", "canceled"})
_NOT_REACHED = frozenset({"busy", "no_answer", "failed", "canceled"})
_CONNECTED = frozenset({"bridged", "conference_participant_join"})
"""Of any leg: somebody was put together with somebody."""
_REACHED = _CONNECTED | {"answered", "completed"}
_CALLER_LEFT = frozenset(
    {
        EndReason.CALLER_HUNG_UP,
        EndReason.CALLER_GONE,
        EndReason.TRANSFER_ABANDONED,
    }
)
_WE_HUNG_UP = frozenset(
    {
        EndReason.AGENT_HUNG_UP,
        EndReason.SESSION_LIMIT,
        EndReason.MAXIMUM_DURATION,
        EndReason.CALLER_SILENT,
        EndReason.CALLER_UNRESPONSIVE,
        EndReason.AGENT_LOOP,
        EndReason.MACHINE_CALLER,
        EndReason.HOLD_MUSIC,
        EndReason.SPEND_LIMIT,
        EndReason.HUNG_UP_BY_OPERATOR,
    }
)
"""After these nothing else is tried: the caller's leg is to end with the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierSays:
    """One thing in which the carrier's reports speak against a record."""

    objection: Objection
    words: str
    """One sentence for people."""


def carrier_says(record: CallRecord) -> tuple[CarrierSays, ...]:
    """What speaks against the ending of ``record``; () where nothing does, or nothing is known."""
    summary = record.summary
    if summary.ended_at is None or summary.end_reason is None or record.carrier_call_id is None:
        return ()
    try:
        reason = EndReason(summary.end_reason)
    except ValueError:  # a later version's
        return ()
    return tuple(_objections(record, reason, summary.ended_at))


def _objections(record: CallRecord, reason: EndReason, ended_at: datetime) -> Iterator[CarrierSays]:
    over = _leg_over(record)
    if over is not None:
        yield from _about_the_leg(record, over, reason, (over.at - ended_at).total_seconds())
    if reason is EndReason.TRANSFERRED:
        yield from _about_the_transfer(record, over, ended_at)


def _about_the_leg(
    record: CallRecord, over: CarrierReported, reason: EndReason, later_s: float
) -> Iterator[CarrierSays]:
    if later_s > TOLERANCE_S and reason in _CALLER_LEFT:
        yield CarrierSays(
            objection="caller_stayed",
            words=f"The caller had not hung up: their leg went on for {later_s:.0f} seconds.",
        )
    elif reason is EndReason.CALLER_HUNG_UP and _hung_up_by(over) == "callee":
        yield CarrierSays(
            objection="not_the_caller",
            words="It was not the caller who hung up, but the side that the carrier had connected them with.",
        )
    if later_s > TOLERANCE_S and reason in _WE_HUNG_UP:
        yield CarrierSays(
            objection="leg_went_on",
            words=f"The caller's leg went on for {later_s:.0f} seconds after the call was hung up.",
        )
    if over.kind in _NOT_REACHED and _was_talked(record):
        yield CarrierSays(
            objection="not_counted",
            words=f"There was a conversation, and the carrier calls it {over.kind}{_sip_status(over)}.",
        )


def _about_the_transfer(
    record: CallRecord, over: CarrierReported | None, ended_at: datetime
) -> Iterator[CarrierSays]:
    began = _transfer_began(record, ended_at)
    made = _legs_made_since(record, began)
    kinds = {report.kind.removeprefix("dial_") for report in made}
    kinds |= {report.kind for report in record.carrier_reports if report.at >= began} & _CONNECTED
    missed = [report for report in made if report.kind.removeprefix("dial_") in _NOT_REACHED]
    if missed and not _REACHED & kinds:
        why = next((report for report in missed if _sip_status(report)), missed[0])
        yield CarrierSays(
            objection="nobody_reached",
            words="Whom the caller was to reach was not reached: "
            f"{why.kind.removeprefix('dial_')}{_sip_status(why)}.",
        )
    elif (
        over is not None and not (made or kinds) and abs((over.at - ended_at).total_seconds()) <= TOLERANCE_S
    ):
        yield CarrierSays(
            objection="nobody_reached",
            words="The caller's leg ended with the call: perhaps nobody was reached.",
        )


def _transfer_began(record: CallRecord, ended_at: datetime) -> datetime:
    began = [state.at for state in record.states if state.state == CallState.TRANSFERRING.value]
    return began[-1] if began else ended_at


def _legs_made_since(record: CallRecord, moment: datetime) -> list[CarrierReported]:
    """The reports of other legs than the caller's that were first heard of since then: not of the one by
    which the call had come to us, which ends with the transfer."""
    first: dict[str, datetime] = {}
    for report in record.carrier_reports:
        first.setdefault(report.carrier_call_id, report.at)
    since = moment.replace(microsecond=0)  # as some carriers tell the time
    return [
        report
        for report in record.carrier_reports
        if report.carrier_call_id != record.carrier_call_id and first[report.carrier_call_id] >= since
    ]


def _leg_over(record: CallRecord) -> CarrierReported | None:
    """The report that the caller's own leg is over."""
    found: Sequence[CarrierReported] = [
        report
        for report in record.carrier_reports
        if report.carrier_call_id == record.carrier_call_id and report.kind in _LEG_OVER
    ]
    return found[-1] if found else None


def _was_talked(record: CallRecord) -> bool:
    return any(state.state == CallState.TALKING.value for state in record.states)


def _hung_up_by(report: CarrierReported) -> str | None:
    """``caller``, ``callee`` or another word, where the carrier says it."""
    detail = _data(report).get("detail")
    if not isinstance(detail, dict):
        return None
    source = detail.get("hangup_source", detail.get("HangupSource"))
    return source if isinstance(source, str) else None


def _sip_status(report: CarrierReported) -> str:
    status = _data(report).get("sip_status")
    return f" (SIP {status})" if isinstance(status, int) and not isinstance(status, bool) else ""


def _data(report: CarrierReported) -> dict[str, Any]:
    try:
        data = json.loads(report.data)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
