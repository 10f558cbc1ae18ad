"""The rules of order that hold whatever a client and a caller do, in any sequence."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.session_rig import Rig
from tests.simulator.test_fidelity import check

SCRIPT = """
turns:
  - A first answer that takes a while to say.
  - {say: One moment., call: {tool: next_free_slot, then: "It is {output}."}}
  - {call: hang_up}
transcription: {delay_ms: [0, 3]}
"""

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}
ACTIONS = st.sampled_from(
    [
        "speak",
        "begin",
        "end",
        "digit",
        "play out",
        "wait",
        "create",
        "aside",
        "text",
        "cancel",
        "clear",
        "message",
        "front",
        "answer",
        "delete",
        "truncate",
        "manual",
        "vad",
        "commit",
        "nonsense",
        "reattach",
    ]
)


async def play(actions: list[str]) -> list[dict[str, Any]]:
    """Do all of it, then let everything come to its end."""
    async with Rig(SCRIPT) as rig:
        for action in actions:
            await perform(rig, action)
        created = len(rig.client.of("response.created"))
        if created:
            await rig.client.until("response.done", created)
        for _ in range(len(actions)):
            await perform(rig, "play out")
        return rig.client.events


async def perform(rig: Rig, action: str) -> None:
    call = rig.conversation
    match action:
        case "speak":
            rig.say("Hello.")
        case "begin":
            call.caller_speech_started()
        case "end":
            call.caller_speech_stopped("Hello.")
        case "digit":
            call.caller_digit("1")
        case "play out" if rig.leg.finishing:
            rig.leg.play_out()
        case "wait":
            await asyncio.sleep(0.003)
        case "create":
            rig.send("response.create")
        case "aside":
            rig.send("response.create", response={"conversation": "none"})
        case "text":
            rig.send("response.create", response={"output_modalities": ["text"]})
        case "cancel":
            rig.send("response.cancel")
        case "clear":
            rig.send("output_audio_buffer.clear")
        case "message":
            rig.send("conversation.item.create", item=MESSAGE)
        case "front":
            rig.send("conversation.item.create", item=MESSAGE, previous_item_id="root")
        case "answer":
            for event in rig.client.of("response.function_call_arguments.done")[-1:]:
                item = {"type": "function_call_output", "call_id": event["call_id"], "output": "Tuesday"}
                rig.send("conversation.item.create", item=item)
        case "delete" | "truncate":
            for event in rig.client.of("conversation.item.added")[-1:]:
                fields: dict[str, Any] = {"item_id": event["item"]["id"]}
                if action == "truncate":
                    fields |= {"content_index": 0, "audio_end_ms": 0}
                rig.send(f"conversation.item.{action}", **fields)
        case "manual" | "vad":
            turns = None if action == "manual" else {"type": "server_vad"}
            session = {"type": "realtime", "audio": {"input": {"turn_detection": turns}}}
            rig.send("session.update", session=session)
        case "commit":
            for _ in range(6):
                call.caller_audio(bytes([0xFF]) * 160)
            rig.send("input_audio_buffer.commit")
        case "nonsense":
            call.receive(json.dumps({"type": "response.dance"}))
        case "reattach":
            call.detach()
            call.attach(rig.client.take)
        case _:
            pass


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=25))
def test_the_rules_of_order_always_hold(actions: list[str]) -> None:
    events = asyncio.run(play(actions))
    for event in events:
        check(event)
    responses_begin_once_and_end_once(events)
    items_are_added_then_done_once(events)
    playback_begins_before_it_ends(events)
    ids = [event["event_id"] for event in events if "event_id" in event]
    assert len(ids) == len(set(ids))


def responses_begin_once_and_end_once(events: list[dict[str, Any]]) -> None:
    active: str | None = None
    over: Counter[str] = Counter()
    created: set[str] = set()
    for event in events:
        kind, response = event["type"], event.get("response", {})
        if kind == "response.created":
            created.add(response["id"])
            if response["conversation_id"] is not None:
                assert active is None, "two responses write to the conversation"
                active = response["id"]
        elif kind == "response.done":
            over[response["id"]] += 1
            active = None if active == response["id"] else active
            assert response["status"] in ("completed", "cancelled")
            assert all(item["status"] != "in_progress" for item in response["output"])
        elif kind.startswith("response."):
            assert event["response_id"] in created
            assert not over[event["response_id"]], f"{kind} after the end"
    assert over == Counter(created)


def items_are_added_then_done_once(events: list[dict[str, Any]]) -> None:
    added: set[str] = set()
    done: Counter[str] = Counter()
    deleted: set[str] = set()
    for event in events:
        match event["type"]:
            case "conversation.item.added":
                assert event["item"]["id"] not in added
                assert event["previous_item_id"] in added | {None}
                added.add(event["item"]["id"])
            case "conversation.item.done":
                done[event["item"]["id"]] += 1
            case "conversation.item.deleted":
                deleted.add(event["item_id"])
            case "input_audio_buffer.committed":
                assert event["item_id"] not in added, "committed comes before its item"
            case _:
                pass
    assert set(done) <= added
    assert added - set(done) <= deleted
    assert set(done.values()) <= {1}


def playback_begins_before_it_ends(events: list[dict[str, Any]]) -> None:
    playing: str | None = None
    for event in events:
        match event["type"]:
            case "output_audio_buffer.started":
                assert playing is None
                playing = event["response_id"]
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared":
                assert playing == event["response_id"]
                playing = None
            case _:
                pass
    assert playing is None
