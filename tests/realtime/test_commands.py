"""What is sent to the server, held against the official types."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter

from sipagent.errors import UserError
from sipagent.identifiers import ItemId
from sipagent.realtime import commands
from sipagent.realtime.playback import Heard
from sipagent.realtime.settings import session_payload

OFFICIAL: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
HEARD = Heard(item_id=ItemId("item_1"), content_index=0, heard_ms=1234, response_id=None, fully_played=False)
EVERY_COMMAND = [
    commands.response_create("e1", None),
    commands.response_create("e1", {"instructions": "Greet."}),
    commands.response_cancel(),
    commands.response_cancel("resp_1"),
    commands.session_update(session_payload({"instructions": "x"}, default_format="pcm16", model="m")),
    json.loads(commands.CommandWriter().write_audio(b"\x00\xff")),
    commands.audio_commit(),
    commands.playback_clear(),
    commands.truncate(HEARD),
    commands.tool_output("call_1", "found"),
    commands.system_message("Be brief."),
    commands.user_message("hello"),
]


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=lambda command: command["type"])
def test_the_official_types_know_every_command(command: commands.Command) -> None:
    text = commands.CommandWriter().write(command)
    event = OFFICIAL.validate_python(json.loads(text))
    assert event.type == command["type"]
    # Nothing that the types do not know, at any depth: an unknown field makes the API refuse the command.
    known = event.model_dump(mode="json", exclude_unset=True)
    assert known == json.loads(text)
    assert not extras(event)


def extras(value: Any) -> list[str]:
    """Fields of an official value that its class does not declare."""
    found: list[str] = []
    if hasattr(value, "model_fields_set"):
        found += list(value.model_extra or {})
        for name in type(value).model_fields:
            found += extras(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            found += extras(each)
    return found


def test_every_command_has_an_id_of_its_own_and_keeps_one_it_came_with() -> None:
    writer = commands.CommandWriter()
    ids = [json.loads(writer.write(commands.response_cancel()))["event_id"] for _ in range(3)]
    assert len(set(ids)) == 3
    assert json.loads(writer.write(commands.response_create("mine", None)))["event_id"] == "mine"


def test_writing_leaves_the_command_as_it_was() -> None:
    command = commands.response_cancel()
    commands.CommandWriter().write(command)
    assert command == {"type": "response.cancel"}


def test_audio_is_base64() -> None:
    writer = commands.CommandWriter()
    for number in (1, 2):
        command = json.loads(writer.write_audio(b"\x00\x01\xff"))
        assert base64.b64decode(command["audio"], validate=True) == b"\x00\x01\xff"
        assert command["event_id"] == f"sipagent_{number}"


def test_a_response_has_parameters_only_where_some_were_given() -> None:
    assert "response" not in commands.response_create("e1", None)
    assert commands.response_create("e1", {})["response"] == {}


def test_a_truncation_says_how_much_was_heard() -> None:
    assert commands.truncate(HEARD) == {
        "type": "conversation.item.truncate",
        "item_id": "item_1",
        "content_index": 0,
        "audio_end_ms": 1234,
    }


def test_a_message_of_the_user_is_an_item_of_the_conversation() -> None:
    assert commands.user_message("Good morning.") == {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Good morning."}],
        },
    }


def test_a_message_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="at least one text or image"):
        commands.user_message({"type": "message", "role": "user", "content": []})


def test_the_answer_to_a_request_has_an_id_that_the_server_takes_once() -> None:
    made = commands.approval_response("mcpr_1", approve=False, reason="Too dear.")
    assert made["item"] == {
        "type": "mcp_approval_response",
        "id": commands.approval_id("mcpr_1"),
        "approval_request_id": "mcpr_1",
        "approve": False,
        "reason": "Too dear.",
    }
    assert made == commands.approval_response("mcpr_1", approve=False, reason="Too dear.")
    assert "reason" not in commands.approval_response("mcpr_1", approve=True, reason=None)["item"]
    ids = {commands.approval_id(name) for name in ("mcpr_1", "mcpr_2", "x" * 500, "\ud800", "")}
    assert len(ids) == 5
    assert all(len(each) <= 32 for each in ids)
