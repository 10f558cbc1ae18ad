"""What all calls of a service share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from sipagent.calls.client import CallsClient
from sipagent.calls.watch import CallLimits
from sipagent.clock import utc_now
from sipagent.identifiers import CallId
from sipagent.realtime import AttachPolicy
from sipagent.realtime.session_events import RealtimeSessionEvent
from sipagent.store import Store
from sipagent.telemetry import Metrics

CallObserver = Callable[[CallId, RealtimeSessionEvent], None]
"""Sees every session event of every call; returns quickly and never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """How calls are answered and ended. All times are in seconds."""

    answer_timeout_s: float = 15.0
    """From webhook to greeting asked for. Callers hear ringing meanwhile."""
    finish_speaking_timeout_s: float = 20.0
    """How long a hang-up or transfer waits for the agent's last words, if their end is never reported."""
    transfer_confirm_s: float = 10.0
    """A transferred call leaves us within this time, or the transfer counts as failed."""
    hang_up_timeout_s: float = 6.0
    """How long the hang-up itself may take, with its retries."""
    hang_up_for_s: float = 120.0
    """How long a hang-up is tried again that failed: meanwhile the call costs money."""
    drain_reject_status: int = 503
    """503 tells the carrier to try its next route."""
    failed_accept_reject_status: int = 503
    limits: CallLimits = field(default_factory=CallLimits)
    attach: AttachPolicy = field(default_factory=AttachPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallServices:
    """What every call of a service shares."""

    client: CallsClient
    api_key: str
    base_url: str
    metrics: Metrics
    settings: CallSettings
    observe: CallObserver
    http: aiohttp.ClientSession | None = None
    """Connections for lookups (`open_lookup_session`), shared by all calls; None opens some for each call."""
    utc_now: Callable[[], datetime] = utc_now
    """The clock that calendars go by."""
    memory: Store | None = None
    """What several processes share: whose the calls are, and what was done in them. None for one that is
    alone, and forgets its calls with its end."""
