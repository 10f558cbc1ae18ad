"""Who speaks, is about to, or does something first."""

from __future__ import annotations

from sipagent.calls.floor import Floor
from sipagent.realtime.session_events import RealtimeCallerSpeechStarted, RealtimeCallerSpeechStopped
from tests.calls.events import INFO, item, tool_end, tool_start

SPEAKS = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)
STOPS = RealtimeCallerSpeechStopped(item_id=item(1), audio_end_ms=0, info=INFO)


def test_nothing_is_known_to_be_quiet_until_it_is_said() -> None:
    floor = Floor()
    assert not floor.quiet_line
    floor.quiet = True
    assert floor.quiet_line
    assert floor.silent


def test_a_caller_who_speaks_has_it() -> None:
    floor = Floor()
    floor.quiet = True
    floor.observe(SPEAKS)
    assert not floor.quiet_line
    floor.observe(STOPS)
    assert floor.silent


def test_while_tools_run_nobody_is_heard_and_yet_it_is_not_silent() -> None:
    floor = Floor()
    floor.quiet = True
    floor.observe(tool_start())
    floor.observe(tool_start("transfer", 2))
    assert floor.quiet_line
    assert not floor.silent
    assert floor.transferring
    floor.observe(tool_end("transfer", 2))
    assert not floor.transferring
    assert not floor.silent
    floor.observe(tool_end())
    assert floor.silent
