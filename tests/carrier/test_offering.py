"""People who hang up in the moment in which they were to meet a caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pytest
from aiohttp import web

from sipagent.carrier.base import JOINED, LegReport
from tests.carrier.doorway import Doorway, doorway
from tests.carrier.legs import LEG, WORDS, settings, token
from tests.support.eventually import eventually
from tests.support.web import serving


@dataclass
class Twilio:
    """The API: how the caller's leg is, and what it is told to do."""

    status: str = "in-progress"
    answers: int = 200
    asked: int = 0
    updates: list[Mapping[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            self.asked += 1
            return web.json_response({"status": self.status}, status=self.answers)
        self.updates.append({name: str(value) for name, value in (await request.post()).items()})
        return web.json_response({"sid": LEG.carrier_call_id})


async def person_leaves(way: Doorway, *, joined: bool) -> None:
    if joined:
        way.reports.note(
            LegReport(
                carrier="twilio",
                carrier_call_id="CA9",
                parent_call_id=LEG.carrier_call_id,
                kind=JOINED,
                at=way.now,
                event_id="joined",
                offer="o",
            )
        )
    form = {"CallSid": "CA9", "CallStatus": "completed", "SequenceNumber": "4"}
    assert (await way.twilio("status", form, token(offer="o")))[0] == 204


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.carrier.offering.ALONE_S", 0.05)


async def test_a_caller_who_is_alone_is_told_so() -> None:
    api = Twilio()
    async with serving(api.handle) as url, doorway(settings(twilio_url=url)) as way:
        await person_leaves(way, joined=True)
        await eventually(lambda: bool(api.updates))
        say, hang_up = ElementTree.fromstring(api.updates[0]["Twiml"])
        assert (say.tag, say.text, hang_up.tag) == ("Say", WORDS, "Hangup")


@pytest.mark.parametrize(
    ("api", "joined"),
    [
        (Twilio(), False),
        (Twilio(status="completed"), True),
        (Twilio(answers=404), True),
        (Twilio(answers=500), True),
    ],
)
async def test_nobody_else_is(api: Twilio, joined: bool) -> None:
    """A caller who was never with them talks with the agent; who was has left with them."""
    async with serving(api.handle) as url, doorway(settings(twilio_url=url)) as way:
        await person_leaves(way, joined=joined)
        if joined:
            await eventually(lambda: api.asked > 0)
        await way.endpoint.close()
        assert api.updates == []
