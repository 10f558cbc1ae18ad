"""The same conversation comes out, whatever order it comes in: its items, its words, what was cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.history import History, Line
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    ItemStatus,
    RealtimeToolCallItem,
    UserMessageItem,
    text_of,
)

RUNS = settings(max_examples=300, deadline=None, derandomize=True)
Told = Callable[[History], object]
"""One thing that the server tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An item of the conversation as it truly is."""

    kind: str
    item_id: ItemId
    previous: ItemId | None
    words: tuple[str, ...]
    """As they come; joined they are the text."""
    cut: bool
    completed: bool

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def response_id(self) -> ResponseId:
        return ResponseId(f"resp of {self.item_id}")

    @property
    def status(self) -> ItemStatus:
        return "completed" if self.completed else "incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is told of one item: `anyhow` in any order, `in_order` in this one among each other."""

    anyhow: tuple[Told, ...]
    in_order: tuple[Told, ...] = ()


def told_of(said: Said) -> Stream:
    match said.kind:
        case "caller":
            return told_of_caller(said)
        case "agent":
            return told_of_agent(said)
        case _:
            return told_of_tool(said)


def told_of_caller(said: Said) -> Stream:
    item = UserMessageItem(
        item_id=said.item_id,
        content=(InputAudio(),),
        previous_item_id=said.previous,
        status="in_progress",
    )
    return Stream(
        anyhow=(
            lambda history: history.place(said.item_id, said.previous),
            lambda history: history.update(item, placed=True),
            lambda history: history.update(replace(item, status="completed"), placed=True),
            lambda history: history.heard(said.item_id, said.text),
        ),
        in_order=tuple(partial(hears, said.item_id, word) for word in said.words),
    )


def told_of_agent(said: Said) -> Stream:
    begun = AssistantMessageItem(item_id=said.item_id, status="in_progress")
    # What was cut short is told without its words: the server takes out what was not heard.
    spoken = (AssistantAudio(transcript=said.text if said.completed else None),)
    ended = replace(begun, status=said.status, content=spoken)
    response_id = said.response_id
    anyhow: list[Told] = [
        lambda history: history.update(begun, placed=False, response_id=response_id),
        lambda history: history.update(replace(begun, previous_item_id=said.previous), placed=True),
        lambda history: history.update(ended, placed=False, response_id=response_id),
        lambda history: history.update(replace(ended, previous_item_id=said.previous), placed=True),
    ]
    if said.completed:
        anyhow.append(lambda history: history.spoken(said.item_id, said.text, response_id))
        first_words = replace(begun, content=(AssistantAudio(transcript=said.words[0]),))
        anyhow.append(lambda history: history.update(first_words, placed=False, response_id=response_id))
    if said.cut:
        anyhow.append(lambda history: history.cut(said.item_id))
    words = tuple(partial(spoke, said.item_id, word, response_id) for word in said.words)
    return Stream(anyhow=tuple(anyhow), in_order=words)


def hears(item_id: ItemId, word: str, history: History) -> None:
    history.hears(item_id, word)


def spoke(item_id: ItemId, word: str, response_id: ResponseId, history: History) -> None:
    history.spoke(item_id, word, response_id)


def told_of_tool(said: Said) -> Stream:
    begun = RealtimeToolCallItem(
        item_id=said.item_id,
        call_id=call_of(said),
        name="look_up",
        arguments="",
        previous_item_id=said.previous,
        status="in_progress",
    )
    called = replace(begun, arguments=said.text, status="completed")
    return Stream(
        anyhow=(
            lambda history: history.update(begun, placed=True),
            lambda history: history.update(replace(begun, previous_item_id=None), placed=False),
        ),
        # A tool is answered after its call.
        in_order=(
            lambda history: history.update(called, placed=True),
            lambda history: history.answer_tool(call_of(said), "found"),
        ),
    )


def call_of(said: Said) -> ToolCallId:
    return ToolCallId(f"call of {said.item_id}")


@st.composite
def conversations(draw: st.DrawFn) -> list[Said]:
    items: list[Said] = []
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["caller", "agent", "tool"]))
        cut = kind == "agent" and draw(st.booleans())
        items.append(
            Said(
                kind=kind,
                item_id=ItemId(f"item_{number}"),
                previous=items[-1].item_id if items else None,
                words=tuple(
                    draw(st.lists(st.sampled_from(["yes ", "no ", "well "]), min_size=1, max_size=3))
                ),
                cut=cut,
                completed=not cut or draw(st.booleans()),
            )
        )
    return items


@st.composite
def tellings(draw: st.DrawFn, conversation: list[Said]) -> list[Told]:
    """Everything that is told, in an order in which it may come; some of it twice."""
    told: list[tuple[ItemId, Told | None]] = []
    rows: dict[ItemId, list[Told]] = {}
    for said in conversation:
        stream = told_of(said)
        twice = draw(st.lists(st.sampled_from(stream.anyhow), max_size=2))
        told += [(said.item_id, each) for each in (*stream.anyhow, *twice)]
        # Places for those that keep their order, to be filled in the order in which they are come upon.
        told += [(said.item_id, None) for _ in stream.in_order]
        rows[said.item_id] = list(stream.in_order)
    return [rows[item_id].pop(0) if each is None else each for item_id, each in draw(st.permutations(told))]


@st.composite
def told_conversations(draw: st.DrawFn) -> tuple[list[Said], list[Told]]:
    conversation = draw(conversations())
    return conversation, draw(tellings(conversation))


def check_positions(history: History) -> None:
    positions = [item.position for item in history.items]
    assert positions == sorted(set(positions)), "positions must say the same as the order"


@RUNS
@given(told_conversations())
def test_a_conversation_is_the_same_whatever_order_it_comes_in(case: tuple[list[Said], list[Told]]) -> None:
    conversation, told = case
    history = History()
    for each in told:
        each(history)
        check_positions(history)
    assert [item.item_id for item in history.items] == [said.item_id for said in conversation]
    for said, item in zip(conversation, history.items, strict=True):
        match item:
            case UserMessageItem():
                assert (said.kind, item.status, text_of(item)) == ("caller", "completed", said.text)
            case AssistantMessageItem():
                assert (said.kind, item.status, text_of(item)) == ("agent", said.status, said.text)
                assert item.interrupted == said.cut
            case RealtimeToolCallItem():
                known = ("tool", said.text, "found", "completed")
                assert (said.kind, item.arguments, item.output, item.status) == known
            case _:
                raise AssertionError("nobody said this")


@RUNS
@given(told_conversations())
def test_the_last_line_of_each_message_says_what_was_said(case: tuple[list[Said], list[Told]]) -> None:
    conversation, told = case
    history = History()
    lines: dict[ItemId, Line] = {}
    for each in told:
        line = each(history)
        found = [line] if isinstance(line, Line) else [history.line_of(said.item_id) for said in conversation]
        lines |= {one.item_id: one for one in found if one is not None}
    lines |= {line.item_id: line for line in history.finish()}
    in_order = sorted(lines.values(), key=lambda line: line.position)
    expected = [
        ("caller" if said.kind == "caller" else "agent", said.text.strip(), said.cut, said.completed)
        for said in conversation
        if said.kind != "tool"
    ]
    assert [(line.role, line.text, line.interrupted, line.final) for line in in_order] == expected


@RUNS
@given(told_conversations(), st.data())
def test_an_item_that_was_taken_out_stays_out(
    case: tuple[list[Said], list[Told]], data: st.DataObject
) -> None:
    conversation, told = case
    history = History()
    for each in told:
        each(history)
    gone = data.draw(st.sampled_from(conversation))
    assert history.delete(gone.item_id)
    assert not history.delete(gone.item_id)
    for _ in range(2):
        history.hears(gone.item_id, "late ")
        history.heard(gone.item_id, "late")
        history.spoke(gone.item_id, "late ", gone.response_id)
        history.spoken(gone.item_id, "late", gone.response_id)
        history.cut(gone.item_id)
        assert history.finish() is not None
    assert [item.item_id for item in history.items] == [
        said.item_id for said in conversation if said is not gone
    ]
    check_positions(history)
