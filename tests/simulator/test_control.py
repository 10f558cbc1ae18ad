"""The control API: calls placed, moved and looked at over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from sipagent.simulator.call_values import CallSettings
from sipagent.simulator.script import Script, Step
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from tests.simulator.receiver import WebhookReceiver

SESSION = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-transcribe"}}}}


class Control:
    """The control API, and just enough of the Calls API."""

    def __init__(self, http: aiohttp.ClientSession, simulator: Simulator) -> None:
        self._http = http
        self._simulator = simulator

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        url = f"{self._simulator.control_url}/{path}"
        async with self._http.request(method, url, json=body) as answer:
            return answer.status, await answer.json()

    async def place(self, **body: object) -> str:
        status, answer = await self.ask("POST", "calls", body)
        assert status == 201
        return str(answer["call_id"])

    async def accept(self, call_id: str) -> None:
        url = f"{self._simulator.base_url}/realtime/calls/{call_id}/accept"
        headers = {"Authorization": "Bearer sk-test"}
        async with self._http.post(url, json=SESSION, headers=headers) as answer:
            assert answer.status == 200
        async with self._http.ws_connect(
            f"{self._simulator.base_url}/realtime", params={"call_id": call_id}, headers=headers
        ) as socket:
            await socket.send_json({"type": "response.create"})
            while (await socket.receive_json())["type"] != "response.created":
                pass

    async def over(self, call_id: str) -> dict[str, Any]:
        status, answer = await self.ask("GET", f"calls/{call_id}?wait_s=20")
        assert status == 200
        assert answer["state"] in {"ended", "rejected", "cancelled"}
        return answer


@pytest.fixture
async def simulator(receiver: WebhookReceiver) -> AsyncIterator[Simulator]:
    script = Script(
        greeting=Step(say="Good morning."),
        otherwise=Step(say="I see."),
        caller_lines=("From the script.",),
        delay_ms=1,
    )
    options = SimulatorOptions(
        media="virtual",
        script=script,
        webhook_url=receiver.url,
        virtual_voice=SilentVoice(ms_per_character=2),
        calls=CallSettings(webhook_delay_s=0, answer_delay_s=0),
    )
    async with Simulator(options) as simulator:
        yield simulator


@pytest.fixture
async def control(simulator: Simulator) -> AsyncIterator[Control]:
    async with aiohttp.ClientSession() as http:
        yield Control(http, simulator)


async def test_a_virtual_call_from_the_first_word_to_the_last(
    control: Control, receiver: WebhookReceiver
) -> None:
    call_id = await control.place(
        **{
            "from": "+15550100111",
            "to": "+15550100222",
            "headers": [["X-Campaign", "autumn"]],
            "lines": [
                {"say": "First.", "duration_s": 0.02, "pause_s": 0.01},
                {"press": "1#", "pause_s": 0.01},
                {"say": "Second.", "duration_s": 0.02, "at_s": 0.6},
                {"hang_up": True, "pause_s": 0.01},
            ],
            "then": "wait",
            "media_security": "srtp",
            "patience_s": 0.2,
        }
    )
    webhook = await receiver.next()
    assert webhook.call_id == call_id
    assert webhook.data["sip_media_security"] == "srtp"
    sip_headers = {header["name"]: header["value"] for header in webhook.data["sip_headers"]}
    assert "+15550100111" in sip_headers["From"]
    assert "+15550100222" in sip_headers["To"]
    assert sip_headers["X-Campaign"] == "autumn"
    await control.accept(call_id)
    shown = await control.over(call_id)
    assert shown["ended_by"] == "caller"
    texts = [line["text"] for line in shown["transcript"]]
    assert texts == ["Good morning.", "First.", "I see.", "Second.", "I see."]
    assert shown["statistics"]["digits"] == "1#"
    assert shown["statistics"]["frames_sent"] > 0
    assert [change["state"] for change in shown["history"]] == ["trying", "ringing", "answered", "ended"]
    assert [attempt["status"] for attempt in shown["webhook_attempts"]] == [200]
    assert shown["events_received"] == {"response.create": 1}
    assert (shown["sockets"], shown["unattended_s"], shown["tool_outputs"]) == (0, [], {})
    assert [(each["action"], each["verdict"]) for each in shown["requests"]] == [("accept", "done")]
    (controller,) = shown["controllers"]
    assert controller["commands"] == 1
    assert controller["attached_at"] <= controller["last_command_at"] <= controller["detached_at"]
    assert shown["last_command_at"] == controller["last_command_at"]
    assert shown["events_sent"]["response.created"] >= 1


async def test_without_lines_the_headers_speak_and_then_the_script(
    control: Control, receiver: WebhookReceiver
) -> None:
    says = [["X-Sipagent-Caller-Says", quote("Grüß Gott.")], ["x-sipagent-caller-says", "Bye."]]
    for headers, lines in ((says, ["Grüß Gott.", "Bye."]), ([], ["From the script."])):
        call_id = await control.place(headers=headers)
        await receiver.next()
        await control.accept(call_id)
        shown = await control.over(call_id)
        assert [line["text"] for line in shown["transcript"] if line["role"] == "caller"] == lines


async def test_a_caller_is_moved_by_hand(control: Control, receiver: WebhookReceiver) -> None:
    call_id = await control.place(lines=[], then="wait")
    await receiver.next()
    assert (await control.ask("POST", f"calls/{call_id}/say", {"text": "Too early."}))[0] == 400
    await control.accept(call_id)
    say = await control.ask("POST", f"calls/{call_id}/say", {"text": "By hand.", "duration_s": 5})
    assert say == (200, {})
    status, answer = await control.ask("POST", f"calls/{call_id}/digits", {"digits": "1"})
    assert (status, answer["error"]) == (400, "the caller is still speaking or pressing keys")
    status, answer = await control.ask("POST", f"calls/{call_id}/hangup")
    assert (status, answer["state"], answer["ended_by"]) == (200, "ended", "caller")
    other = await control.place(lines=[], then="wait")
    await receiver.next()
    await control.accept(other)
    assert await control.ask("POST", f"calls/{other}/digits", {"digits": "42"}) == (200, {})
    status, listed = await control.ask("GET", "calls")
    assert [call["call_id"] for call in listed["calls"]] == [call_id, other]
    assert [call["state"] for call in listed["calls"]] == ["ended", "answered"]


async def test_a_call_that_rings_can_be_given_up(control: Control, receiver: WebhookReceiver) -> None:
    call_id = await control.place()
    await receiver.next()
    assert (await control.ask("POST", f"calls/{call_id}/hangup"))[1]["state"] == "cancelled"


async def test_faults_of_one_call_and_of_all(control: Control, receiver: WebhookReceiver) -> None:
    assert await control.ask("PUT", "faults", {"faults": "webhook_late=0.01"}) == (
        200,
        {"faults": "webhook_late=0.01"},
    )
    call_id = await control.place(
        headers=[["X-Sipagent-Fault", "accept_500=2"]], faults="accept_500=1, refer_lost"
    )
    shown = (await control.ask("GET", f"calls/{call_id}"))[1]
    assert shown["faults"] == "webhook_late=0.01, accept_500=1, refer_lost"
    await control.ask("POST", f"calls/{call_id}/faults", {"faults": "refer_500"})
    assert (await control.ask("GET", f"calls/{call_id}"))[1]["faults"] == "refer_500"
    assert (await control.ask("GET", "faults"))[1] == {"faults": "webhook_late=0.01"}
    status, answer = await control.ask("PUT", "faults", {"faults": "gremlins"})
    assert status == 400
    assert "gremlins" in answer["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"form": "+15550100123"}, "form"),
        ({"lines": [{"say": "a", "press": "1"}]}, "exactly one"),
        ({"lines": [{}]}, "exactly one"),
        ({"lines": [{"say": "a", "at_s": 1, "pause_s": 1}]}, "one of pause_s"),
        ({"lines": [{"press": "x"}]}, "keys are"),
        ({"lines": [{"press": "1", "duration_s": 1}]}, "duration_s"),
        ({"lines": [{"say": "a", "at_s": -1}]}, "at_s"),
        ({"headers": [["X-Sipagent-Fault", "gremlins"]]}, "gremlins"),
        ({"faults": "gremlins"}, "gremlins"),
        ({"then": "sing"}, "then"),
        ([], "the body"),
    ],
)
async def test_a_plan_that_cannot_be_is_refused_in_words(control: Control, body: object, words: str) -> None:
    status, answer = await control.ask("POST", "calls", body)
    assert status == 400
    assert words in answer["error"]
    assert (await control.ask("GET", "calls"))[1] == {"calls": []}


async def test_no_json_unknown_calls_and_unknown_paths(simulator: Simulator, control: Control) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{simulator.control_url}/calls", data=b"{") as answer,
    ):
        assert answer.status == 400
        assert "no JSON" in (await answer.json())["error"]
    for method, path in (("GET", "calls/rtc_x"), ("POST", "calls/rtc_x/hangup"), ("GET", "nowhere")):
        assert (await control.ask(method, path))[0] == 404
    call_id = await control.place()
    assert (await control.ask("GET", f"calls/{call_id}?wait_s=soon"))[0] == 400
    assert (await control.ask("GET", f"calls/{call_id}?wait_s=0.01"))[1]["state"] == "trying"
