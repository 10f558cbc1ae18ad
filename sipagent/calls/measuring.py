"""How long one call makes its caller wait: into its record, and into the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sipagent.calls.journal import CallJournal
from sipagent.calls.profile import CallTool
from sipagent.realtime.session_events import RealtimeSessionEvent, RealtimeToolEnd
from sipagent.telemetry import CallTimeline, Latency, Metrics, Point

_CALL_TOOLS = frozenset(tool.value for tool in CallTool)


class CallMeasures:
    """The measures of one call. Moments are in ``loop.time()`` seconds."""

    def __init__(self, journal: CallJournal, metrics: Metrics, *, received_at: float) -> None:
        """``received_at`` is when the webhook came."""
        self._journal = journal
        self._metrics = metrics
        self._timeline = CallTimeline()
        self._timeline.mark("webhook_received", received_at)

    def reached(self, point: Point) -> None:
        """The call has come to ``point`` now."""
        self._measured(self._timeline.mark(point, asyncio.get_running_loop().time()))

    def observe(self, event: RealtimeSessionEvent, now: float) -> None:
        """Take in one event of the session."""
        if isinstance(event, RealtimeToolEnd) and event.tool.name in _CALL_TOOLS:
            return  # how long a call tool takes is how long the agent's last words are: no measure of a tool
        self._measured(self._timeline.observe(event, now))

    def _measured(self, latencies: Iterable[Latency]) -> None:
        for latency in latencies:
            self._journal.latency(latency)
            self._metrics.latency(latency)
