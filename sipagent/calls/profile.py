"""Who answers a call: an agent, its first words, its settings and what it may do with the call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings


class CallTool(StrEnum):
    """Tools that act on the telephone call itself."""

    HANG_UP = "hang_up"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTarget:
    """Where a call may be sent. The model sees ``name`` and ``description``, never ``uri``."""

    name: str
    uri: str
    """``tel:+15550100001`` or ``sip:user@host``."""
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProfile:
    """One agent of the configuration, ready to answer."""

    name: str
    agent: RealtimeAgent[Any]
    """With its function tools, without the call tools: those are made for each call."""
    settings: RealtimeSessionModelSettings
    """Model, voice, formats, turn detection, truncation…"""
    greeting: str | None = None
    """Spoken word for word as soon as the call is attached; None lets the caller speak first."""
    call_tools: tuple[CallTool, ...] = ()
    transfer_targets: tuple[TransferTarget, ...] = ()
