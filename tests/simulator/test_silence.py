"""Silence that lasts too long."""

from __future__ import annotations

import asyncio

from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.silence import SilenceWatch
from sipagent.simulator.timers import Timers


def watch(idle_timeout_ms: int | None) -> tuple[SilenceWatch, list[int], asyncio.Event]:
    """A watch, what it found, and a notice when it finds something. No limit of the API applies here."""
    turns = {"type": "server_vad", "idle_timeout_ms": idle_timeout_ms}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": turns}}}
    config = SessionConfig(session, session_id="sess_1", expires_at=0, on_the_phone=True)
    found: list[int] = []
    notice = asyncio.Event()

    def timed_out(since_ms: int) -> None:
        found.append(since_ms)
        notice.set()

    return SilenceWatch(config, timers=Timers(), timed_out=timed_out), found, notice


async def test_silence_is_reported_once_with_its_beginning() -> None:
    silence, found, notice = watch(20)
    loop = asyncio.get_running_loop()
    began = loop.time()
    silence.start(position_ms=700, unplayed_s=0.05)
    await asyncio.wait_for(notice.wait(), 10)
    assert loop.time() - began >= 0.069
    assert found == [750]
    assert silence.due_at_s is None


async def test_whoever_speaks_stops_the_watch_and_starting_again_begins_anew() -> None:
    silence, found, notice = watch(20)
    silence.start(position_ms=1, unplayed_s=0)
    silence.stop()
    silence.stop()
    assert silence.due_at_s is None
    silence.start(position_ms=2, unplayed_s=10)
    silence.start(position_ms=3, unplayed_s=0)
    await asyncio.wait_for(notice.wait(), 10)
    assert found == [3]


async def test_nobody_watches_unless_the_session_asks_for_it() -> None:
    silence, _, _ = watch(None)
    silence.start(position_ms=0, unplayed_s=0)
    assert silence.due_at_s is None
