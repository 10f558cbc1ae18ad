"""What follows from what carriers say: steps, commands, and what happens when those are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from xml.etree import ElementTree

import pytest
from aiohttp import web

from sipagent.carrier.base import (
    DECLINED,
    JOINING,
    LINE_ENDED,
    SORRY,
    TAKEN,
    WAITING,
    LegReport,
    StepResult,
)
from sipagent.carrier.telnyx_call_control import client_state
from sipagent.carrier.tokens import LegToken
from tests.carrier.doorway import Doorway, doorway, ringing
from tests.carrier.legs import CALLER, CONTROL_LEG, DIALLED, NOW_S, settings, token
from tests.support.eventually import eventually
from tests.support.web import serving

OWN = CONTROL_LEG.carrier_call_id


class Commanded:
    """Telnyx' API: what it was told to do, and what it does not do."""

    def __init__(self) -> None:
        self.actions: list[str] = []
        self.refused: dict[str, int] = {}
        self.silent: set[str] = set()
        """What is not answered for longer than anybody waits."""
        self.came = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        action = request.path.rpartition("/")[2]
        self.actions.append(action)
        self.came.set()
        if action in self.silent:
            await asyncio.sleep(3.0)
        if status := self.refused.get(action):
            return web.json_response({"errors": [{"code": "1"}]}, status=status)
        return web.json_response({"data": {"result": "ok"}})

    async def until(self, *actions: str) -> None:
        """Wait until exactly these have been asked for."""
        async with asyncio.timeout(20):
            while tuple(self.actions) != actions:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def commanded(**refused: int) -> AsyncIterator[tuple[Doorway, Commanded]]:
    api = Commanded()
    api.refused = refused
    async with serving(api.handle) as url, doorway(settings(telnyx_url=url)) as way:
        yield way, api


def state(of: LegToken, way: Doorway) -> str:
    return client_state(way.issue(of))


async def initiated(way: Doorway) -> None:
    parties = {"from": CALLER, "to": DIALLED}
    await way.event("call.initiated", "e1", call_control_id=OWN, direction="incoming", **parties)


def own(step: int = 0) -> LegToken:
    return token(CONTROL_LEG, step=step)


async def test_a_call_is_answered_and_led_through_its_plan() -> None:
    async with commanded() as (way, api):
        await initiated(way)
        await api.until("answer")
        await way.event("call.answered", "e2", call_control_id=OWN, client_state=state(own(), way))
        await api.until("answer", "transfer")
        hangup = {"hangup_cause": "call_rejected", "sip_hangup_cause": "503"}
        await way.event("call.hangup", "e3", call_control_id="v3:z", client_state=state(own(), way), **hangup)
        await api.until("answer", "transfer", "streaming_start")
        await way.event("streaming.failed", "e4", call_control_id=OWN, client_state=state(own(1), way))
        await api.until("answer", "transfer", "streaming_start", "transfer")
        await way.event(
            "call.hangup",
            "e5",
            call_control_id="v3:y",
            client_state=state(own(2), way),
            hangup_cause="user_busy",
        )
        await api.until("answer", "transfer", "streaming_start", "transfer", "speak")
        await way.event("call.speak.ended", "e6", call_control_id=OWN, client_state=state(own(3), way))
        await api.until("answer", "transfer", "streaming_start", "transfer", "speak", "hangup")
        assert way.metrics.steps == [
            ("telnyx", "sip", "rejected"),
            ("telnyx", "stream", "failed"),
            ("telnyx", "call", "busy"),
        ]


async def test_an_event_that_comes_twice_commands_once() -> None:
    async with commanded() as (way, api):
        for _ in range(3):
            await initiated(way)
        await api.until("answer")
        await way.endpoint.close()
        assert api.actions == ["answer"]
        assert way.metrics.webhooks == {"telnyx ok": 1, "telnyx duplicate": 2}


async def test_a_command_that_is_refused_is_a_step_that_failed() -> None:
    async with commanded(transfer=422, streaming_start=422) as (way, api):
        await way.event("call.answered", "e2", call_control_id=OWN, client_state=state(own(), way))
        await api.until("transfer", "streaming_start", "transfer", "speak")


async def test_where_nothing_goes_the_call_is_ended() -> None:
    async with commanded(transfer=422, streaming_start=422, speak=422) as (way, api):
        await way.event("call.answered", "e2", call_control_id=OWN, client_state=state(own(), way))
        await api.until("transfer", "streaming_start", "transfer", "speak", "hangup")


async def test_a_call_that_is_over_is_left_alone() -> None:
    async with commanded(transfer=404) as (way, api):
        await way.event("call.answered", "e2", call_control_id=OWN, client_state=state(own(), way))
        await api.until("transfer")
        await way.endpoint.close()
        assert api.actions == ["transfer"]


async def test_commands_under_way_are_stopped_at_the_end() -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        began.set()
        await asyncio.Event().wait()
        return web.Response()

    began = asyncio.Event()
    async with serving(never) as url, doorway(settings(telnyx_url=url)) as way:
        await initiated(way)
        await began.wait()
        await way.endpoint.close()


async def test_the_caller_s_own_hanging_up_is_a_report_and_nothing_more() -> None:
    async with commanded() as (way, api):
        await way.event(
            "call.hangup",
            "e1",
            call_control_id=OWN,
            client_state=state(own(), way),
            hangup_cause="normal_clearing",
        )
        await way.endpoint.close()
        assert api.actions == []
        assert [report.kind for report in way.noted] == ["completed"]


# Streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "verbs"),
    [
        ("ended", ["Hangup"]),
        ("failed", ["Dial"]),
        ("rejected", ["Dial"]),
        ("transferred", []),
        (None, ["Dial"]),
    ],
)
async def test_what_follows_a_stream(
    result: StepResult | None, verbs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipagent.carrier.switchboard.LINE_RESULT_WAIT_S", 0.1)
    async with doorway(settings()) as way:
        if result is not None:
            way.reports.line_ended(token(step=1), result, way.now)
            assert way.noted[-1].kind == LINE_ENDED
        _, text = await way.twilio("next", {"CallSid": "CA1", "CallStatus": "in-progress"}, token(step=1))
        assert [child.tag for child in ElementTree.fromstring(text)] == verbs


async def test_nobody_waits_for_a_stream_of_a_caller_who_is_gone() -> None:
    async with doorway(settings()) as way, asyncio.timeout(30):
        _, text = await way.twilio("next", {"CallSid": "CA1", "CallStatus": "completed"}, token(step=1))
        assert list(ElementTree.fromstring(text)) == []
        assert way.metrics.steps == [("twilio", "stream", "caller_gone")]


async def test_a_stream_that_a_caller_was_taken_out_of_is_no_step() -> None:
    async with commanded() as (way, api):
        await way.event("streaming.stopped", "e1", call_control_id=OWN, client_state=state(own(1000), way))
        await way.endpoint.close()
        assert api.actions == []
        assert way.metrics.steps == []


async def test_a_leg_that_may_have_been_answered_is_not_hung_up_on() -> None:
    """The API does what it is told, and its answers are lost for a while; what came of it, events tell."""
    async with commanded() as (way, api):
        api.silent.add("answer")
        await initiated(way)
        await eventually(lambda: api.actions.count("answer") > 1)
        await way.event("call.answered", "e2", call_control_id=OWN, client_state=state(own(), way))
        await eventually(lambda: api.actions.count("transfer") == 1)
        # By now it would be told that the leg is answered already.
        api.silent.clear()
        await way.endpoint.close()
        assert "hangup" not in api.actions
        assert way.metrics.steps == []


# Offers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digits", "verbs", "kind"), [("1", ["Pause", "Say", "Hangup"], TAKEN), ("2", ["Hangup"], DECLINED)]
)
async def test_what_a_person_says_is_reported_and_answered(digits: str, verbs: list[str], kind: str) -> None:
    async with doorway(settings()) as way:
        form = {"CallSid": "CA2", "Digits": digits}
        _, text = await way.twilio("offer", form, token(offer="o"))
        assert [child.tag for child in ElementTree.fromstring(text)] == verbs
        await eventually(lambda: bool(way.noted))
        [report] = way.noted
        assert (report.kind, report.offer, report.parent_call_id) == (kind, "o", "CA1")
        # The verb behind the question asks again: the first answer counts.
        await way.twilio("offer", {"CallSid": "CA2"}, token(offer="o"))
        await way.endpoint.close()
        assert len(way.noted) == 1


def person(way: Doorway, route: str = "") -> str:
    """The client state of a person whom a caller at Call Control is offered to."""
    return state(LegToken(leg=CONTROL_LEG, route=route, step=0, issued_at=NOW_S, offer="o"), way)


@pytest.mark.parametrize("refused", [{}, {"gather": 403}, {"gather": 404}])
async def test_a_person_at_call_control_waits_before_they_are_said_to(refused: dict[str, int]) -> None:
    """Else the command to wait might come after the one to move them, and take them away again."""
    async with commanded(**refused) as (way, api):
        await way.event(
            "call.gather.ended", "e1", call_control_id="v3:p", client_state=person(way), digits="1"
        )
        assert TAKEN not in [report.kind for report in way.noted]
        await api.until("gather")
        await way.endpoint.close()
        assert [report.kind for report in way.noted] == ["gather_ended", TAKEN]


async def test_a_person_at_call_control_who_declines_is_hung_up_on_by_whoever_lives() -> None:
    async with commanded() as (way, api):
        await way.event(
            "call.gather.ended", "e1", call_control_id="v3:p", client_state=person(way), digits="2"
        )
        await api.until("hangup")
        await eventually(lambda: DECLINED in [report.kind for report in way.noted])


async def test_a_person_at_call_control_who_has_waited_is_told_and_let_go() -> None:
    async with commanded() as (way, api):
        held, sorry = person(way, WAITING), person(way, SORRY)
        await way.event("call.gather.ended", "e1", call_control_id="v3:p", client_state=held, digits="")
        await api.until("speak")
        await way.event("call.speak.ended", "e2", call_control_id="v3:p", client_state=sorry)
        await api.until("speak", "hangup")


async def test_a_person_who_is_being_put_together_with_the_caller_is_left_alone() -> None:
    async with commanded() as (way, api):
        joining = LegReport(
            carrier="telnyx",
            carrier_call_id="v3:p",
            parent_call_id=OWN,
            kind=JOINING,
            at=way.now,
            event_id="j",
            offer="o",
        )
        way.reports.note(joining)
        held = person(way, WAITING)
        await way.event("call.gather.ended", "e1", call_control_id="v3:p", client_state=held, digits="")
        await way.endpoint.close()
        assert api.actions == []


async def test_a_withheld_number_is_none() -> None:
    async with doorway(settings()) as way:
        _, text = await way.twilio("voice", ringing(From="+266696687"))
        header = (ElementTree.fromstring(text)[0][0].text or "").partition("?X-Sipagent-Leg=")[2]
        leg = way.desk.tokens.leg_of([("X-Sipagent-Leg", header)], way.now_s)
        assert leg is not None
        assert leg.caller is None
