"""Who speaks, is about to, or does something first."""

from __future__ import annotations

from sipagent.calls.floor import Floor
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeSessionEvent,
)
from tests.calls.events import INFO, item, tool_end, tool_start

SPEAKS = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)
STOPS = RealtimeCallerSpeechStopped(item_id=item(1), audio_end_ms=0, info=INFO)


def after(*events: RealtimeSessionEvent, quiet: bool = True) -> tuple[bool, bool, bool]:
    """Whether nobody is heard, nothing goes on, and the caller is on the way to somebody else."""
    floor = Floor()
    floor.quiet = quiet
    for event in events:
        floor.observe(event)
    return floor.quiet_line, floor.silent, floor.transferring


def test_nothing_is_known_to_be_quiet_until_it_is_said() -> None:
    floor = Floor()
    assert not floor.quiet_line
    assert after(quiet=False) == (False, False, False)
    assert after() == (True, True, False)


def test_a_caller_who_speaks_has_it() -> None:
    assert after(SPEAKS) == (False, False, False)
    assert after(SPEAKS, STOPS) == (True, True, False)


def test_while_tools_run_nobody_is_heard_and_yet_it_is_not_silent() -> None:
    both = (tool_start(), tool_start("transfer", 2))
    assert after(*both) == (True, False, True)
    assert after(*both, tool_end("transfer", 2)) == (True, False, False)
    assert after(*both, tool_end("transfer", 2), tool_end()) == (True, True, False)
