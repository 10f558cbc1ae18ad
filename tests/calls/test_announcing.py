"""Promises of a transfer are known by their words, and only where nothing was done about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.announcing import REPAIRS_IN_A_ROW, TransferPromises, announced_transfer
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime import RealtimeToolCallItem
from sipagent.realtime.session_events import (
    RealtimeHandoffEvent,
    RealtimeHistoryAdded,
    RealtimeResponseEnded,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeTranscriptLine,
    ResponseStatus,
    TranscriptRole,
)
from tests.calls.events import AGENT, INFO, item, response, tool_end, tool_start

PROMISES = [
    "I'll connect you now.",
    "No problem, I'll transfer you to billing.",
    "One moment, I’m connecting you with our sales team.",
    "Let me put you through.",
    "Transferring you now.",
    "Please hold while I transfer you.",
    "You're being transferred to billing now. Please hold.",
    "Thank you. I will now forward your call to the office.",
    "Einen Moment, ich verbinde Sie jetzt.",
    "Ich stelle Sie gerne zu unserer Buchhaltung durch.",
    "Kein Problem, ich leite Sie weiter.",
    "Ich werde Sie nun mit dem Verkauf verbinden.",
    "Sie werden jetzt verbunden.",
    "Le paso con ventas.",
    "Voy a pasarle con mi compañera.",
    "Te comunico ahora con facturación.",
    "Je vous mets en relation avec le service client.",
    "Je vais vous transférer vers la comptabilité.",
    "Je vous passe mon collègue.",
    "La metto in contatto con l'ufficio.",
    "Ik verbind u door met de verkoop.",
    "Vou transferi-lo para o suporte.",
    "Estou transferindo sua ligação.",
]
NO_PROMISES = [
    "Shall I connect you?",
    "I can connect you with sales.",
    "Would you like me to transfer you?",
    "I'll connect you once I have your number.",
    "If you like, I'll transfer you to billing.",
    "I'm not connecting you to anybody.",
    "I couldn't connect you.",
    "I'll forward you the invoice by email.",
    "I'll transfer you the money tomorrow.",
    "Before I connect you, what is your name?",
    "I was not able to transfer you.",
    "I connected you with the wrong person earlier.",
    "Ich kann Sie verbinden.",
    "Soll ich Sie verbinden?",
    "Wenn Sie möchten, verbinde ich Sie.",
    "Ich verbinde Sie nicht.",
    "Sobald ich die Nummer habe, leite ich Sie weiter.",
    "Je ne vous mets pas en relation.",
    "No le paso con ventas.",
    "Puedo pasarle con ventas.",
    "Ahora le paso a explicar las tarifas.",
    "Your appointment is on Tuesday.",
    "The lines are connected.",
    "",
]


@pytest.mark.parametrize("text", PROMISES)
def test_a_promise_is_known(text: str) -> None:
    found = announced_transfer(f"Of course. {text} Thank you for waiting.")
    assert found is not None
    assert found in text


@pytest.mark.parametrize("text", NO_PROMISES)
def test_offers_questions_conditions_and_refusals_are_no_promises(text: str) -> None:
    assert announced_transfer(text) is None


@given(st.text(max_size=400))
def test_any_text_can_be_looked_at(text: str) -> None:
    found = announced_transfer(text)
    assert found is None or found in text


# Within a conversation ------------------------------------------------------------------------------


def line(text: str, number: int = 1, role: TranscriptRole = "agent") -> RealtimeTranscriptLine:
    return RealtimeTranscriptLine(
        role=role, item_id=item(number), position=1.0, text=text, interrupted=False, final=True, info=INFO
    )


def started(number: int = 1) -> RealtimeResponseStarted:
    return RealtimeResponseStarted(response_id=response(number), info=INFO)


def ended(number: int = 1, status: ResponseStatus = "completed") -> RealtimeResponseEnded:
    return RealtimeResponseEnded(
        response_id=response(number), status=status, reason=None, error_message=None, usage=None, info=INFO
    )


CALLED = RealtimeHistoryAdded(
    item=RealtimeToolCallItem(
        item_id=ItemId("item_9"),
        call_id=ToolCallId("call_9"),
        name="transfer",
        arguments="{}",
        status="in_progress",
    ),
    info=INFO,
)
PROMISE = "I'll connect you now."


def found(*events: RealtimeSessionEvent, can_transfer: bool = True) -> list[str]:
    promises = TransferPromises()
    seen = [promises.observe(event, can_transfer=can_transfer) for event in events]
    return [promise for promise in seen if promise is not None]


def test_a_promise_that_nothing_followed_is_found_when_the_response_ends() -> None:
    assert found(started(), line(f"Sure. {PROMISE}"), ended()) == [PROMISE]


@pytest.mark.parametrize(
    "done",
    [CALLED, tool_start("transfer"), RealtimeHandoffEvent(from_agent=AGENT, to_agent=AGENT, info=INFO)],
    ids=["called", "started", "handed over"],
)
def test_a_response_that_used_a_tool_may_keep_its_promise_by_it(done: RealtimeSessionEvent) -> None:
    assert found(started(), line(PROMISE), done, ended()) == []


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_response_that_was_broken_off_is_let_alone(status: ResponseStatus) -> None:
    assert found(started(), line(PROMISE), ended(status=status)) == []


def test_an_agent_that_cannot_transfer_is_not_asked_to() -> None:
    assert found(started(), line(PROMISE), ended(), can_transfer=False) == []


def test_what_the_caller_says_is_no_promise() -> None:
    assert found(started(), line(PROMISE, role="caller"), ended()) == []


def test_a_line_of_an_earlier_response_that_changes_is_not_found_again() -> None:
    assert found(
        started(1), line(PROMISE, 1), ended(1), started(2), line(PROMISE, 1), line("Yes.", 2), ended(2)
    ) == [PROMISE]


def test_each_promise_is_found_once_and_a_stubborn_agent_is_left_alone_in_the_end() -> None:
    events: list[RealtimeSessionEvent] = []
    for number in range(REPAIRS_IN_A_ROW + 3):
        events += [started(number), line(PROMISE, number), ended(number)]
    assert len(found(*events)) == REPAIRS_IN_A_ROW
    events += [started(90), tool_start("transfer"), tool_end("transfer"), ended(90)]
    events += [started(91), line(PROMISE, 91), ended(91)]
    assert len(found(*events)) == REPAIRS_IN_A_ROW + 1
