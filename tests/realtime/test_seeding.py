"""A session that begins with what was said before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai.types.realtime import ConversationItemCreateEvent

from sipagent.errors import ConnectionLostError, UserError
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeEarlierItem,
    RealtimeItem,
    RealtimeMcpCallItem,
    RealtimeModelSendEvent,
    RealtimeModelSendRawMessage,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from sipagent.realtime.mcp_items import RealtimeMcpListToolsItem
from sipagent.realtime.seeding import seeds_of
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, realtime_server

PICTURE = "data:image/png;base64,iVBORw0KGgo="
ID = ItemId("item_of_another_session")
TALK: tuple[RealtimeEarlierItem, ...] = (
    {"role": "system", "text": "The caller has called before."},
    UserMessageItem(item_id=ID, content=(InputAudio(transcript="Have you a free slot?"),)),
    AssistantMessageItem(item_id=ID, content=(AssistantAudio(transcript="One moment."),), interrupted=True),
    RealtimeToolCallItem(
        item_id=ID, call_id=ToolCallId("call_1"), name="next_free_slot", arguments="{}", output="Tuesday"
    ),
    {"role": "assistant", "text": "On Tuesday at ten."},
    UserMessageItem(
        item_id=ID,
        content=(InputText(text="See here."), InputImage(image_url=PICTURE, detail="low")),
        status="in_progress",
    ),
)
ROLES = ["system", "user", "assistant", "next_free_slot", "assistant", "user"]


def shown(items: Sequence[RealtimeItem]) -> list[Any]:
    """What the items say, whatever their ids."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, RealtimeToolCallItem):
            found.append((item.name, item.call_id, item.arguments, item.output))
        elif isinstance(item, UserMessageItem | AssistantMessageItem | SystemMessageItem):
            found.append((item.role, item.content))
    return found


# What is told ---------------------------------------------------------------------------------------


def test_every_item_becomes_what_the_api_can_create() -> None:
    seeds = seeds_of(TALK)
    told = [each for seed in seeds for each in seed.inputs()]
    events = [
        ConversationItemCreateEvent.model_validate(
            {"type": each.message["type"], **each.message["other_data"]}
        )
        for each in told
    ]
    written = [event.item.model_dump(exclude_unset=True, mode="json") for event in events]
    assert written == [
        {
            "id": "earlier_1",
            "type": "message",
            "role": "system",
            "content": [{"type": "input_text", "text": "The caller has called before."}],
        },
        {
            "id": "earlier_2",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Have you a free slot?"}],
        },
        {
            "id": "earlier_3",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "One moment."}],
        },
        {
            "id": "earlier_4",
            "type": "function_call",
            "call_id": "call_1",
            "name": "next_free_slot",
            "arguments": "{}",
        },
        {
            "id": "earlier_4_output",
            "type": "function_call_output",
            "call_id": "call_1",
            "output": "Tuesday",
        },
        {
            "id": "earlier_5",
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "On Tuesday at ten."}],
        },
        {
            "id": "earlier_6",
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See here."},
                {"type": "input_image", "image_url": PICTURE, "detail": "low"},
            ],
        },
    ]
    assert len({event.event_id for event in events}) == len(events)
    assert [seed.item.previous_item_id for seed in seeds] == [None, *(seed.item.item_id for seed in seeds)][
        :-1
    ]


def test_who_said_what_and_a_picture_as_it_is_are_enough() -> None:
    picture = UserMessageItem(item_id=ID, content=(InputImage(image_url=PICTURE),))
    words, shown_picture = seeds_of([{"role": "user", "text": "Hello."}, picture])
    assert [item["content"] for item in words.commands.values()] == [
        [{"type": "input_text", "text": "Hello."}]
    ]
    assert [item["content"] for item in shown_picture.commands.values()] == [
        [{"type": "input_image", "image_url": PICTURE}]
    ]


def test_a_call_of_a_hosted_tool_is_told_as_one_of_a_function() -> None:
    hosted = RealtimeMcpCallItem(
        item_id=ID, server_label="docs", name="search", arguments='{"q":1}', output="Nine."
    )
    [seed] = seeds_of([hosted])
    call, output = seed.commands.values()
    assert (call["name"], call["arguments"], output["output"]) == ("search", '{"q":1}', "Nine.")
    assert call["call_id"] == output["call_id"]


@pytest.mark.parametrize(
    "nothing",
    [
        {"role": "user", "text": ""},
        UserMessageItem(item_id=ID),
        UserMessageItem(item_id=ID, content=(InputAudio(), InputText(text=""))),
        UserMessageItem(item_id=ID, content=(InputImage(image_url="file:///a.png"),)),
        AssistantMessageItem(item_id=ID, content=(AssistantAudio(), AssistantText(text=""))),
        SystemMessageItem(item_id=ID),
        RealtimeToolCallItem(item_id=ID, call_id=ToolCallId("call_1"), name="x", arguments="{}"),
        RealtimeMcpCallItem(item_id=ID, server_label="docs", name="search", arguments="{}"),
        RealtimeMcpListToolsItem(item_id=ID, server_label="docs"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_says_nothing_is_left_out(nothing: RealtimeEarlierItem) -> None:
    seeds = seeds_of([TALK[0], nothing, TALK[4]])
    assert [seed.item.item_id for seed in seeds] == ["earlier_1", "earlier_3"]
    assert seeds[1].item.previous_item_id == "earlier_1"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("Hello.", "part 2 of the history is a str"),
        ({"role": "caller", "text": "Hello."}, "role of part 2 .* not 'caller'"),
        ({"role": "user"}, "part 2 .* role and text"),
        ({"role": "user", "text": 7}, "part 2 .* role and text"),
        ({"role": "user", "text": "Hello.", "name": "Ann"}, "nothing else"),
        ({"text": "Hello."}, "part 2 .* role and text"),
    ],
)
async def test_what_is_no_part_of_a_history_is_refused_at_once(wrong: Any, why: str) -> None:
    with pytest.raises(UserError, match=why):
        await RealtimeRunner(RealtimeAgent[None](name="a")).run(history=[TALK[0], wrong])


# A session with it ----------------------------------------------------------------------------------


@asynccontextmanager
async def seeded(
    server: RealtimeServer, history: Sequence[RealtimeEarlierItem]
) -> AsyncIterator[tuple[RealtimeSession, Peer]]:
    """A session on a call, whose session.update was read already."""
    runner = RealtimeRunner(RealtimeAgent[None](name="a"), model=OpenAIRealtimeSIPModel())
    session = await runner.run(
        model_config={"api_key": "sk-test", "base_url": server.base_url, "call_id": "rtc_1"}, history=history
    )
    async with session:
        peer = await server.peer()
        await peer.receive("session.update")
        yield session, peer


async def until(session: RealtimeSession, kind: str) -> list[RealtimeSessionEvent]:
    """All events up to one of this kind."""
    found: list[RealtimeSessionEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            found.append(event)
            if event.type == kind:
                return found
    raise AssertionError(f"no {kind} came")


def echo(item: Any, previous: str | None) -> dict[str, Any]:
    """What the server says of an item that it took in."""
    return messages.item_added({**item, "object": "realtime.item", "status": "completed"}, previous)


async def test_the_server_is_told_before_anything_is_asked_of_it() -> None:
    async with realtime_server() as server, seeded(server, TALK) as (session, peer):
        await session.request_response()
        sent = [await peer.receive("conversation.item.create") for _ in range(7)]
        await peer.receive("response.create")
        assert [message["item"]["id"] for message in sent] == [
            *(f"earlier_{number}" for number in range(1, 5)),
            "earlier_4_output",
            "earlier_5",
            "earlier_6",
        ]
        assert all("previous_item_id" not in message for message in sent)


async def test_the_history_has_it_whatever_the_server_says_of_it() -> None:
    async with realtime_server() as server, seeded(server, TALK) as (session, peer):
        before = session.history
        assert [getattr(item, "role", None) or getattr(item, "name", None) for item in before] == ROLES
        assert [item.position for item in before] == sorted(item.position for item in before)
        previous: str | None = None
        for _ in range(7):
            item = (await peer.receive("conversation.item.create"))["item"]
            await peer.send(echo(item, previous))
            previous = item["id"]
        await peer.send(messages.response_created(), messages.response_done())
        happened = await until(session, "response_ended")
        assert [event.item for event in happened if event.type == "history_added"] == list(before)
        # They were told in the conversation that they come from.
        assert not [event for event in happened if event.type == "transcript_line"]
        assert shown(session.history) == shown(before)
        assert session.end is None


async def test_an_item_that_is_refused_goes_and_the_others_stay() -> None:
    async with realtime_server() as server, seeded(server, TALK) as (session, peer):
        sent = [await peer.receive("conversation.item.create") for _ in range(7)]
        await peer.send(messages.error("invalid_value", event_id=sent[1]["event_id"], message="Not that."))
        happened = await until(session, "history_updated")
        [error] = [event for event in happened if event.type == "error"]
        assert error.error["message"] == "Not that."
        assert [item.item_id for item in session.history] == [
            "earlier_1",
            "earlier_3",
            "earlier_4",
            "earlier_5",
            "earlier_6",
        ]
        # A call goes with its output, and goes once.
        for message in sent[3:5]:
            await peer.send(messages.error("invalid_value", event_id=message["event_id"]))
        await peer.send(messages.error("invalid_value", event_id="somebody else's"))
        await peer.send(messages.response_created(), messages.response_done())
        happened = await until(session, "response_ended")
        assert len([event for event in happened if event.type == "error"]) == 3
        assert len([event for event in happened if event.type == "history_updated"]) == 1
        assert len(session.history) == 4


async def test_what_is_said_in_the_session_stands_behind_it() -> None:
    async with realtime_server() as server, seeded(server, TALK[:1]) as (session, peer):
        item = (await peer.receive("conversation.item.create"))["item"]
        await peer.send(
            echo(item, None), messages.item_added(messages.user_message("item_1", "Hello."), "earlier_1")
        )
        happened = await until(session, "transcript_line")
        assert [item.item_id for item in session.history] == ["earlier_1", "item_1"]
        assert [event.text for event in happened if event.type == "transcript_line"] == ["Hello."]


async def test_a_caller_who_spoke_before_it_was_told_stands_before_it() -> None:
    async with realtime_server() as server, seeded(server, TALK[:1]) as (session, peer):
        item = (await peer.receive("conversation.item.create"))["item"]
        await peer.send(
            messages.item_added(messages.user_message("item_1", "Hello?"), None), echo(item, "item_1")
        )
        await peer.send(messages.response_created(), messages.response_done())
        await until(session, "response_ended")
        assert [item.item_id for item in session.history] == ["item_1", "earlier_1"]


async def test_after_a_lost_connection_it_is_not_told_again() -> None:
    async with realtime_server() as server, seeded(server, TALK[:1]) as (session, peer):
        await peer.receive("conversation.item.create")
        await peer.send(messages.session_updated())
        await peer.send(messages.response_created(), messages.response_done())
        await until(session, "response_ended")
        peer.drop()
        second = await server.peer()
        await session.add_system_message("fence")
        message = await second.receive("conversation.item.create")
        assert message["item"]["content"][0]["text"] == "fence"
        assert [item.item_id for item in session.history] == ["earlier_1"]


async def test_one_session_begins_where_another_one_ended() -> None:
    agent = RealtimeAgent[None](name="a")
    first = ScriptedRealtimeModel()
    async with await RealtimeRunner(agent, model=first).run(history=TALK) as session:
        await first.emit(*first.caller_says("Then Tuesday."), *first.agent_says("Until Tuesday."))
        ended = session.history
    second = ScriptedRealtimeModel()
    async with await RealtimeRunner(agent, model=second).run(history=ended) as session:
        begun = session.history
    third = ScriptedRealtimeModel()
    async with await RealtimeRunner(agent, model=third).run(history=begun) as session:
        assert shown(session.history) == shown(begun)
    assert shown(begun[:6]) == shown(ended[:6])
    assert shown(begun[6:]) == [
        ("user", (InputText(text="Then Tuesday."),)),
        ("assistant", (AssistantText(text="Until Tuesday."),)),
    ]
    assert all(isinstance(event, RealtimeModelSendRawMessage) for event in second.sent)
    assert second.sent == third.sent


class Breaking(ScriptedRealtimeModel):
    """Takes so many messages, and then does what it is told."""

    def __init__(self, good: int, error: BaseException) -> None:
        super().__init__()
        self.good, self.error = good, error
        self.closed = False

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        if len(self.sent) == self.good:
            raise self.error
        await super().send_event(event)

    async def close(self) -> None:
        self.closed = True
        await super().close()


async def test_a_connection_that_ends_meanwhile_ends_the_session_as_ever() -> None:
    model = Breaking(2, ConnectionLostError("gone"))
    async with await RealtimeRunner(RealtimeAgent[None](name="a"), model=model).run(history=TALK) as session:
        await model.end()
        happened = [event.type async for event in session]
    assert len(model.sent) == 2
    assert happened.count("history_added") == 6
    assert session.end is not None
    assert session.end.cause == "call_over"


@pytest.mark.parametrize("error", [RuntimeError("broken"), asyncio.CancelledError()])
async def test_a_model_that_cannot_be_told_is_closed(error: BaseException) -> None:
    model = Breaking(1, error)
    session = await RealtimeRunner(RealtimeAgent[None](name="a"), model=model).run(history=TALK)
    with pytest.raises(type(error)):
        await session.enter()
    assert model.closed
    assert [event.type async for event in session] == ["history_added"] * 6
