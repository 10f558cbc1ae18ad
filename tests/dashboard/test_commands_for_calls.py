"""Commands over HTTP for a call that talks, from the token to what the caller hears."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from sipagent.config import Loaded, load_configuration
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from tests.calls.mannered import notes
from tests.support.eventually import eventually
from tests.support.practice import practice

TOKEN = "operates-0123456789abcdef"
CONFIGURATION = """\
version: 1
agents:
  front-desk:
    greeting: Hello.
    instructions: Be kind.
    ending: {goodbye: So long.}
    tools: [hang_up, transfer]
    transfer:
      billing: {to: "tel:+15550100001", description: invoices}
routes: [{agent: front-desk}]
admin:
  tokens: [{name: dana, token: "${DANA}", role: operate}]
"""


def configuration(tmp_path: Path) -> Loaded:
    file = tmp_path / "sipagent.yaml"
    file.write_text(CONFIGURATION)
    return load_configuration(file, {"DANA": TOKEN})


def heard(call: SimulatedCall, words: str) -> bool:
    return call.conversation is not None and any(
        line.text == words and not line.interrupted for line in call.conversation.transcript
    )


async def test_words_a_transfer_and_an_end(tmp_path: Path) -> None:
    script = "greeting: Hello.\notherwise: I see.\n"
    plan = CallPlan(steps=(), hangs_up=False)
    async with (
        practice(door=configuration(tmp_path), script=script) as desk,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as http,
        asyncio.timeout(100),
    ):
        first, second = desk.simulator.place_call(plan), desk.simulator.place_call(plan)
        base = f"http://127.0.0.1:{desk.service.port}/admin/calls"

        async def ask(call: SimulatedCall, verb: str, **body: object) -> tuple[int, str]:
            async with http.post(f"{base}/{call.call_id}/{verb}", json=body) as response:
                return response.status, (await response.json()).get("detail", "")

        for call in (first, second):
            await eventually(lambda call=call: heard(call, "Hello."))  # type: ignore[misc]
        assert (await ask(first, "say", words="We close in five minutes."))[0] == 200
        await eventually(lambda: heard(first, "We close in five minutes."))
        assert not heard(second, "We close in five minutes.")
        status, detail = await ask(first, "transfer", target="nobody")
        assert (status, detail.endswith("billing.")) == (409, True)
        assert (await ask(first, "transfer", target="billing"))[0] == 200
        await first.wait_over()
        assert (await ask(second, "hangup"))[0] == 200
        await second.wait_over()
        assert heard(second, "So long.")
        transferred = await desk.ended_record(first.call_id)
        ended = await desk.ended_record(second.call_id)
        assert transferred.summary.end_reason == "transferred"
        assert ended.summary.end_reason == "hung_up_by_operator"
        assert ended.end_detail == "token dana had the call ended."
        said = [(note["verb"], note["asked_by"], note["outcome"]) for note in notes(transferred, "command")]
        assert said[:2] == [("say", "token dana", "done"), ("transfer", "token dana", "failed")]
        assert [note["verb"] for note in notes(ended, "command")] == ["hangup"]
        assert (await ask(second, "say", words="Hello?"))[0] == 404, "it is over"
