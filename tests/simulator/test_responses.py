"""One response on its own: what breaks it, and how it is paced."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.script import parse_script
from tests.simulator.session_rig import Rig

DELTA = "response.output_audio_transcript.delta"


class BrokenVoice:
    """Cannot speak."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def speak(self, text: str) -> bytes:
        raise self._error


async def test_a_voice_that_fails_fails_the_response() -> None:
    async with Rig(voice=BrokenVoice(SimulatorError("no breath"))) as rig:
        rig.send("response.create")
        done = (await rig.client.until("response.done"))["response"]
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["message"] == "no breath"
        rig.send("response.create")
        await rig.client.until("response.done", 2)


async def test_a_mistake_of_ours_leaves_no_response_open(caplog: pytest.LogCaptureFixture) -> None:
    async with Rig(voice=BrokenVoice(RuntimeError("bug"))) as rig:
        rig.send("response.create")
        done = (await rig.client.until("response.done"))["response"]
        assert done["status"] == "failed"
    assert "test call: a response broke" in caplog.text


async def test_words_come_at_the_scripts_pace() -> None:
    words = "one two three four five six seven eight"
    script = parse_script(f"delay_ms: 0\npace: 4\ngreeting: {words}\n", name="test.yaml")
    async with Rig(script) as rig:
        loop = asyncio.get_running_loop()
        began = loop.time()
        rig.send("response.create")
        await rig.client.until("response.done")
        # 39 characters of 65 ms each, generated four times as fast as they are heard.
        assert 0.6 < loop.time() - began < 6
        deltas = [event["delta"] for event in rig.client.of(DELTA)]
        assert len(deltas) > 2
        assert "".join(deltas) == words


async def test_a_blank_answer_says_nothing() -> None:
    async with Rig('turns: [{call: {tool: next_free_slot, then: "{output}"}}]\n') as rig:
        rig.say("When?")
        done = await rig.client.until("response.done")
        call_id = done["response"]["output"][0]["call_id"]
        output = {"type": "function_call_output", "call_id": call_id, "output": " "}
        rig.send("conversation.item.create", item=output)
        rig.send("response.create")
        done = (await rig.client.until("response.done", 2))["response"]
        assert (done["status"], done["output"]) == ("completed", [])
        assert rig.host.done == ["finished"]


async def test_tools_follow_the_choice_of_the_session_and_of_the_response() -> None:
    async with Rig(
        "turns: [{say: One., call: hang_up}, {say: Two., call: hang_up}, {call: special}]\n"
    ) as rig:
        rig.send("session.update", session={"type": "realtime", "tool_choice": "none"})
        rig.say("x")
        done = await rig.client.until("response.done")
        assert len(done["response"]["output"]) == 1
        rig.send("session.update", session={"type": "realtime", "tool_choice": "auto"})
        rig.say("x")
        done = await rig.client.until("response.done", 2)
        assert len(done["response"]["output"]) == 2
        update = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
        rig.send("session.update", session=update)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
        rig.send("conversation.item.create", item=item)
        special = {"type": "function", "name": "special", "parameters": {}}
        rig.send("response.create", response={"tools": [special]})
        done = await rig.client.until("response.done", 3)
        assert done["response"]["output"][0]["name"] == "special"
