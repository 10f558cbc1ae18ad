"""What a model reports, as a session tells it: lines, turns, speech, and when all of it was heard."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime import (
    RealtimeAgent,
    RealtimeAgentEndEvent,
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeAgentStartEvent,
    RealtimeAudio,
    RealtimeAudioEnd,
    RealtimeAudioInterrupted,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeConnectionLost,
    RealtimeConnectionRestored,
    RealtimeDtmfReceived,
    RealtimeError,
    RealtimeEventInfo,
    RealtimeHistoryAdded,
    RealtimeHistoryUpdated,
    RealtimeInputAudioTimeoutTriggered,
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
    RealtimeRateLimitsUpdated,
    RealtimeRawModelEvent,
    RealtimeResponseEnded,
    RealtimeResponseRequested,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeTranscriptDelta,
    RealtimeTranscriptionFailed,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
    RealtimeUnknownEvent,
    ResponseUsage,
    RunContextWrapper,
    TranscriptionUsage,
)
from sipagent.realtime.events import (
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelInputAudioTimeoutTriggeredEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelSessionEvent,
    RealtimeModelTranscriptDoneEvent,
)
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    RealtimeToolCallItem,
    UserMessageItem,
    text_of,
)
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.mcp_items import RealtimeMcpApprovalRequestItem
from sipagent.realtime.translation import Translation
from sipagent.realtime.wire import parse_message
from tests.realtime import messages

AGENT = RealtimeAgent[Any](name="front-desk")
OTHER_AGENT = RealtimeAgent[Any](name="billing")
ITEM, HEARD = ItemId("item_1"), ItemId("item_2")
R1, R2 = ResponseId("resp_1"), ResponseId("resp_2")


class Told:
    """A translation, and everything it has told."""

    def __init__(self, *, raw: bool = False) -> None:
        self.info = RealtimeEventInfo(context=RunContextWrapper("Ann"))
        self.translation = Translation(self.info, raw=raw)
        self.events: list[RealtimeSessionEvent] = []

    def take(
        self, *events: RealtimeModelEvent, agent: RealtimeAgent[Any] = AGENT
    ) -> list[RealtimeSessionEvent]:
        """What these mean."""
        told: list[RealtimeSessionEvent] = []
        for event in events:
            told += self.translation.take(event, agent)
        self.events += told
        return told

    def lines(self) -> list[tuple[str, str, bool, bool]]:
        """Role, text, interrupted, final."""
        return [
            (event.role, event.text, event.interrupted, event.final)
            for event in self.events
            if isinstance(event, RealtimeTranscriptLine)
        ]


def created(response_id: ResponseId = R1, *, out_of_band: bool = False) -> RealtimeModelTurnStartedEvent:
    return RealtimeModelTurnStartedEvent(response_id=response_id, out_of_band=out_of_band)


def done(response_id: ResponseId = R1, status: Any = "completed", **more: Any) -> RealtimeModelTurnEndedEvent:
    return RealtimeModelTurnEndedEvent(response_id=response_id, status=status, **more)


def words(text: str, response_id: ResponseId = R1) -> RealtimeModelTranscriptDeltaEvent:
    return RealtimeModelTranscriptDeltaEvent(item_id=ITEM, delta=text, response_id=response_id)


def all_words(text: str, response_id: ResponseId = R1) -> RealtimeModelTranscriptDoneEvent:
    return RealtimeModelTranscriptDoneEvent(item_id=ITEM, transcript=text, response_id=response_id)


def playback(change: Any, response_id: ResponseId = R1) -> RealtimeModelPlaybackEvent:
    return RealtimeModelPlaybackEvent(change=change, response_id=response_id)


def kinds(events: list[RealtimeSessionEvent]) -> list[str]:
    return [event.type for event in events]


# One event, one meaning -----------------------------------------------------------------------------

SPOKEN = AssistantMessageItem(item_id=ITEM, content=(AssistantAudio(transcript="Hello"),), status="completed")
LISTENED = UserMessageItem(item_id=HEARD, content=(InputAudio(),), status="completed")
MEANINGS: list[tuple[RealtimeModelEvent, list[type[Any]]]] = [
    (created(), [RealtimeResponseStarted, RealtimeAgentStartEvent]),
    (done(), [RealtimeResponseEnded, RealtimeAgentEndEvent]),
    (words("Hi"), [RealtimeTranscriptDelta]),
    (
        RealtimeModelOutputTextDeltaEvent(item_id=ITEM, delta="Hi", response_id=R1),
        [RealtimeTranscriptDelta],
    ),
    (all_words("Hi."), [RealtimeTranscriptLine]),
    (
        RealtimeModelInputAudioTranscriptionDeltaEvent(item_id=HEARD, delta="H"),
        [RealtimeTranscriptDelta],
    ),
    (
        RealtimeModelInputAudioTranscriptionCompletedEvent(
            item_id=HEARD, transcript="Hi", usage=TranscriptionUsage(duration_s=1.0)
        ),
        [RealtimeHistoryUpdated, RealtimeTranscriptionUsage],
    ),
    (
        RealtimeModelInputAudioTranscriptionFailedEvent(item_id=HEARD, message="no"),
        [RealtimeTranscriptionFailed],
    ),
    (RealtimeModelItemUpdatedEvent(item=SPOKEN), [RealtimeHistoryAdded, RealtimeTranscriptLine]),
    (RealtimeModelItemUpdatedEvent(item=LISTENED), [RealtimeHistoryAdded]),
    (RealtimeModelItemPlacedEvent(item_id=HEARD, previous_item_id=ITEM), []),
    (RealtimeModelItemDeletedEvent(item_id=ITEM), []),
    (RealtimeModelItemTruncatedEvent(item_id=ITEM), []),
    (playback("started"), [RealtimeAgentSpeechStarted]),
    (playback("stopped"), [RealtimeAgentSpeechStopped]),
    (playback("cleared"), [RealtimeAgentSpeechCleared]),
    (
        RealtimeModelConnectionStatusEvent(status="lost", close_code=1006),
        [RealtimeConnectionLost],
    ),
    (RealtimeModelConnectionStatusEvent(status="connected"), []),
    (RealtimeModelConnectionStatusEvent(status="connecting"), []),
    (
        RealtimeModelConnectionStatusEvent(status="connected", reattached=True),
        [RealtimeConnectionRestored],
    ),
    (RealtimeModelConnectionStatusEvent(status="disconnected", cause="closed"), []),
    (RealtimeModelEndOfStreamEvent(), []),
    (
        RealtimeModelCallerSpeechStartedEvent(item_id=HEARD, audio_start_ms=1),
        [RealtimeCallerSpeechStarted],
    ),
    (
        RealtimeModelCallerSpeechStoppedEvent(item_id=HEARD, audio_end_ms=2),
        [RealtimeCallerSpeechStopped],
    ),
    (RealtimeModelDtmfEvent(digit="#", received_at=3.0), [RealtimeDtmfReceived]),
    (RealtimeModelResponseRequestedEvent(event_id="e"), [RealtimeResponseRequested]),
    (RealtimeModelRateLimitsEvent(rate_limits=()), [RealtimeRateLimitsUpdated]),
    (RealtimeModelErrorEvent(error={"message": "no"}), [RealtimeError]),
    (RealtimeModelExceptionEvent(exception=ValueError("no")), [RealtimeError]),
    (RealtimeModelOtherEvent(data="x", event_type="new"), [RealtimeUnknownEvent]),
    (
        RealtimeModelInputAudioTimeoutTriggeredEvent(item_id=HEARD),
        [RealtimeInputAudioTimeoutTriggered],
    ),
    (
        RealtimeModelAudioEvent(data=b"", response_id=R1, item_id=ITEM, content_index=0),
        [RealtimeAudio],
    ),
    (RealtimeModelAudioDoneEvent(item_id=ITEM, content_index=0), [RealtimeAudioEnd]),
    (RealtimeModelAudioInterruptedEvent(item_id=ITEM, content_index=0), [RealtimeAudioInterrupted]),
    (RealtimeModelUsageEvent(usage=ResponseUsage(input_tokens=3)), []),
    (RealtimeModelSessionEvent(created=True), []),
    (RealtimeModelToolCallEvent(name="x", call_id=ToolCallId("c"), arguments=""), []),
    (RealtimeModelRawServerEvent(data="x"), []),
    (RealtimeModelMcpListToolsEvent(change="completed", item_id=ITEM), []),
    (RealtimeModelMcpCallArgumentsEvent(item_id=ITEM, arguments="{}"), []),
    (RealtimeModelMcpCallEvent(change="in_progress", item_id=ITEM), []),
    (
        RealtimeModelMcpApprovalRequestedEvent(
            request=RealtimeMcpApprovalRequestItem(
                item_id=ITEM, server_label="docs", name="search", arguments="{}"
            )
        ),
        [],
    ),
]


@pytest.mark.parametrize(("event", "meaning"), MEANINGS, ids=lambda value: getattr(value, "type", ""))
@pytest.mark.parametrize("raw", [False, True])
def test_each_event_means_this(event: RealtimeModelEvent, meaning: list[type[Any]], raw: bool) -> None:
    told = Told(raw=raw)
    events = told.take(event)
    if raw:
        first = events.pop(0)
        assert isinstance(first, RealtimeRawModelEvent)
        assert first.data is event
    assert [type(each) for each in events] == meaning
    assert all(each.info is told.info for each in events)


def test_no_event_of_a_model_is_without_a_meaning() -> None:
    assert {type(event) for event, _ in MEANINGS} == set(get_args(RealtimeModelEvent))


def test_details_reach_the_listener() -> None:
    told = Told()
    ended = told.take(
        done(status="failed", reason="rate_limit_exceeded", error_message="Slow.", usage=ResponseUsage())
    )[0]
    assert isinstance(ended, RealtimeResponseEnded)
    assert (ended.status, ended.reason, ended.error_message) == ("failed", "rate_limit_exceeded", "Slow.")
    assert ended.usage == ResponseUsage()
    told.take(RealtimeModelUsageEvent(usage=ResponseUsage(input_tokens=3)))
    assert told.info.context.usage.input_tokens == 3
    told.take(RealtimeModelConnectionStatusEvent(status="disconnected", cause="expired", detail="60"))
    assert told.translation.ended is not None
    assert (told.translation.ended.cause, told.translation.over) == ("expired", False)
    told.take(RealtimeModelEndOfStreamEvent())
    assert told.translation.over


# Who led the turn -----------------------------------------------------------------------------------


def test_a_turn_is_ended_by_the_agent_that_began_it() -> None:
    told = Told()
    told.take(created(), agent=AGENT)
    events = told.take(done(), agent=OTHER_AGENT)
    assert [event.agent.name for event in events if isinstance(event, RealtimeAgentEndEvent)] == [
        "front-desk"
    ]


# Speech ---------------------------------------------------------------------------------------------


def speaking(told: Told) -> tuple[bool, bool]:
    """Whether a response runs, and whether the agent is to be heard."""
    return told.translation.speaking.response_active, told.translation.speaking.agent_is_speaking


def test_words_that_wait_to_be_played_are_speech() -> None:
    told = Told()
    states = []
    for event in (created(), words("Goodbye"), done(), playback("started"), playback("stopped")):
        told.take(event)
        states.append(speaking(told))
    assert states == [(True, False), (True, True), (False, True), (False, True), (False, False)]


@pytest.mark.parametrize(
    ("status", "heard"),
    [("completed", True), ("incomplete", True), ("unknown", True), ("cancelled", False), ("failed", False)],
)
def test_only_what_was_given_up_before_it_played_will_not_be_heard(status: str, heard: bool) -> None:
    told = Told()
    told.take(created(), all_words("Goodbye"), done(status=status))
    assert speaking(told) == (False, heard)


@pytest.mark.parametrize(
    "sign",
    [
        words("Goodbye"),
        all_words("Goodbye"),
        RealtimeModelAudioDoneEvent(item_id=ITEM, content_index=0, response_id=R1),
        RealtimeModelItemUpdatedEvent(item=SPOKEN, response_id=R1),
    ],
    ids=lambda event: event.type,
)
def test_whatever_shows_that_there_is_speech_is_waited_for(sign: RealtimeModelEvent) -> None:
    told = Told()
    told.take(created(), sign, done())
    assert speaking(told) == (False, True)
    told.take(playback("started"), playback("stopped"))
    assert speaking(told) == (False, False)


def test_what_plays_is_heard_until_the_server_says_otherwise_even_when_cancelled() -> None:
    told = Told()
    told.take(created(), playback("started"), words("Good"), done(status="cancelled"))
    assert speaking(told) == (False, True)
    told.take(playback("cleared"))
    assert speaking(told) == (False, False)


def test_words_that_come_after_they_were_played_are_no_speech() -> None:
    told = Told()
    told.take(created(), words("Good"), playback("started"), playback("stopped"), all_words("Good."), done())
    assert speaking(told) == (False, False)


def test_speech_that_runs_dry_and_goes_on_is_speech() -> None:
    told = Told()
    told.take(created(), words("Good"), playback("started"), playback("stopped"), playback("started"))
    assert speaking(told) == (True, True)
    told.take(done(), playback("cleared"))
    assert ("agent", "Good", True, False) in told.lines()


def test_audio_over_the_socket_is_not_waited_for() -> None:
    told = Told()
    audio = RealtimeModelAudioEvent(data=b"\0", response_id=R1, item_id=ITEM, content_index=0)
    told.take(created(), words("Goo"), audio, words("dbye"), all_words("Goodbye"), done())
    assert speaking(told) == (False, False)


def test_text_is_no_speech() -> None:
    told = Told()
    told.take(created(), RealtimeModelOutputTextDeltaEvent(item_id=ITEM, delta="Hi", response_id=R1), done())
    assert speaking(told) == (False, False)


def test_a_newer_response_shows_that_the_older_one_is_over() -> None:
    told = Told()
    told.take(created(R1), created(ResponseId("aside"), out_of_band=True), created(R2), done(R2))
    assert told.translation.speaking.response_active, "the one outside the conversation runs on"
    told.take(done(ResponseId("aside")))
    assert not told.translation.speaking.response_active


@pytest.mark.parametrize(
    "sign",
    [
        words("Good"),
        all_words("Good"),
        RealtimeModelItemUpdatedEvent(item=SPOKEN, response_id=R1),
        RealtimeModelToolCallEvent(name="x", call_id=ToolCallId("c"), arguments="", response_id=R1),
    ],
    ids=lambda event: event.type,
)
def test_a_response_whose_beginning_was_missed_shows_itself(sign: RealtimeModelEvent) -> None:
    told = Told()
    told.take(RealtimeModelConnectionStatusEvent(status="connected", reattached=True), sign)
    assert told.translation.speaking.response_active
    told.take(done(), sign)
    assert not told.translation.speaking.response_active


PLAYED = st.sampled_from(
    ["created", "words", "all_words", "done", "cancelled", "started", "stopped", "cleared"]
)


@given(st.lists(st.tuples(PLAYED, st.sampled_from([R1, R2])), max_size=20))
def test_whatever_happened_the_next_response_that_is_heard_ends_in_silence(
    happened: list[tuple[str, ResponseId]],
) -> None:
    told = Told()
    for kind, response_id in happened:
        match kind:
            case "created":
                told.take(created(response_id))
            case "words":
                told.take(words("a", response_id))
            case "all_words":
                told.take(all_words("a", response_id))
            case "done" | "cancelled":
                told.take(done(response_id, "completed" if kind == "done" else "cancelled"))
            case _:
                told.take(playback(kind, response_id))
    last = ResponseId("resp_last")
    told.take(
        created(last), playback("started", last), words("b", last), done(last), playback("stopped", last)
    )
    assert speaking(told) == (False, False)


# Lines ----------------------------------------------------------------------------------------------


def test_a_line_is_told_when_it_is_final_and_again_when_it_is_cut() -> None:
    told = Told()
    told.take(created(), words("Good mor"), all_words("Good morning"), done(), playback("started"))
    assert told.lines() == [("agent", "Good morning", False, True)]
    told.take(playback("cleared"))
    assert told.lines()[1:] == [("agent", "Good morning", True, True)]


@pytest.mark.parametrize(
    "cut",
    [
        (done(status="cancelled", reason="turn_detected"),),
        (playback("started"), playback("cleared")),
        (RealtimeModelItemTruncatedEvent(item_id=ITEM, audio_end_ms=100),),
        (RealtimeModelAudioInterruptedEvent(item_id=ITEM, content_index=0),),
    ],
    ids=lambda events: events[-1].type,
)
def test_an_agent_that_is_cut_off_was_interrupted(cut: tuple[RealtimeModelEvent, ...]) -> None:
    told = Told()
    told.take(created(), all_words("Good morning"), *cut)
    assert told.lines()[-1] == ("agent", "Good morning", True, True)


def test_emptying_a_buffer_that_was_played_out_cuts_nobody() -> None:
    told = Told()
    told.take(
        created(), all_words("Bye"), done(), playback("started"), playback("stopped"), playback("cleared")
    )
    assert told.lines() == [("agent", "Bye", False, True)]


def test_who_speaks_when_all_was_heard_cuts_nobody() -> None:
    told = Told()
    stop = RealtimeModelAudioInterruptedEvent(item_id=ITEM, content_index=0, heard_in_full=True)
    told.take(created(), all_words("Bye"), done(), stop)
    assert told.lines() == [("agent", "Bye", False, True)]
    assert isinstance(told.events[-1], RealtimeAudioInterrupted)


def test_lines_of_both_sides_sort_by_position() -> None:
    told = Told()
    told.take(RealtimeModelItemPlacedEvent(item_id=HEARD, previous_item_id=None))
    told.take(RealtimeModelItemUpdatedEvent(item=LISTENED, placed=True))
    told.take(created(), all_words("At ten."), done())
    told.take(RealtimeModelInputAudioTranscriptionCompletedEvent(item_id=HEARD, transcript="When?"))
    found = [event for event in told.events if isinstance(event, RealtimeTranscriptLine)]
    assert [line.text for line in found] == ["At ten.", "When?"]
    assert [line.text for line in sorted(found, key=lambda line: line.position)] == ["When?", "At ten."]


def test_what_was_not_finished_is_told_at_the_end() -> None:
    told = Told()
    told.take(created(), words("One mom"), RealtimeModelEndOfStreamEvent())
    assert told.lines() == [("agent", "One mom", True, False)]


# History --------------------------------------------------------------------------------------------


def test_the_history_is_told_when_it_changes_and_only_then() -> None:
    told = Told()
    item = RealtimeModelItemUpdatedEvent(item=SPOKEN)
    assert kinds(told.take(item)) == ["history_added", "transcript_line"]
    assert told.take(item) == []
    assert kinds(told.take(RealtimeModelItemDeletedEvent(item_id=ITEM))) == ["history_updated"]


def test_the_answer_of_a_tool_belongs_to_its_call() -> None:
    told = Told()
    call = RealtimeToolCallItem(
        item_id=ITEM, call_id=ToolCallId("call_1"), name="x", arguments="{}", status="completed"
    )
    told.take(RealtimeModelItemUpdatedEvent(item=call, response_id=R1))
    (updated,) = told.translation.tool_answered(ToolCallId("call_1"), "found")
    assert isinstance(updated, RealtimeHistoryUpdated)
    assert updated.history[0].output == "found"  # type: ignore[union-attr]
    # The end of the response shows the item again, without its answer.
    assert told.take(RealtimeModelItemUpdatedEvent(item=call, response_id=R1)) == []
    assert told.translation.tool_answered(ToolCallId("call_2"), "x") == []


# Any order ------------------------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c"])
ITEMS = st.one_of(
    IDS.map(lambda name: messages.user_message(f"u{name}")),
    IDS.map(lambda name: messages.assistant_message(f"a{name}", "Hello")),
    IDS.map(lambda name: messages.assistant_message(f"a{name}", None, status="in_progress")),
    IDS.map(lambda name: messages.function_call("look", f"call_{name}")),
)
RESPONSES = IDS.map(lambda name: f"resp_{name}")
STATUSES = st.sampled_from(["completed", "cancelled", "incomplete", "failed"])
MESSAGES = st.one_of(
    st.builds(messages.response_created, RESPONSES),
    st.builds(
        lambda name, status, output: messages.response_done(name, status=status, output=output),
        RESPONSES,
        STATUSES,
        st.lists(ITEMS, max_size=2),
    ),
    st.builds(messages.output_item_done, ITEMS, RESPONSES),
    st.builds(messages.item_added, ITEMS, st.none() | st.sampled_from(["ua", "aa", "ub", "ab", "missing"])),
    st.builds(messages.transcript_delta, st.just("Hi"), IDS.map(lambda name: f"a{name}"), RESPONSES),
    st.builds(messages.playback, st.sampled_from(["started", "stopped", "cleared"]), RESPONSES),
    st.builds(
        lambda name, words: {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": f"u{name}",
            "transcript": words,
        },
        IDS,
        st.sampled_from(["", "yes"]),
    ),
    st.builds(
        lambda name, previous: {
            "type": "input_audio_buffer.committed",
            "item_id": f"u{name}",
            "previous_item_id": previous,
        },
        IDS,
        st.none() | st.sampled_from(["ua", "aa"]),
    ),
    st.builds(lambda name: {"type": "conversation.item.deleted", "item_id": f"a{name}"}, IDS),
    st.builds(lambda name: {"type": "conversation.item.truncated", "item_id": f"a{name}"}, IDS),
)


@given(st.lists(MESSAGES, max_size=25))
def test_whatever_order_the_server_speaks_in_the_history_stays_in_order(said: list[dict[str, Any]]) -> None:
    told = Told()
    # What was told last of an item is what the item says, and where it stands.
    places: dict[str, float] = {}
    looked_at = 0
    for message in (*said, None):
        if message is None:
            told.take(RealtimeModelEndOfStreamEvent())
        else:
            told.take(*parse_message(message))
        positions = [item.position for item in told.translation.history.items]
        assert positions == sorted(positions)
        for event in told.events[looked_at:]:
            if isinstance(event, RealtimeTranscriptLine):
                assert event.text
                places[event.item_id] = event.position
        looked_at = len(told.events)
        if message is not None and message["type"] == "conversation.item.deleted":
            # One that is added under its name has its own place, and no line before it has words.
            places.pop(message["item_id"], None)
    # Of an item that lost its words again there is nothing to tell.
    stands: dict[str, float] = {
        item.item_id: item.position
        for item in told.translation.history.items
        if isinstance(item, UserMessageItem | AssistantMessageItem) and text_of(item)
    }
    assert {each: stands.get(each, place) for each, place in places.items()} == places


def test_a_beginning_that_comes_after_the_end_leaves_nothing_running() -> None:
    told = Told()
    began = parse_message(messages.response_created("ra"))
    told.take(*began, *parse_message(messages.response_done("ra")), *began)
    assert not told.translation.speaking.response_active
