from __future__ import annotations

from sipagent.calls.chat_view import AgentLines, ChatLine, as_line, sentence
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime import AssistantMessageItem, AssistantText, RealtimeToolCallItem
from tests.calls.chatting import Told

ONE, OTHER = ItemId("item_1"), ItemId("item_2")


def test_a_line_is_told_once_and_by_whoever_began_it() -> None:
    told = Told()
    lines = AgentLines(told)
    lines.grow(ONE, "front-desk", "Hello ")
    lines.grow(ONE, "billing", "there")
    lines.read(ONE, "billing", "Hello there", final=True)
    lines.read(ONE, "billing", "Hello there", final=False)
    lines.finish(interrupted=True)
    assert told.words == {"front-desk": "Hello there"}
    assert told.all == [("line", "front-desk", "Hello there")]


def test_what_is_unfinished_at_the_end_was_cut() -> None:
    told = Told()
    lines = AgentLines(told)
    lines.grow(ONE, "front-desk", "Hello ")
    lines.read(OTHER, "front-desk", "Half", final=False)
    lines.finish(interrupted=True)
    assert told.all == [("cut", "front-desk", "Hello"), ("cut", "front-desk", "Half")]


def test_items_as_people_read_them() -> None:
    call = RealtimeToolCallItem(item_id=ONE, call_id=ToolCallId("call_1"), name="find", arguments="{}")
    assert as_line(call) == ChatLine(speaker="tool", text="find({}) → not finished")
    cut = AssistantMessageItem(item_id=ONE, content=(AssistantText(text="Well,"),), status="incomplete")
    assert as_line(cut) == ChatLine(speaker="agent", text="Well,", interrupted=True)


def test_an_error_is_a_sentence_whatever_it_is() -> None:
    assert sentence({"message": "No.", "code": "no"}) == "No."
    assert sentence({"code": "no"}) == "no"
    assert sentence({}) == "unknown error"
    assert sentence(ValueError("bad")) == "ValueError: bad"
    assert sentence("bad") == "bad"
