from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeEventInfo,
    RealtimeSessionEvent,
    RealtimeToolEnd,
)
from sipagent.realtime.tools import FunctionTool, ToolContext
from sipagent.telemetry import CallTimeline, Latency, LatencyName, Point

INFO = RealtimeEventInfo(context=RunContextWrapper(context=None))
CALLER_STARTS = RealtimeCallerSpeechStarted(item_id=ItemId("item_1"), audio_start_ms=0, info=INFO)
CALLER_STOPS = RealtimeCallerSpeechStopped(item_id=ItemId("item_1"), audio_end_ms=900, info=INFO)
AGENT_STARTS = RealtimeAgentSpeechStarted(response_id=ResponseId("resp_1"), info=INFO)
AGENT_STOPS = RealtimeAgentSpeechStopped(response_id=ResponseId("resp_1"), info=INFO)

ANSWERED: list[tuple[Point, float]] = [
    ("webhook_received", 100.0),
    ("accept_asked", 100.002),
    ("accepted", 100.302),
    ("attached", 100.802),
    ("greeting_asked", 100.803),
]


def rounded(latencies: tuple[Latency, ...]) -> list[tuple[LatencyName, float]]:
    return [(latency.name, round(latency.milliseconds, 3)) for latency in latencies]


def answered() -> CallTimeline:
    timeline = CallTimeline()
    for point, now in ANSWERED:
        timeline.mark(point, now)
    return timeline


def measured(
    timeline: CallTimeline, *events: tuple[RealtimeSessionEvent, float]
) -> list[tuple[LatencyName, float]]:
    return [found for event, now in events for found in rounded(timeline.observe(event, now))]


def test_answering_is_measured_step_by_step() -> None:
    timeline = CallTimeline()
    found = [rounded(timeline.mark(point, now)) for point, now in ANSWERED]
    assert found == [
        [],
        [("webhook_to_accept", 2.0)],
        [("accept", 300.0)],
        [("accept_to_attached", 500.0)],
        [("webhook_to_greeting_asked", 803.0)],
    ]


def test_a_point_counts_once() -> None:
    timeline = answered()
    assert timeline.mark("attached", 200.0) == ()
    assert timeline.mark("webhook_received", 200.0) == ()
    assert measured(timeline, (AGENT_STARTS, 101.0)) == [("webhook_to_first_word", 1000.0)]


def test_a_point_whose_start_is_unknown_measures_nothing() -> None:
    timeline = CallTimeline()
    assert timeline.mark("accepted", 1.0) == ()
    assert timeline.mark("greeting_asked", 2.0) == ()
    assert measured(timeline, (AGENT_STARTS, 3.0)) == []


def test_the_first_word_is_measured_once_and_answers_no_turn() -> None:
    found = measured(
        answered(),
        (CALLER_STARTS, 101.0),
        (CALLER_STOPS, 101.4),
        (AGENT_STARTS, 101.5),
        (AGENT_STOPS, 103.0),
        (AGENT_STARTS, 104.0),
    )
    assert found == [("webhook_to_first_word", 1500.0)]


def test_without_a_greeting_the_first_word_answers_the_caller() -> None:
    timeline = CallTimeline()
    timeline.mark("webhook_received", 100.0)
    found = measured(timeline, (CALLER_STARTS, 102.0), (CALLER_STOPS, 103.0), (AGENT_STARTS, 103.7))
    assert found == [("webhook_to_first_word", 3700.0), ("caller_end_to_first_word", 700.0)]


def test_every_turn_is_measured_from_the_callers_last_word() -> None:
    timeline = answered()
    measured(timeline, (AGENT_STARTS, 101.0), (AGENT_STOPS, 102.0))
    found = measured(
        timeline,
        (CALLER_STARTS, 103.0),
        (CALLER_STOPS, 104.0),
        (AGENT_STARTS, 104.6),
        (AGENT_STOPS, 105.0),
        (AGENT_STARTS, 105.1),  # goes on, after a tool
        (CALLER_STARTS, 105.5),  # barges in
        (CALLER_STOPS, 106.5),
        (AGENT_STARTS, 107.0),
    )
    assert found == [("caller_end_to_first_word", 600.0), ("caller_end_to_first_word", 500.0)]


def test_a_caller_who_goes_on_speaking_has_not_ended() -> None:
    timeline = answered()
    measured(timeline, (AGENT_STARTS, 101.0))
    assert measured(timeline, (CALLER_STOPS, 104.0), (CALLER_STARTS, 104.5), (AGENT_STARTS, 104.6)) == []
    assert measured(timeline, (CALLER_STOPS, 106.0), (AGENT_STARTS, 106.25)) == [
        ("caller_end_to_first_word", 250.0)
    ]


def test_a_tool_says_itself_how_long_it_took() -> None:
    async def nothing(context: ToolContext[Any], arguments: str) -> str:
        return ""

    event = RealtimeToolEnd(
        agent=RealtimeAgent(name="front-desk"),
        tool=FunctionTool(
            name="next_free_slot", description="", params_json_schema={}, on_invoke_tool=nothing
        ),
        arguments="{}",
        output="nine",
        output_text="nine",
        is_error=False,
        duration_ms=12.5,
        tool_call_id=ToolCallId("call_1"),
        info=INFO,
    )
    assert measured(answered(), (event, 103.0)) == [("tool_time", 12.5)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([CALLER_STARTS, CALLER_STOPS, AGENT_STARTS, AGENT_STOPS]),
            st.floats(0, 1000, allow_nan=False),
        )
    )
)
def test_whatever_comes_in_whatever_order_no_wait_is_negative(
    events: list[tuple[RealtimeSessionEvent, float]],
) -> None:
    timeline = answered()
    found = measured(timeline, *events)
    assert all(milliseconds >= 0 for _, milliseconds in found)
    assert sum(name == "webhook_to_first_word" for name, _ in found) <= 1
    turns = sum(event is CALLER_STOPS for event, _ in events)
    assert sum(name == "caller_end_to_first_word" for name, _ in found) <= turns


@pytest.mark.parametrize("event", [AGENT_STOPS, CALLER_STARTS, CALLER_STOPS])
def test_other_events_complete_nothing(event: RealtimeSessionEvent) -> None:
    assert answered().observe(event, 101.0) == ()
