"""Adding, finding, cutting and removing items, by client events and inside."""

from __future__ import annotations

from typing import Any

from sipagent.identifiers import ItemId
from sipagent.simulator.items import ItemList, assistant_message, from_client, user_audio
from tests.simulator.session_rig import Rig


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **fields}


def test_items_keep_their_order() -> None:
    items = ItemList()
    for name in ("b", "d"):
        items.add(from_client(ItemId(name), message(name)))
    assert items.add(from_client(ItemId("c"), message("c")), after="b") == "b"
    assert items.add(from_client(ItemId("a"), message("a")), after="root") is None
    assert [item.item_id for item in items] == ["a", "b", "c", "d"]
    assert items.previous_id(ItemId("a")) is None
    assert items.last_id == "d"
    items.remove(ItemId("d"))
    assert items.last_id == "c"
    assert items.get("d") is None
    assert len(items) == 3


def test_a_cut_removes_the_transcript_and_the_rest_of_the_sound() -> None:
    item = assistant_message(ItemId("x"), aloud=True)
    item.audio, item.audio_ms = bytes(8000), 1000.0
    item.finish_speech("Never mind.")
    item.truncate(250)
    assert item.body["content"] == [{"type": "output_audio"}]
    assert len(item.audio) == 2000
    assert (item.audio_ms, item.spoken, item.truncated) == (250, "Never mind.", True)


def test_a_cut_during_speech_keeps_the_transcript_out_for_good() -> None:
    item = assistant_message(ItemId("x"), aloud=True)
    item.truncate(0)
    item.finish_speech("Never mind.")
    assert item.body["content"] == [{"type": "output_audio"}]


def test_a_transcript_reaches_the_users_item() -> None:
    item = user_audio(ItemId("x"), audio=b"", audio_ms=500, spoken="")
    item.set_transcript("Hello.")
    assert item.body["content"] == [{"type": "input_audio", "transcript": "Hello."}]


async def test_a_client_adds_finds_and_removes_items() -> None:
    async with Rig() as rig:
        rig.client.events.clear()
        rig.send("conversation.item.create", item=message("One.", id="first"))
        rig.send("conversation.item.create", item=message("Zero."), previous_item_id="root")
        assert rig.client.types == ["conversation.item.added", "conversation.item.done"] * 2
        assert rig.client.events[0]["item"]["id"] == "first"
        assert rig.client.events[0]["previous_item_id"] is None
        assert rig.client.events[3]["previous_item_id"] is None
        rig.send("conversation.item.create", item=message("Two."), previous_item_id="first")
        assert rig.client.events[-1]["previous_item_id"] == "first"
        assert rig.client.events[-1]["item"]["status"] == "completed"
        rig.send("conversation.item.retrieve", item_id="first")
        assert rig.client.events[-1]["item"]["content"][0]["text"] == "One."
        rig.send("conversation.item.delete", item_id="first")
        assert rig.client.types[-1] == "conversation.item.deleted"
        assert [line.text for line in rig.conversation.transcript] == ["Zero.", "Two."]


async def test_what_a_client_cannot_do_with_items() -> None:
    output = {"type": "function_call_output", "call_id": "call_x", "output": "?"}
    speech = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_audio", "audio": "AAAA", "transcript": "Hi"}],
    }
    async with Rig() as rig:
        rig.send("conversation.item.create", item=message("One.", id="first"))
        attempts: list[tuple[str, dict[str, Any], str]] = [
            ("conversation.item.create", {"item": message("Again.", id="first")}, "invalid_value"),
            ("conversation.item.create", {"item": message("x"), "previous_item_id": "no"}, "invalid_value"),
            ("conversation.item.create", {"item": output}, "invalid_tool_call_id"),
            ("conversation.item.create", {"item": speech}, "invalid_value"),
            ("conversation.item.delete", {"item_id": "no"}, "item_delete_invalid_item_id"),
            ("conversation.item.retrieve", {"item_id": "no"}, "item_retrieve_invalid_item_id"),
            (
                "conversation.item.truncate",
                {"item_id": "no", "content_index": 0, "audio_end_ms": 0},
                "item_truncate_invalid_item_id",
            ),
            (
                "conversation.item.truncate",
                {"item_id": "first", "content_index": 0, "audio_end_ms": 0},
                "invalid_value",
            ),
        ]
        for kind, fields, code in attempts:
            rig.client.events.clear()
            rig.send(kind, event_id="mine", **fields)
            assert rig.client.types == ["error"], kind
            error = rig.client.events[0]["error"]
            assert (error["code"], error["event_id"]) == (code, "mine")
            assert error["type"] == "invalid_request_error"
        assert rig.conversation.events_received["refused"] == len(attempts)
        assert [line.text for line in rig.conversation.transcript] == ["One."]


async def test_a_written_message_is_answered_like_a_spoken_one() -> None:
    async with Rig('turns: ["You wrote {caller}"]\n') as rig:
        rig.send("conversation.item.create", item=message("a letter."))
        rig.send("response.create")
        done = await rig.client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "You wrote a letter."
