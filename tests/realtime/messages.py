"""Messages of the server, as tests write them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def session_created(**audio_output: Any) -> Json:
    return {
        "type": "session.created",
        "event_id": "event_s",
        "session": {
            "type": "realtime",
            "id": "sess_1",
            "model": "gpt-realtime-2.1",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", **audio_output},
            },
        },
    }


def session_updated(**audio_output: Any) -> Json:
    return {**session_created(**audio_output), "type": "session.updated"}


def response_created(response_id: str = "resp_1", *, conversation_id: str | None = "conv_1") -> Json:
    return {
        "type": "response.created",
        "event_id": "event_c",
        "response": {
            "id": response_id,
            "object": "realtime.response",
            "status": "in_progress",
            "conversation_id": conversation_id,
            "output": [],
        },
    }


def response_done(
    response_id: str = "resp_1",
    *,
    status: str = "completed",
    output: list[Json] | None = None,
    conversation_id: str | None = "conv_1",
    **more: Any,
) -> Json:
    return {
        "type": "response.done",
        "event_id": "event_d",
        "response": {
            "id": response_id,
            "object": "realtime.response",
            "status": status,
            "conversation_id": conversation_id,
            "output": output or [],
            **more,
        },
    }


def function_call(name: str, call_id: str, arguments: str = "{}", *, item_id: str | None = None) -> Json:
    """The item of a completed call."""
    return {
        "id": item_id or f"item_{call_id}",
        "type": "function_call",
        "status": "completed",
        "name": name,
        "call_id": call_id,
        "arguments": arguments,
    }


def assistant_message(item_id: str, transcript: str | None, *, status: str = "completed") -> Json:
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [] if transcript is None else [{"type": "output_audio", "transcript": transcript}],
    }


def user_message(item_id: str, transcript: str | None = None) -> Json:
    return {
        "id": item_id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_audio", "transcript": transcript}],
    }


def output_item_done(item: Json, response_id: str = "resp_1") -> Json:
    return {
        "type": "response.output_item.done",
        "event_id": "event_i",
        "response_id": response_id,
        "output_index": 0,
        "item": item,
    }


def item_added(item: Json, previous_item_id: str | None) -> Json:
    return {
        "type": "conversation.item.added",
        "event_id": "event_a",
        "item": item,
        "previous_item_id": previous_item_id,
    }


def transcript_delta(delta: str, item_id: str = "item_1", response_id: str = "resp_1") -> Json:
    return {
        "type": "response.output_audio_transcript.delta",
        "event_id": "event_t",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
        "delta": delta,
    }


def playback(change: str, response_id: str = "resp_1") -> Json:
    return {
        "type": f"output_audio_buffer.{change}",
        "event_id": "event_p",
        "response_id": response_id,
    }


def error(code: str | None, *, event_id: str | None = None, message: str = "That did not work.") -> Json:
    return {
        "type": "error",
        "event_id": "event_e",
        "error": {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": None,
            "event_id": event_id,
        },
    }


def audio_delta(base64_audio: str, item_id: str = "item_1", response_id: str = "resp_1") -> Json:
    return {
        "type": "response.output_audio.delta",
        "event_id": "event_u",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
        "delta": base64_audio,
    }


def speech_stopped(item_id: str = "item_9") -> Json:
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": 2000}


def speech_started(item_id: str = "item_9") -> Json:
    return {
        "type": "input_audio_buffer.speech_started",
        "event_id": "event_v",
        "item_id": item_id,
        "audio_start_ms": 100,
    }
