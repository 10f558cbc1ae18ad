"""Every event the pretended service can send, held against the types of the official client.

Those types keep unknown fields silently; here one fails the test, unless it is known to be sent by the real
service although the types lack it.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import BaseModel

from sipagent.simulator import server_events
from tests.simulator.session_rig import PHONE_SESSION, Rig

# In `session`, documented for the real service (the client's types describe what a client sends).
EXTRA_FIELDS = frozenset({"session.id", "session.object", "session.expires_at"})

NOT_PLAYED = {
    # Announced twice: the older name of conversation.item.added.
    "conversation.item.created",
    # Only from a model that tells speakers apart.
    "conversation.item.input_audio_transcription.segment",
}

EVENT_TYPES: dict[str, type[BaseModel]] = {
    get_args(member.model_fields["type"].annotation)[0]: member
    for member in get_args(get_args(RealtimeServerEvent)[0])
}

SCRIPT = """
greeting: Good morning to you all.
announces_truncation: true
transcription: {delay_ms: 0}
turns:
  - say: One moment.
    call: {tool: next_free_slot, with: {treatment: checkup}, then: "It is {output}."}
"""


def unknown_fields(value: object, path: str = "") -> Iterator[str]:
    match value:
        case BaseModel():
            for name in value.model_extra or {}:
                yield f"{path}{name}"
            for name in type(value).model_fields:
                yield from unknown_fields(getattr(value, name), f"{path}{name}.")
        case list():
            for entry in value:
                yield from unknown_fields(entry, path)
        case _:
            return


def check(event: dict[str, Any]) -> None:
    """Fails unless ``event`` is one of the documented ones to the letter."""
    model = EVENT_TYPES[event["type"]]
    read = model.model_validate_json(json.dumps(event), strict=True)
    assert set(unknown_fields(read)) <= EXTRA_FIELDS, event
    if "event_id" in model.model_fields:
        assert event["event_id"].startswith("event_")
    else:
        assert "event_id" not in event


async def tour_by_phone() -> list[dict[str, Any]]:
    """A call in which everything happens that can happen over SIP."""
    async with Rig(SCRIPT) as rig:
        rig.send("response.create")
        await rig.client.until("response.done")
        rig.leg.sent_ms = 300
        rig.say("When is your next free slot?")
        done = await rig.client.until("response.done", 2)
        await rig.client.until("conversation.item.input_audio_transcription.completed")
        call = done["response"]["output"][1]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "Tuesday"}
        rig.send("conversation.item.create", item=output)
        rig.send("response.create", response={"metadata": {"purpose": "tool"}, "max_output_tokens": 500})
        await rig.client.until("response.done", 3)
        rig.leg.play_out()
        rig.leg.play_out()
        rig.conversation.caller_digit("5")
        note = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Hi."}]}
        rig.send("conversation.item.create", item=note, previous_item_id="root")
        note_id = rig.client.last("conversation.item.done")["item"]["id"]
        rig.send("conversation.item.retrieve", item_id=note_id)
        rig.send("conversation.item.delete", item_id=note_id)
        rig.send("session.update", session=PHONE_SESSION)
        rig.send("response.create", response={"output_modalities": ["text"], "conversation": "none"})
        await rig.client.until("response.done", 4)
        rig.send("response.create", response={"max_output_tokens": 1})
        await rig.client.until("response.done", 5)
        rig.send("response.cancel", event_id="mine")
        rig.conversation._silence_lasted(0)
        await rig.client.until("response.done", 6)
        return rig.client.events


async def tour_by_socket() -> list[dict[str, Any]]:
    """A session whose audio goes over the socket, in the API's default format; and failed transcription."""
    script = "transcription: {delay_ms: 0, fails: true}\n"
    session = {"type": "realtime", "model": "gpt-realtime-2.1"}
    async with Rig(script, session=session, on_the_phone=False) as rig:
        whisper = {"input": {"transcription": {"model": "whisper-1"}, "turn_detection": None}}
        rig.send("session.update", session={"type": "realtime", "audio": whisper})
        silence = base64.b64encode(bytes(48_000)).decode()
        rig.send("input_audio_buffer.append", audio=silence)
        rig.send("input_audio_buffer.clear")
        rig.send("input_audio_buffer.append", audio=silence)
        rig.send("input_audio_buffer.commit")
        rig.send("response.create")
        await rig.client.until("response.done")
        await rig.client.until("conversation.item.input_audio_transcription.failed")
        return rig.client.events


async def tour_by_whisper() -> list[dict[str, Any]]:
    """Transcription that is billed by time, and a client that cancels."""
    audio = PHONE_SESSION["audio"]
    whisper = {**audio["input"], "transcription": {"model": "whisper-1"}}
    session = {**PHONE_SESSION, "audio": {**audio, "input": whisper}}
    script = "transcription: {delay_ms: 0}\nturns: [{say: Yes., delay_ms: 60000}]\n"
    async with Rig(script, session=session) as rig:
        rig.say("Hello.")
        await rig.client.until("conversation.item.input_audio_transcription.completed")
        rig.send("response.cancel")
        return rig.client.events


async def tour_by_hosted_tools() -> list[dict[str, Any]]:
    """Tools that the service runs: one server that cannot be reached, calls with approval and without."""
    places = {"docs": "https://docs.example", "shop": "https://shop.example", "gone": "https://gone.example"}
    servers: list[dict[str, Any]] = [
        {"type": "mcp", "server_label": label, "server_url": url} for label, url in places.items()
    ]
    servers[0]["require_approval"] = "never"
    script = """
mcp: {gone: {fails: true}}
greeting: {call: [{tool: search, mcp: docs, output: Nine.}, {tool: order, mcp: shop, error: Sold out.}]}
"""
    async with Rig(script, session={**PHONE_SESSION, "tools": servers}) as rig:
        await rig.client.until("mcp_list_tools.completed", 2)
        rig.send("response.create")
        done = await rig.client.until("response.done")
        request = done["response"]["output"][2]
        answer = {"type": "mcp_approval_response", "id": "mine", "approval_request_id": request["id"]}
        rig.send("conversation.item.create", item={**answer, "approve": True, "reason": "Go on."})
        await rig.client.until("response.mcp_call.failed")
        rig.send("response.create")
        await rig.client.until("response.done", 2)
        return rig.client.events


TOURS = {
    "phone": tour_by_phone,
    "socket": tour_by_socket,
    "whisper": tour_by_whisper,
    "hosted tools": tour_by_hosted_tools,
}


@pytest.mark.parametrize("name", TOURS)
async def test_every_event_is_documented_to_the_letter(name: str) -> None:
    events = await TOURS[name]()
    assert events
    for event in events:
        check(event)


async def test_the_tours_pass_by_every_event_that_can_be_sent() -> None:
    seen = {event["type"] for tour in TOURS.values() for event in await tour()}
    source = inspect.getsource(server_events)
    built = set(re.findall(r'(?:"type": |_content\()"([a-z_.]+)"', source))
    assert seen == built - {
        "tokens",
        "invalid_request_error",
        "transcription_error",
        "response.gesture.delta",
    }


async def test_every_documented_event_is_sent_or_left_out_for_a_reason() -> None:
    seen = {event["type"] for tour in TOURS.values() for event in await tour()}
    assert seen | NOT_PLAYED == set(EVENT_TYPES)
    assert not seen & NOT_PLAYED


def test_the_check_itself_finds_mistakes() -> None:
    good = {
        "type": "input_audio_buffer.speech_started",
        "event_id": "event_1",
        "item_id": "x",
        "audio_start_ms": 1,
    }
    check(good)
    with pytest.raises(AssertionError):
        check({**good, "extra": 1})
    with pytest.raises(ValueError):
        check({**good, "audio_start_ms": None})
    with pytest.raises(ValueError):
        check({name: value for name, value in good.items() if name != "item_id"})
