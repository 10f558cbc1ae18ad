"""What is made before the telephone rings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from sipagent.calls import CallContext, prepare, prepare_all
from sipagent.identifiers import CallId
from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings, RunContextWrapper
from sipagent.realtime.settings import RealtimeTruncationConfig
from tests.calls.test_actions import Controls
from tests.support.practice import front_door


def context(caller: str) -> CallContext:
    return CallContext(
        call_id=CallId("rtc_1"), caller=caller, dialled=None, sip_headers=(), controls=Controls()
    )


async def test_the_accept_body_is_whole_and_ready_before_any_call() -> None:
    (prepared,) = (await prepare_all(front_door())).values()
    assert prepared.session is not None
    body = json.loads(prepared.session)
    RealtimeSessionCreateRequest.model_validate(body)
    assert body["type"] == "realtime"
    assert body["model"] == "gpt-realtime-2.1"
    assert body["audio"]["output"] == {"format": {"type": "audio/pcmu"}, "voice": "marin"}
    assert body["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert body["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    assert body["audio"]["input"]["turn_detection"]["type"] == "server_vad"
    assert [tool["name"] for tool in body["tools"]] == ["next_free_slot", "hang_up", "transfer"]
    assert body["instructions"].startswith("You answer the phone")
    assert await prepared.session_for(context("+15550100123")) is prepared.session


async def test_negotiated_formats_are_left_out() -> None:
    (profile,) = front_door().profiles.values()
    settings: RealtimeSessionModelSettings = {
        **profile.settings,
        "input_audio_format": "negotiated",
        "output_audio_format": "negotiated",
    }
    prepared = await prepare(replace(profile, settings=settings))
    assert prepared.session is not None
    body = json.loads(prepared.session)
    assert "format" not in body["audio"]["input"]
    assert "format" not in body["audio"]["output"]


RATIO: RealtimeTruncationConfig = {"retention_ratio": 0.8, "token_limit": 8000}
SENT_RATIO = {"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 8000}}


@pytest.mark.parametrize(("given", "sent"), [("auto", "auto"), ("disabled", "disabled"), (RATIO, SENT_RATIO)])
async def test_truncation_goes_into_the_payload(given: Any, sent: Any) -> None:
    (profile,) = front_door().profiles.values()
    settings: RealtimeSessionModelSettings = {**profile.settings, "truncation": given}
    prepared = await prepare(replace(profile, settings=settings))
    assert prepared.session is not None
    assert json.loads(prepared.session)["truncation"] == sent


async def test_instructions_made_by_a_function_are_made_for_each_call() -> None:
    def instructions(wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> str:
        return f"The caller is {wrapper.context.caller}."

    (profile,) = front_door().profiles.values()
    prepared = await prepare(replace(profile, agent=RealtimeAgent(name="x", instructions=instructions)))
    assert prepared.session is None
    for caller in ("+15550100123", "+15550100124"):
        body = json.loads(await prepared.session_for(context(caller)))
        assert body["instructions"] == f"The caller is {caller}."
