"""Nobody confirms for the caller."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.tools.confirming import Questions
from sipagent.realtime.session_events import RealtimeSessionEvent
from tests.calls.tools.using import (
    agent_silent,
    agent_speaks,
    agent_writes,
    caller_silent,
    caller_speaks,
    caller_writes,
    key,
    response_started,
)

ASKED = [response_started(7), agent_speaks(7)]
ANSWERED = [caller_speaks(), caller_silent()]


def asked(*events: RealtimeSessionEvent) -> Questions:
    questions = Questions()
    assert questions.consider("book", "book a", "call_1") == "ask"
    for event in events:
        questions.observe(event)
    return questions


@pytest.mark.parametrize(
    "events",
    [
        [*ASKED, *ANSWERED],
        [*ASKED, agent_silent(7), *ANSWERED],
        [*ASKED, key("1")],
        [response_started(7), agent_writes(), caller_writes()],
        # The caller broke in while it was asked.
        [*ASKED, caller_speaks(), agent_silent(7), caller_silent()],
    ],
)
def test_a_question_that_was_heard_and_answered_is_confirmed(events: list[RealtimeSessionEvent]) -> None:
    assert asked(*events).consider("book", "book a", "call_2") == "confirmed"


@pytest.mark.parametrize(
    "events",
    [
        [],
        ASKED,
        [*ASKED, caller_speaks()],
        ANSWERED,
        # What the caller says before the question answers something else.
        [*ANSWERED, *ASKED],
        [response_started(7), *ANSWERED],
        # Speech of the response that called the tool: it had not read the question.
        [agent_speaks(6), *ANSWERED],
        [caller_speaks(), *ASKED, caller_silent()],
        [response_started(7), caller_writes()],
        [key("1"), *ASKED],
        [caller_writes(), response_started(7), agent_writes()],
        # On the line, words on their way to the caller are no question yet.
        [response_started(7), agent_writes(), *ANSWERED],
    ],
)
def test_anything_less_is_not(events: list[RealtimeSessionEvent]) -> None:
    assert asked(*events).consider("book", "book a", "call_2") == "wait"


def test_other_arguments_are_another_question() -> None:
    questions = asked(*ASKED, *ANSWERED)
    assert questions.consider("book", "book b", "call_2") == "ask"
    assert questions.consider("book", "book a", "call_3") == "ask"


def test_a_yes_counts_once() -> None:
    questions = asked(*ASKED, *ANSWERED)
    assert questions.consider("book", "book a", "call_2") == "confirmed"
    assert questions.consider("book", "book a", "call_3") == "ask"


def test_a_call_that_is_told_twice_does_not_confirm_itself() -> None:
    questions = asked(*ASKED)
    assert questions.consider("book", "book a", "call_2") == "wait"
    for event in ANSWERED:
        questions.observe(event)
    assert questions.consider("book", "book a", "call_1") == "wait"
    assert questions.consider("book", "book a", "call_2") == "wait"
    assert questions.consider("book", "book a", "call_3") == "confirmed"


def test_each_tool_has_a_question_of_its_own() -> None:
    questions = asked()
    assert questions.consider("cancel", "cancel a", "call_2") == "ask"
    for event in [*ASKED, *ANSWERED]:
        questions.observe(event)
    assert questions.consider("book", "book a", "call_3") == "confirmed"
    assert questions.consider("cancel", "cancel a", "call_4") == "confirmed"


MODELS_OWN = st.sampled_from(
    [
        response_started(7),
        response_started(8),
        agent_speaks(7),
        agent_speaks(8),
        agent_silent(7),
        agent_writes(),
    ]
)


@given(st.lists(MODELS_OWN, max_size=20))
def test_whatever_the_model_does_by_itself_is_no_answer(events: list[RealtimeSessionEvent]) -> None:
    assert asked(*events).consider("book", "book a", "call_2") == "wait"
