"""Items stand in conversation order whatever order they come in, and no word is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.history import History, Line
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
    text_of,
)

RESPONSE = ResponseId("resp_1")


def item_id(number: int) -> ItemId:
    return ItemId(f"item_{number}")


ONE, TWO, THREE = item_id(1), item_id(2), item_id(3)


def heard_item(number: int, previous: int | None = None, words: str | None = None) -> UserMessageItem:
    return UserMessageItem(
        item_id=item_id(number),
        content=(InputAudio(transcript=words),),
        previous_item_id=None if previous is None else item_id(previous),
        status="completed",
    )


def spoken_item(number: int, words: str | None, status: Any = "completed") -> AssistantMessageItem:
    content = () if words is None else (AssistantAudio(transcript=words),)
    return AssistantMessageItem(item_id=item_id(number), content=content, status=status)


def order(history: History) -> list[ItemId]:
    positions = [item.position for item in history.items]
    assert positions == sorted(set(positions)), "positions must say the same as the order"
    return [item.item_id for item in history.items]


def test_items_without_a_place_stand_in_the_order_they_come() -> None:
    history = History()
    assert history.update(heard_item(1), placed=False) == "added"
    assert history.update(spoken_item(2, None), placed=False) == "added"
    assert order(history) == [ONE, TWO]


def test_an_item_stands_behind_its_predecessor() -> None:
    history = History()
    history.update(heard_item(1), placed=True)
    history.update(spoken_item(3, None), placed=False)
    history.update(heard_item(2, previous=1), placed=True)
    assert order(history) == [ONE, TWO, THREE]


def test_a_predecessor_that_comes_late_stands_before_its_follower() -> None:
    history = History()
    history.update(heard_item(2, previous=1), placed=True)
    history.update(heard_item(1), placed=True)
    assert order(history) == [ONE, TWO]


def test_an_item_whose_predecessor_we_never_hear_of_stands_last() -> None:
    history = History()
    history.update(heard_item(1), placed=True)
    history.update(heard_item(2, previous=77), placed=True)
    assert order(history) == [ONE, TWO]


def test_a_server_that_never_names_a_predecessor_is_followed_in_its_order() -> None:
    history = History()
    for number in (1, 2, 3):
        history.update(heard_item(number), placed=True)
    assert order(history) == [ONE, TWO, THREE]


def test_the_place_of_an_item_may_be_known_before_the_item() -> None:
    history = History()
    history.update(spoken_item(1, "Hello"), placed=False)
    history.place(TWO, ONE)
    history.update(spoken_item(3, "Bye"), placed=False)
    history.update(heard_item(2), placed=False)
    history.place(TWO, THREE)  # too late: positions never change
    assert order(history) == [ONE, TWO, THREE]


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=30))
def test_positions_keep_the_order_wherever_items_are_inserted(places: list[int]) -> None:
    history = History()
    expected: list[ItemId] = []
    for number, place in enumerate(places):
        item = heard_item(number)
        if expected:
            previous = expected[place % len(expected)]
            item = replace(item, previous_item_id=previous)
            expected.insert(expected.index(previous) + 1, item.item_id)
        else:
            expected.append(item.item_id)
        before = {each.item_id: each.position for each in history.items}
        history.update(item, placed=True)
        after = {each.item_id: each.position for each in history.items}
        assert before.items() <= after.items(), "a position changed"
    assert order(history) == expected


@given(
    st.integers(min_value=2, max_value=12).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 2)))
    )
)
def test_neighbours_that_overtake_each_other_stand_right(case: tuple[int, set[int]]) -> None:
    count, swaps = case
    arrivals = list(range(count))
    index = 0
    while index < count - 1:
        if index in swaps:
            arrivals[index], arrivals[index + 1] = arrivals[index + 1], arrivals[index]
            index += 1
        index += 1
    history = History()
    for number in arrivals:
        history.update(heard_item(number, previous=number - 1 if number else None), placed=True)
    assert order(history) == [item_id(number) for number in range(count)]


# Words ----------------------------------------------------------------------------------------------


def test_the_words_of_the_caller_make_a_line_once() -> None:
    history = History()
    history.update(heard_item(1), placed=False)
    line = history.heard(ONE, " Good morning ")
    assert line == Line(
        role="caller", item_id=ONE, position=1.0, text="Good morning", interrupted=False, final=True
    )
    assert history.heard(ONE, " Good morning ") is None
    assert history.update(heard_item(1), placed=False) == "same"
    assert text_of(history.items[0]) == " Good morning "  # type: ignore[arg-type]


def test_words_that_come_before_their_item_wait_for_it() -> None:
    history = History()
    assert history.heard(ONE, "Good morning") is None
    assert history.items == ()
    history.update(heard_item(1), placed=False)
    line = history.line_of(ONE)
    assert line is not None
    assert (line.text, line.final) == ("Good morning", True)


def test_words_that_come_before_their_item_need_not_wait_when_its_place_is_known() -> None:
    history = History()
    history.update(spoken_item(1, "Hello"), placed=False)
    history.place(TWO, ONE)
    history.update(spoken_item(3, "Yes?"), placed=False)
    line = history.heard(TWO, "Good morning")
    assert line is not None
    assert order(history) == [ONE, TWO, THREE]
    history.update(heard_item(2, previous=1), placed=True)
    assert order(history) == [ONE, TWO, THREE]
    assert history.line_of(TWO) is None


def test_the_words_of_the_agent_grow_and_are_final_when_complete() -> None:
    history = History()
    history.update(spoken_item(1, None, "in_progress"), placed=False, response_id=RESPONSE)
    for delta in ("Good", " morning"):
        history.spoke(ONE, delta, RESPONSE)
    assert history.items[0].content == (AssistantAudio(transcript="Good morning"),)  # type: ignore[union-attr]
    line = history.spoken(ONE, "Good morning.", RESPONSE)
    assert line is not None
    assert (line.role, line.text, line.final, line.interrupted) == ("agent", "Good morning.", True, False)
    assert history.update(spoken_item(1, "Good morning."), placed=False) == "changed"
    assert history.line_of(ONE) is None


def test_the_parts_of_what_the_agent_says_do_not_swallow_each_other() -> None:
    history = History()
    for index, words in enumerate(("Good morning.", "How can I help?")):
        history.spoke(ONE, words[:4], RESPONSE, index)
        line = history.spoken(ONE, words, RESPONSE, index)
    assert line is not None
    assert line.text == "Good morning. How can I help?"


def test_an_update_without_words_keeps_those_that_were_heard() -> None:
    history = History()
    history.spoke(ONE, "Good", RESPONSE)
    history.update(spoken_item(1, None, "incomplete"), placed=False)
    assert text_of(history.items[0]) == "Good"  # type: ignore[arg-type]


@pytest.mark.parametrize("words_first", [True, False])
def test_a_line_that_is_cut_says_so_whatever_comes_first(words_first: bool) -> None:
    history = History()
    lines: list[Line | None] = []
    if words_first:
        lines.append(history.spoken(ONE, "Good morning, how", RESPONSE))
        lines.extend(history.interrupt(RESPONSE))
    else:
        history.update(spoken_item(1, None), placed=False, response_id=RESPONSE)
        lines.extend(history.interrupt(RESPONSE))
        lines.append(history.spoken(ONE, "Good morning, how", RESPONSE))
    told = [line for line in lines if line is not None]
    assert told[-1].interrupted
    assert told[-1].final
    assert history.interrupt(RESPONSE) == []
    assert history.cut(ItemId("unknown")) is None
    history.update(spoken_item(1, "Good morning, how"), placed=False)
    item = history.get(ONE)
    assert isinstance(item, AssistantMessageItem)
    assert item.interrupted


def test_text_that_was_put_in_is_a_line_too() -> None:
    history = History()
    written = UserMessageItem(item_id=ONE, content=(InputText(text="Hello"),))
    history.update(written, placed=False)
    line = history.line_of(ONE)
    assert line is not None
    assert (line.role, line.text) == ("caller", "Hello")
    answer = AssistantMessageItem(item_id=TWO, content=(AssistantText(text="Hi"),), status="in_progress")
    history.update(answer, placed=False)
    assert history.line_of(TWO) is None
    history.update(replace(answer, status="completed"), placed=False)
    done = history.line_of(TWO)
    assert done is not None
    assert (done.role, done.text, done.final) == ("agent", "Hi", True)


def test_what_the_application_tells_the_model_is_no_line() -> None:
    history = History()
    history.update(SystemMessageItem(item_id=ONE, content=(InputText(text="hint"),)), placed=False)
    assert history.line_of(ONE) is None
    assert history.heard(ONE, "words") is None


def test_a_picture_survives_an_update_without_it() -> None:
    history = History()
    picture = InputImage(image_url="data:,x")
    history.update(UserMessageItem(item_id=ONE, content=(picture, InputAudio())), placed=False)
    history.heard(ONE, "Look")
    history.update(heard_item(1), placed=False)
    item = history.get(ONE)
    assert isinstance(item, UserMessageItem)
    assert item.content == (picture, InputAudio(transcript="Look"))
    history.update(UserMessageItem(item_id=ONE), placed=False)
    assert history.get(ONE).content == item.content  # type: ignore[union-attr]


def test_a_tool_call_and_its_answer_are_one_item() -> None:
    history = History()
    call = RealtimeToolCallItem(item_id=ONE, call_id=ToolCallId("call_1"), name="look", arguments="{}")
    history.update(call, placed=False)
    answered = history.answer_tool(ToolCallId("call_1"), "found")
    assert answered is not None
    assert (answered.output, answered.status) == ("found", "completed")
    history.update(call, placed=False)
    assert history.get(ONE).output == "found"  # type: ignore[union-attr]
    assert history.answer_tool(ToolCallId("call_2"), "x") is None


def test_an_item_can_leave() -> None:
    history = History()
    history.update(heard_item(1), placed=False)
    assert history.delete(ONE)
    assert not history.delete(ONE)
    assert history.items == ()
    history.update(heard_item(2, previous=1), placed=True)
    assert order(history) == [TWO]


# The end --------------------------------------------------------------------------------------------


def test_at_the_end_what_was_begun_is_told() -> None:
    history = History()
    history.spoken(ONE, "Hello", RESPONSE)
    history.update(heard_item(2), placed=False)
    history.hears(TWO, "I would")
    history.hears(TWO, " like")
    history.spoke(THREE, "Of cou", RESPONSE)
    history.heard(item_id(4), "Thanks")
    told = [(line.role, line.text, line.final, line.interrupted) for line in history.finish()]
    assert told == [
        ("caller", "I would like", False, False),
        ("agent", "Of cou", False, True),
        ("caller", "Thanks", True, False),
    ]
    assert history.finish() == []


def test_at_the_end_what_is_known_is_not_told_again() -> None:
    history = History()
    history.update(heard_item(1), placed=False)
    history.hears(ONE, "Good")
    history.heard(ONE, "Good morning")
    assert history.finish() == []


def test_words_that_nobody_looked_at_are_there_for_whoever_looks() -> None:
    def spoken() -> History:
        history = History()
        for word in ("Good", " day", "."):
            history.spoke(ONE, word, RESPONSE)
        return history

    item = spoken().get(ONE)
    assert isinstance(item, AssistantMessageItem)
    assert text_of(item) == "Good day."
    assert spoken().items == (item,)
    assert spoken().said(RESPONSE) == "Good day."
    for line in (spoken().cut(ONE), *spoken().interrupt(RESPONSE), *spoken().finish()):
        assert line is not None
        assert (line.text, line.interrupted) == ("Good day.", True)
    history = spoken()
    history.update(AssistantMessageItem(item_id=ONE, status="incomplete"), placed=False)
    assert history.line_of(ONE) == Line(
        role="agent", item_id=ONE, position=1.0, text="Good day.", interrupted=False, final=False
    )
    history = spoken()
    assert history.delete(ONE)
    assert history.items == ()


def test_whoever_knows_the_part_that_grows_may_add_to_it_until_somebody_looks() -> None:
    history = History()
    history.update(AssistantMessageItem(item_id=ONE, status="in_progress"), placed=False)
    history.spoke(ONE, "Good", RESPONSE)
    growing = history.growing
    assert growing is not None
    assert (growing.item_id, growing.content_index, growing.newest) == (ONE, 0, [])
    assert growing.newest is not None
    growing.newest.append(" day")
    history.spoke(ONE, ".", RESPONSE)
    assert history.said(RESPONSE) == "Good day."
    after: tuple[object, object] = (growing.newest, history.growing)
    assert after == (None, None)
