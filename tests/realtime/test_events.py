"""The events of the model and of the session: closed unions of frozen values."""

from __future__ import annotations

import dataclasses
import inspect
from types import ModuleType
from typing import get_args

import msgspec
import pytest

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import (
    agent_events,
    events,
    inputs,
    mcp_events,
    mcp_session_events,
    session_events,
    sound_events,
    turn_metrics,
)

BESIDE: dict[str, tuple[ModuleType, ...]] = {
    events.__name__: (mcp_events, sound_events),
    session_events.__name__: (agent_events, mcp_session_events, turn_metrics),
}
"""Where else the members of a union are at home."""


def members(module: ModuleType, *, but: frozenset[str] = frozenset()) -> set[type]:
    homes = {each.__name__ for each in (module, *BESIDE.get(module.__name__, ()))}
    return {
        each
        for name, each in vars(module).items()
        if inspect.isclass(each)
        and each.__module__ in homes
        and dataclasses.is_dataclass(each)
        and name not in but
    }


UNIONS = [
    (events, events.RealtimeModelEvent, frozenset({"RateLimit"})),
    (inputs, inputs.RealtimeModelSendEvent, frozenset[str]()),
    (session_events, session_events.RealtimeSessionEvent, frozenset({"RealtimeEventInfo"})),
]


@pytest.mark.parametrize(
    ("module", "union", "values"), UNIONS, ids=lambda each: getattr(each, "__name__", "")
)
def test_a_union_names_every_class_of_its_file(
    module: ModuleType, union: object, values: frozenset[str]
) -> None:
    assert set(get_args(union)) == members(module, but=values)


@pytest.mark.parametrize("union", [union for _, union, _ in UNIONS])
def test_every_member_is_frozen_slotted_and_documented(union: object) -> None:
    for each in get_args(union):
        config = each.__struct_config__ if issubclass(each, msgspec.Struct) else each.__dataclass_params__
        assert config.frozen, each
        assert hasattr(each, "__slots__"), each
        assert each.__doc__, each
        assert not each.__doc__.startswith(f"{each.__name__}("), (
            f"{each.__name__} has no docstring of its own"
        )


@pytest.mark.parametrize("union", [events.RealtimeModelEvent, session_events.RealtimeSessionEvent])
def test_types_are_told_apart_by_name(union: object) -> None:
    types = [
        field.default
        for each in get_args(union)
        for field in dataclasses.fields(each)
        if field.name == "type"
    ]
    assert len(types) == len(get_args(union))
    assert len(set(types)) == len(types)


def test_every_session_event_carries_the_context() -> None:
    for each in get_args(session_events.RealtimeSessionEvent):
        assert "info" in {field.name for field in dataclasses.fields(each)}, each


def test_the_frequent_ones_are_read_like_the_others() -> None:
    delta = events.RealtimeModelTranscriptDeltaEvent(
        item_id=ItemId("item_1"), delta="Good", response_id=ResponseId("resp_1")
    )
    assert dataclasses.asdict(delta) == {
        "item_id": "item_1",
        "delta": "Good",
        "response_id": "resp_1",
        "content_index": 0,
        "type": "transcript_delta",
    }
    assert dataclasses.replace(delta, delta="Bad").delta == "Bad"
    with pytest.raises(AttributeError):
        delta.delta = "Bad"  # type: ignore[misc]
