"""What the room shows to the others."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

from sipagent import realtime
from sipagent.realtime.events import RealtimeModelEvent
from sipagent.realtime.inputs import RealtimeModelSendEvent
from sipagent.realtime.session_events import RealtimeSessionEvent


def test_all_names_exist_and_are_sorted() -> None:
    assert realtime.__all__ == sorted(realtime.__all__)
    assert len(set(realtime.__all__)) == len(realtime.__all__)
    for name in realtime.__all__:
        assert getattr(realtime, name) is not None


def test_every_event_and_every_input_can_be_imported_from_the_door() -> None:
    wanted = {
        each.__name__
        for union in (RealtimeModelEvent, RealtimeModelSendEvent, RealtimeSessionEvent)
        for each in get_args(union)
    }
    assert wanted <= set(realtime.__all__)


def test_the_door_holds_no_logic() -> None:
    assert realtime.__file__ is not None
    tree = ast.parse(Path(realtime.__file__).read_text(encoding="utf-8"))
    for statement in tree.body:
        assert isinstance(statement, ast.Expr | ast.ImportFrom | ast.Assign), f"line {statement.lineno}"
