"""Tokens: counted as the service bills them."""

from __future__ import annotations

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.simulator.items import assistant_message, from_client, function_call, user_audio
from sipagent.simulator.usage import Tokens, UsageMeter, item_tokens


def test_each_kind_of_item_has_its_price() -> None:
    assert item_tokens(user_audio(ItemId("a"), audio=b"", audio_ms=1050, spoken="x")) == Tokens(audio=11)
    speech = assistant_message(ItemId("b"), aloud=True)
    speech.audio_ms = 1000
    speech.finish_speech("twelve chars")
    assert item_tokens(speech) == Tokens(text=3, audio=20)
    speech.truncate(500)
    assert item_tokens(speech) == Tokens(audio=10)
    call = function_call(ItemId("c"), name="book", tool_call_id=ToolCallId("x"))
    call.body["arguments"] = "{ab}"
    assert item_tokens(call) == Tokens(text=2)
    output = {"type": "function_call_output", "call_id": "x", "output": "eight ch"}
    assert item_tokens(from_client(ItemId("d"), output)) == Tokens(text=2)
    approval = {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}
    assert item_tokens(from_client(ItemId("e"), approval)) == Tokens()


def test_the_conversation_before_counts_as_cached_the_second_time() -> None:
    meter = UsageMeter()
    said = user_audio(ItemId("a"), audio=b"", audio_ms=1000, spoken="x")
    answer = assistant_message(ItemId("b"), aloud=True)
    answer.audio_ms = 1000
    answer.finish_speech("four")
    first = meter.measure(instructions="12345678", tools=[], context=[said, answer], outputs=[answer])
    assert first["input_token_details"]["cached_tokens"] == 0
    assert (first["input_tokens"], first["output_tokens"]) == (2 + 1 + 10, 21)
    assert first["total_tokens"] == meter.last_total == 34
    second = meter.measure(instructions="12345678", tools=[], context=[said, answer], outputs=[])
    details = second["input_token_details"]
    assert (second["input_tokens"], details["cached_tokens"]) == (34, 13)
    assert details["cached_tokens_details"] == {"text_tokens": 3, "audio_tokens": 10, "image_tokens": 0}
    shorter = meter.measure(instructions="", tools=[], context=[], outputs=[])
    assert shorter["input_token_details"]["cached_tokens"] <= shorter["input_tokens"]
