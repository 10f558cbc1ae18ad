"""What a caller's telephone company reports, and the sound files that were kept of calls: facts and records
like those of `sipagent.store.records`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sipagent.identifiers import CallId

DeletionReason = Literal["expired", "missing"]
"""``expired``: its time was over, and it was deleted. ``missing``: it was not there any more by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierReported:
    """A carrier told us something about one of its legs. It is no fact of one call: reports come before,
    during and after a call's record, and of legs that never reached us. The first of (``carrier``,
    ``event_id``) counts."""

    carrier: str
    """``twilio``, ``telnyx`` or ``asterisk``."""
    carrier_call_id: str
    """The leg that it is about, as the carrier names it."""
    at: datetime
    """When it happened, as far as the carrier says so; else when it was heard of."""
    kind: str
    """``initiated``, ``ringing``, ``answered``, ``completed``, ``busy``, ``no_answer``, ``failed``,
    ``canceled``, ``recording``, ``line_ended`` (what our own end of an audio socket has to say) or another
    word."""
    data: str
    """A JSON object, such as ``{"sip_status": 486, "duration_s": 0}``; never a secret."""
    event_id: str
    """One for each event, the same when the carrier tells it again."""
    call_id: CallId | None = None
    """The call of ours that it is about, where whoever heard it knew."""
    parent_call_id: str | None = None
    """The leg that had this one made: the caller's, for somebody whom the carrier called on their behalf."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingKept:
    """The sound of a call is written to a file. It is told when the file is begun (``seconds`` None) and
    again when it is whole: a process that dies leaves no file of which nobody knows."""

    call_id: CallId
    path: str
    """Absolute."""
    host: str
    """The machine that wrote it."""
    started_at: datetime
    seconds: float | None
    """How long it is; None until it is whole."""
    consent: str
    """The words that the caller heard before."""
    keep_until: datetime
    """From then on it is to be deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingDeleted:
    """The file of a recording is there no more. The first for a recording counts; one for a recording that is
    not known changes nothing."""

    call_id: CallId
    path: str
    at: datetime
    reason: DeletionReason


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFile:
    """A recording as it is known: where its file is, or when and why it went."""

    call_id: CallId
    path: str
    host: str
    started_at: datetime
    seconds: float | None
    consent: str
    keep_until: datetime
    deleted_at: datetime | None = None
    deleted_because: DeletionReason | None = None
    """None while the file is kept."""


def in_order(reports: Iterable[CarrierReported]) -> tuple[CarrierReported, ...]:
    """``reports``, which are in the order in which they came, in the order of time.

    Some carriers tell the time in whole seconds. Beside one of those, what came within a second counts as it
    came; else an end would stand before what led to it.
    """
    found = tuple(reports)
    if any(report.at.microsecond == 0 for report in found):
        return tuple(sorted(found, key=lambda report: report.at.replace(microsecond=0)))
    return tuple(sorted(found, key=lambda report: report.at))
