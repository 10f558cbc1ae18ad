"""How a transfer is asked for: by REFER, of the carrier, or with somebody who is called first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from sipagent.calls import CallTool, TransferTarget, ways_out
from sipagent.calls.actions import call_tools
from sipagent.calls.incoming import LineKind
from sipagent.calls.line import BringIn, WarmOutcome
from sipagent.calls.ways_out import TransferOutcome, WaysOut
from sipagent.errors import (
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
)
from sipagent.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from sipagent.realtime.inputs import RealtimeModelRequestResponse, RealtimeModelSendEvent
from sipagent.realtime.testing import ScriptedRealtimeModel

URI = "tel:+15550100001"
SALES = TransferTarget(name="sales", uris=(URI,), label="our sales team")
WARM = replace(SALES, way="warm")


@dataclass
class Carrier:
    """A carrier that does as it is told, or says why not."""

    outcome: WarmOutcome = WarmOutcome.JOINED
    rings_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    people: list[BringIn] = field(default_factory=list)
    stopped: int = 0
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def bring_in(self, person: BringIn, moving: Callable[[], None]) -> WarmOutcome:
        self.people.append(person)
        self.called.set()
        try:
            await asyncio.sleep(self.rings_s)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return self.outcome

    async def send_to(self, target_uri: str) -> None:
        self.asked.append(f"send {target_uri}")

    async def release(self) -> None:
        self.asked.append("release")

    async def call_off(self, *, caller_is_here: bool) -> None:
        self.asked.append("call off")


@dataclass
class Line:
    """A line whose REFERs end as ``refer_error`` says."""

    carrier: Carrier | None = None
    refer_error: Exception | None = None
    referred: list[str] = field(default_factory=list)
    kind: LineKind = "sip"

    async def refer(self, target_uri: str) -> None:
        self.referred.append(target_uri)
        if self.refer_error is not None:
            raise self.refer_error

    async def accept(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a transfer answers nothing")

    reject = hang_up = accept

    def model(self, profile: Any) -> Any:
        raise AssertionError("a transfer needs no new session")

    model_config = model

    def consented(self, words: str) -> None: ...

    def close(self, ending: Any) -> None: ...


@dataclass
class Asked:
    """What was asked of the model, and noted."""

    events: list[RealtimeModelSendEvent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    moved: int = 0

    def note(self, kind: str, **_: Any) -> None:
        self.notes.append(kind)

    def moving(self) -> None:
        self.moved += 1


async def ask(
    line: Line,
    target: TransferTarget = SALES,
    asked: Asked | None = None,
    *,
    made: Callable[[Line], WaysOut] | None = None,
) -> TransferOutcome | None:
    asked = asked or Asked()
    ways = WaysOut(line, asked.note) if made is None else made(line)

    def answer(event: RealtimeModelSendEvent) -> tuple[()]:
        asked.events.append(event)
        return ()

    runner = RealtimeRunner(RealtimeAgent(name="front-desk"), model=ScriptedRealtimeModel(answer=answer))
    session: RealtimeSession
    async with await runner.run() as session:
        return await ways.ask(session, target, URI, "Ann, a crown.", patience_s=7, moving=asked.moving)


async def test_a_refer_needs_no_carrier() -> None:
    line = Line()
    assert await ask(line) is None
    assert line.referred == [URI]


@pytest.mark.parametrize("way", ["carrier", "warm"])
async def test_without_a_door_at_the_carrier_every_way_is_a_refer(way: Any) -> None:
    line = Line()
    assert await ask(line, replace(SALES, way=way)) is None
    assert line.referred == [URI]


async def test_the_carrier_is_asked_where_the_target_says_so() -> None:
    line = Line(carrier=Carrier())
    assert await ask(line, replace(SALES, way="carrier")) is None
    assert line.carrier is not None
    assert (line.referred, line.carrier.asked) == ([], [f"send {URI}"])


@pytest.mark.parametrize(
    "error",
    [
        CallControlRefusedError("405", status=405, code=None),
        CallControlUnavailableError("500", status=500, code=None),
    ],
)
async def test_a_refused_refer_is_the_carriers_to_carry_out(error: Exception) -> None:
    line, asked = Line(carrier=Carrier(), refer_error=error), Asked()
    assert await ask(line, asked=asked) is None
    assert line.carrier is not None
    assert line.carrier.asked == [f"send {URI}"]
    assert asked.notes == ["transfer_by_carrier"]


@pytest.mark.parametrize(
    "error",
    [
        CallControlUnavailableError("no answer", status=None, code=None),
        CallGoneError("404", status=404, code=None),
    ],
)
async def test_a_refer_that_may_be_carried_out_is_not_asked_for_twice(error: Exception) -> None:
    line = Line(carrier=Carrier(), refer_error=error)
    with pytest.raises(type(error)):
        await ask(line)
    assert line.carrier is not None
    assert line.carrier.asked == []


@pytest.mark.parametrize(
    ("warm", "outcome"),
    [
        (WarmOutcome.JOINED, None),
        (WarmOutcome.BUSY, TransferOutcome.BUSY),
        (WarmOutcome.NO_ANSWER, TransferOutcome.NO_ANSWER),
        (WarmOutcome.DECLINED, TransferOutcome.DECLINED),
        (WarmOutcome.REFUSED, TransferOutcome.REFUSED),
        (WarmOutcome.UNAVAILABLE, TransferOutcome.UNAVAILABLE),
        (WarmOutcome.CALLER_GONE, TransferOutcome.CALLER_GONE),
    ],
)
async def test_somebody_who_is_called_first_is_told_what_it_is_about(
    warm: WarmOutcome, outcome: TransferOutcome | None
) -> None:
    line = Line(carrier=Carrier(outcome=warm))
    assert await ask(line, WARM) is outcome
    assert line.carrier is not None
    assert line.carrier.people == [BringIn(number=URI, briefing="Ann, a crown.", answer_timeout_s=7)]


async def test_the_caller_hears_now_and_then_that_it_still_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_out, "COMFORT_S", 0.05)
    asked = Asked()
    assert await ask(Line(carrier=Carrier(rings_s=0.3)), WARM, asked) is None
    requests = [event for event in asked.events if isinstance(event, RealtimeModelRequestResponse)]
    assert requests
    assert "our sales team is still being called" in str(requests[0].response)


async def test_giving_up_stops_the_call_to_whom_was_to_be_brought_in() -> None:
    carrier = Carrier(rings_s=60)
    task = asyncio.create_task(ask(Line(carrier=carrier), WARM))
    async with asyncio.timeout(20):
        await carrier.called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert carrier.stopped == 1


async def test_a_caller_who_hangs_up_stops_it_too() -> None:
    carrier, asked, ways = Carrier(rings_s=60), Asked(), []

    def made(line: Line) -> WaysOut:
        ways.append(WaysOut(line, asked.note))
        return ways[0]

    task = asyncio.create_task(ask(Line(carrier=carrier), WARM, asked, made=made))
    async with asyncio.timeout(20):
        await carrier.called.wait()
        ways[0].call_off()
        assert await task is TransferOutcome.CALLER_GONE
    assert carrier.stopped == 1
    assert asked.moved == 0


@pytest.mark.parametrize("target", [SALES, replace(SALES, way="carrier")])
async def test_it_is_said_before_anybody_is_asked_to_move_the_caller(target: TransferTarget) -> None:
    asked = Asked()
    await ask(Line(carrier=Carrier()), target, asked)
    assert asked.moved == 1


# What the model is asked for ------------------------------------------------------------------------


def schema(target: TransferTarget) -> dict[str, Any]:
    (tool,) = call_tools([CallTool.TRANSFER], [target])
    found: dict[str, Any] = tool.params_json_schema
    return found


def test_only_a_warm_transfer_asks_for_a_briefing() -> None:
    assert set(schema(SALES)["properties"]) == {"target"}
    assert schema(WARM)["required"] == ["target", "briefing"]
