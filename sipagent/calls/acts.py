"""What is done about a conversation beside leading it, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sipagent.calls.endings import EndReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the call's record is told."""

    kind: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SayWords:
    """Have the agent say exactly ``words``."""

    words: str
    note: Note


@dataclass(frozen=True, slots=True, kw_only=True)
class TellAgent:
    """Tell the agent ``text``, and have it speak."""

    text: str
    note: Note


@dataclass(frozen=True, slots=True, kw_only=True)
class SayGoodbye:
    """Have the agent say goodbye: ``words``, or words of its own when None."""

    words: str | None
    interruptible: bool
    note: Note | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCall:
    """End the call."""

    reason: EndReason
    detail: str
    goodbye: bool = False
    """Whether a goodbye was said before."""


Act = SayWords | TellAgent | SayGoodbye | EndCall
