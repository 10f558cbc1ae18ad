"""Two services that share a database and a telephone: calls go from one to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipagent.app import Service, ServiceSettings
from sipagent.calls import FrontDoor
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.tools.language import make_language_tool
from sipagent.calls.tools.manners import ToolManners, with_manners
from sipagent.clock import utc_now
from sipagent.config import Loaded, load_configuration
from sipagent.errors import StoreAwayError
from sipagent.identifiers import CallId, WorkerId
from sipagent.realtime import FunctionTool, RealtimeAgent, function_tool
from sipagent.simulator.call_values import Transfer
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.virtual import VirtualLeg
from sipagent.store import CallOpened, CallRecord, ClaimedCall, MemoryCallStore, MemoryDatabase
from sipagent.store.orders import Answered, order
from tests.support.claims import claim_one
from tests.support.eventually import eventually
from tests.support.practice import API_KEY, GREETING, QUICK, front_door
from tests.support.prompting import attached_again, say

# Quick where that costs nothing; the rest bears a machine that stands still for a second.
QUICKLY = ShiftSettings(
    lease_s=4.0,
    heartbeat_s=0.1,
    stall_s=3.0,
    quiet_s=0.3,
    look_s=0.1,
    claim_timeout_s=10.0,
    database_timeout_s=10.0,
    hand_over_patience_s=20.0,
)
SCRIPT = "greeting: Hello.\notherwise: I see.\n"
SAYS_HELLO = CallPlan(steps=(Say(text="Hello?"),), hangs_up=False)
"""Then the caller waits for what the test tells it to do."""

HANGS_UP = """
greeting: Hello.
turns: [I see.]
otherwise: {say: Goodbye., call: hang_up}
"""


class Reachable(MemoryCallStore):
    """A store of a worker whose way to the database can be cut."""

    cut = False
    takes_claims = True

    async def claim_all(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> dict[CallId, int]:
        if not self.takes_claims:
            raise StoreAwayError("the database does not answer", serves_nobody=False)
        return await super().claim_all(worker, webhooks)

    async def renew(self, worker: WorkerId, *, lease_s: float) -> bool:
        if self.cut:
            raise StoreAwayError("the database is cut off", serves_nobody=False)
        return await super().renew(worker, lease_s=lease_s)


@dataclass(kw_only=True)
class Office:
    """Workers that answer the same telephone."""

    simulator: Simulator
    database: MemoryDatabase
    workers: list[Service] = field(default_factory=list)
    stores: list[Reachable] = field(default_factory=list)

    async def record(self, call_id: CallId) -> CallRecord:
        """The record of a call that has ended."""
        found: list[CallRecord] = []

        async def ended() -> bool:
            record = await self.stores[-1].call(call_id)
            if record is not None and record.summary.end_reason is not None:
                found.append(record)
            return bool(found)

        await until(ended)
        return found[0]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - a store is asked, it does not tell
            await asyncio.sleep(0.02)


def telephone(script: str) -> SimulatorOptions:
    """Agents speak fast."""
    voice = SilentVoice(ms_per_character=15)
    return SimulatorOptions(api_key=API_KEY, script=parse_script(script, name="test"), virtual_voice=voice)


@asynccontextmanager
async def office(
    *,
    tools: list[FunctionTool] | None = None,
    script: str = SCRIPT,
    stores: tuple[type[Reachable], ...] = (Reachable, Reachable),
) -> AsyncIterator[Office]:
    """A simulator and a service for each of ``stores``; webhooks come to the first."""
    async with Simulator(telephone(script)) as simulator:
        database = MemoryDatabase()
        here = Office(simulator=simulator, database=database)
        async with _Services(here) as services:
            for kind in stores:
                await services.add(tools, kind=kind)
            simulator.webhook_url = here.workers[0].webhook_url
            yield here


class _Services:
    """Starts services, and stops them last first."""

    def __init__(self, here: Office) -> None:
        self._here = here

    async def __aenter__(self) -> _Services:
        return self

    async def add(
        self,
        tools: list[FunctionTool] | None,
        *,
        door: FrontDoor | Loaded | None = None,
        kind: type[Reachable] = Reachable,
        at: Simulator | None = None,
    ) -> None:
        here = self._here
        at = at or here.simulator
        store = kind(database=here.database)
        service = Service(
            front_door=door or front_door(tools=tools),
            api_key=API_KEY,
            base_url=at.base_url,
            webhook_secrets=[at.webhook_secret],
            store=store,
            settings=ServiceSettings(port=0, drain_timeout_s=10, calls=QUICK, shift=QUICKLY),
        )
        await service.__aenter__()
        here.workers.append(service)
        here.stores.append(store)

    async def __aexit__(self, *error: object) -> None:
        for service in reversed(self._here.workers):
            await service.__aexit__(None, None, None)


async def talk_on(here: Office, call: SimulatedCall) -> None:
    """Let the caller say one thing more to whoever has the call now, and hang up."""
    await say(here.simulator, call, "Are you there?")

    async def noted() -> bool:
        record = await here.stores[-1].call(call.call_id)
        return record is not None and "Are you there?" in [line.text for line in record.transcript]

    await until(noted)
    call.hang_up_as_caller()


def said(call: SimulatedCall, role: str) -> list[str]:
    lines = [] if call.conversation is None else call.conversation.transcript
    return [line.text for line in lines if line.role == role]


async def test_a_worker_that_leaves_hands_its_calls_over_and_they_go_on() -> None:
    async with office() as here:
        first, second = here.workers
        call = here.simulator.place_call(SAYS_HELLO)
        await eventually(lambda: "Hello?" in said(call, "caller"))
        assert await first.drain(60) == 0
        assert first.live_calls == 0
        await eventually(lambda: second.live_calls == 1)
        assert not call.state.is_over
        await attached_again(call)
        await talk_on(here, call)
        record = await here.record(call.call_id)
    assert record.summary.end_reason == "caller_hung_up"
    assert said(call, "agent").count(GREETING) == 1, "greeted once"
    assert "Are you there?" in [line.text for line in record.transcript]
    assert len([change for change in record.states if change.state == "ended"]) == 1
    assert "adopted" in [note.kind for note in record.notes]


async def test_a_call_stays_with_the_api_that_it_came_from() -> None:
    options = telephone(HANGS_UP)
    async with Simulator(options) as simulator, Simulator(options) as other:
        here = Office(simulator=simulator, database=MemoryDatabase())
        async with _Services(here) as services:
            await services.add(None)
            await services.add(None, at=other)
            simulator.webhook_url, other.webhook_url = (worker.webhook_url for worker in here.workers)
            first, second = here.workers
            call = simulator.place_call(SAYS_HELLO)
            await eventually(lambda: "Hello?" in said(call, "caller"))
            assert await first.drain(60) == 0
            await eventually(lambda: second.live_calls == 1)
            # The client of the one address is not closed because a call of the other is over.
            async with asyncio.timeout(60):
                await other.place_call(CallPlan(steps=(Say(text="Hi."),))).wait_over()
            await eventually(lambda: second.live_calls == 1)
            assert not call.state.is_over
            await attached_again(call)
            await say(simulator, call, "Goodbye.")
            async with asyncio.timeout(60):
                await call.wait_over()
            record = await here.record(call.call_id)
    assert record.summary.end_reason == "agent_hung_up", "it was hung up where it was"
    assert "adopted" in [note.kind for note in record.notes]


@pytest.mark.parametrize(("arrives", "is_asked"), [(True, True), (False, True), (True, False)])
async def test_a_transfer_by_order_goes_on_when_its_worker_leaves(arrives: bool, is_asked: bool) -> None:
    options = telephone(SCRIPT)
    door = front_door()
    (desk,) = door.profiles.values()
    target = replace(desk.transfer_targets[0], confirm_s=5.0)
    door = replace(door, profiles={desk.name: replace(desk, transfer_targets=(target,))})
    fares = Transfer(after_s=1.5) if arrives else Transfer(transfer_status=486)
    plan = CallPlan(steps=(), hangs_up=False, transfers=(fares,))
    async with Simulator(options) as simulator:
        here = Office(simulator=simulator, database=MemoryDatabase())
        async with _Services(here) as services:
            for _ in range(2):
                await services.add(None, door=door)
            first, second = here.workers
            simulator.webhook_url = first.webhook_url
            call = simulator.place_call(plan)
            await eventually(lambda: GREETING in said(call, "agent"))
            asking = asyncio.ensure_future(
                order(
                    MemoryCallStore(database=here.database),
                    call.call_id,
                    "transfer",
                    "billing",
                    asked_by="dana@ops",
                    patience_s=60.0,
                    utc_now=utc_now,
                )
            )
            if is_asked:
                await eventually(lambda: isinstance(call.leg, VirtualLeg) and call.leg.referrals)
            else:
                await eventually(lambda: here.database.effects.get(call.call_id))
            spoken = len(said(call, "agent"))
            assert await first.drain(60) == 0
            await eventually(lambda: second.live_calls == 1)
            reply = await asking
            if not arrives:
                await eventually(lambda: len(said(call, "agent")) > spoken)
                call.hang_up_as_caller()
            async with asyncio.timeout(60):
                await call.wait_over()
            record = await here.record(call.call_id)
    kinds = [note.kind for note in record.notes]
    assert kinds.count("transfer_tried") == 1, "nobody was called twice"
    assert (kinds.index("transfer_tried") < kinds.index("adopted")) is is_asked
    assert isinstance(reply, Answered)
    assert reply.done is arrives
    if arrives:
        assert record.summary.end_reason == "transferred"
    else:
        assert "was not confirmed" in reply.outcome.detail
        assert record.summary.end_reason == "caller_hung_up"


GERMAN_THEN_NIGHT = """
greeting: Hello.
turns:
  - call: {tool: set_language, with: {language: de}, then: Gern.}
  - call: {tool: send_to_agent_night-desk, then: Guten Abend.}
otherwise: {say: Tschau., call: hang_up}
"""


def day_and_night() -> FrontDoor:
    """Two desks; the language of the first can be changed, the second speaks it then."""
    door = front_door(
        tools=[make_language_tool(["en", "de"], transcription={"model": "gpt-transcribe"})], greeting="Hello."
    )
    (desk,) = door.profiles.values()
    night = replace(
        desk,
        name="night-desk",
        agent=RealtimeAgent(name="night-desk", instructions="Good night.", handoff_description="At night."),
        settings={**desk.settings, "input_audio_transcription": {"model": "whisper-1"}},
        languages=("en", "de"),
    )
    return replace(door, profiles={desk.name: replace(desk, handoffs=("night-desk",)), night.name: night})


async def test_the_language_that_the_caller_chose_is_known_to_whoever_takes_over() -> None:
    options = telephone(GERMAN_THEN_NIGHT)
    plan = CallPlan(steps=(Say(text="Deutsch, bitte."),), hangs_up=False)
    async with Simulator(options) as simulator:
        here = Office(simulator=simulator, database=MemoryDatabase())
        async with _Services(here) as services:
            for _ in range(2):
                await services.add(None, door=day_and_night())
            first, second = here.workers
            simulator.webhook_url = first.webhook_url
            call = simulator.place_call(plan)
            await eventually(lambda: "Gern." in said(call, "agent"))
            assert await first.drain(60) == 0
            await eventually(lambda: second.live_calls == 1)
            await attached_again(call)
            for words in ("Die Nacht, bitte.", "Danke."):
                await say(simulator, call, words)
            async with asyncio.timeout(60):
                await call.wait_over()
            record = await here.record(call.call_id)
    assert "adopted" in [note.kind for note in record.notes]
    assert "Guten Abend." in said(call, "agent"), "the one who took over has handed over"
    assert call.conversation is not None
    session = call.conversation.session
    assert session["instructions"].startswith("Good night.")
    assert "The caller has chosen German" in session["instructions"]
    transcription = session["audio"]["input"]["transcription"]
    assert (transcription["model"], transcription["language"]) == ("whisper-1", "de")


async def test_a_call_that_rings_when_its_worker_leaves_is_answered_once() -> None:
    async with office() as here:
        first, second = here.workers
        call = here.simulator.place_call(SAYS_HELLO)
        await eventually(lambda: first.live_calls == 1)
        assert await first.drain(60) == 0
        await eventually(lambda: second.live_calls == 1)
        await eventually(lambda: "Hello?" in said(call, "caller"))
        await talk_on(here, call)
        record = await here.record(call.call_id)
    assert record.summary.end_reason == "caller_hung_up"
    assert said(call, "agent").count(GREETING) == 1


class Bookings:
    """What a tool with side effects does in the world, slowly."""

    def __init__(self, seconds: float) -> None:
        self.booked: list[str] = []
        self.began = asyncio.Event()
        self._seconds = seconds

    def tool(self) -> FunctionTool:
        """Books a slot."""

        @function_tool
        async def book(slot: str) -> str:
            """Book a slot."""
            self.booked.append(slot)
            self.began.set()
            await asyncio.sleep(self._seconds)
            return f"{slot} is booked"

        return with_manners(book, ToolManners(side_effects=True))


BOOKS = """
greeting: Hello.
turns:
  - call: {tool: book, with: {slot: Tuesday}, then: "It says: {output}"}
otherwise: I see.
"""
ASKS = CallPlan(steps=(Say(text="Tuesday, please."),), hangs_up=False)


async def test_a_tool_that_runs_is_let_finish_before_its_call_is_handed_over() -> None:
    bookings = Bookings(1.5)
    async with office(tools=[bookings.tool()], script=BOOKS) as here:
        call = here.simulator.place_call(ASKS)
        await bookings.began.wait()
        assert await here.workers[0].drain(60) == 0
        await eventually(lambda: "It says: Tuesday is booked" in said(call, "agent"))
        await attached_again(call)
        call.hang_up_as_caller()
        record = await here.record(call.call_id)
    assert bookings.booked == ["Tuesday"]
    assert "It says: Tuesday is booked" in said(call, "agent")
    assert [run.is_error for run in record.tools] == [False]


async def test_a_worker_that_is_cut_off_loses_its_calls_and_does_nothing_to_them_any_more() -> None:
    async with office() as here:
        first, second = here.workers
        call = here.simulator.place_call(SAYS_HELLO)
        await eventually(lambda: "Hello?" in said(call, "caller"))
        here.stores[0].cut = True
        await eventually(lambda: second.live_calls == 1)
        here.stores[0].cut = False
        await eventually(lambda: first.live_calls == 0)
        assert not call.state.is_over
        await attached_again(call)
        await talk_on(here, call)
        record = await here.record(call.call_id)
        # The first has joined anew, and answers as before.
        again = here.simulator.place_call(CallPlan(steps=(Say(text="Hi."),)))
        async with asyncio.timeout(60):
            await again.wait_over()
    assert record.summary.end_reason == "caller_hung_up"
    assert len([change for change in record.states if change.state == "ended"]) == 1


async def test_a_tool_with_side_effects_that_a_worker_died_in_is_not_begun_again() -> None:
    bookings = Bookings(60.0)
    async with office(tools=[bookings.tool()], script=BOOKS) as here:
        first, second = here.workers
        call = here.simulator.place_call(ASKS)
        await bookings.began.wait()
        here.stores[0].cut = True
        await eventually(lambda: second.live_calls == 1)
        here.stores[0].cut = False
        await eventually(lambda: first.live_calls == 0)
        unknown = "Nobody knows whether this was done"
        await eventually(lambda: any(unknown in line for line in said(call, "agent")))
        call.hang_up_as_caller()
    assert bookings.booked == ["Tuesday"]


async def test_a_webhook_that_comes_to_both_workers_is_answered_by_one() -> None:
    async with office() as here:
        first, second = here.workers
        here.simulator.webhook_url = first.webhook_url
        call = here.simulator.place_call(SAYS_HELLO)
        await eventually(lambda: first.live_calls == 1)
        record = await here.stores[0].holder(call.call_id)
        assert record is not None
        assert not await claim_one(here.stores[1], call.call_id, WorkerId("other"), webhook="{}")
        assert second.live_calls == 0
        await eventually(lambda: GREETING in said(call, "agent"))
        call.hang_up_as_caller()
        await here.record(call.call_id)


async def test_a_call_whose_claim_the_database_does_not_take_is_answered_and_claimed_later() -> None:
    async with office() as here:
        store = here.stores[0]
        store.takes_claims = False
        call = here.simulator.place_call(SAYS_HELLO)
        await eventually(lambda: "Hello?" in said(call, "caller"))
        assert await store.holder(call.call_id) is None
        store.takes_claims = True

        async def claimed() -> bool:
            held = await store.holder(call.call_id)
            return held is not None and held.checkpoint is not None

        await until(claimed)
        # From then on it outlives its worker like any other.
        assert await here.workers[0].drain(60) == 0
        await attached_again(call)
        await talk_on(here, call)
        record = await here.record(call.call_id)
    assert record.summary.end_reason == "caller_hung_up"
    assert "adopted" in [note.kind for note in record.notes]


async def test_what_a_total_outage_left_behind_without_a_claim_is_ended_truthfully() -> None:
    options = telephone(SCRIPT)
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    async with Simulator(options) as simulator:
        database = MemoryDatabase()
        here = Office(simulator=simulator, database=database)
        left_behind = CallOpened(
            call_id=CallId("rtc_left"),
            at=long_ago,
            webhook_id="wh_1",
            caller="+15550100123",
            dialled=None,
            agent="front-desk",
            model=None,
            sip_call_id=None,
            configuration="c0ffee",
        )
        await MemoryCallStore(database=database).apply([left_behind])
        async with _Services(here) as services:
            await services.add(None)
            record = await here.record(CallId("rtc_left"))
    assert (record.summary.end_reason, record.summary.fault_owner) == ("worker_lost", "sipagent")
    assert record.end_detail is not None
    assert "Nobody held the call" in record.end_detail


CONFIGURATION = """
version: 1
agents:
  front-desk:
    greeting: {greeting}
    instructions: You answer the phone of {name}.
    tools: [hang_up]
routes:
  - {{agent: front-desk}}
"""


async def test_a_call_goes_on_in_the_configuration_it_began_with(tmp_path: Path) -> None:
    options = telephone(SCRIPT)
    file = tmp_path / "sipagent.yaml"
    async with Simulator(options) as simulator:
        here = Office(simulator=simulator, database=MemoryDatabase())
        async with _Services(here) as services:
            file.write_text(CONFIGURATION.format(greeting="Good morning.", name="Harbor Dental"))
            earlier = load_configuration(file)
            await services.add(None, door=earlier)
            simulator.webhook_url = here.workers[0].webhook_url
            call = simulator.place_call(SAYS_HELLO)
            await eventually(lambda: "Hello?" in said(call, "caller"))
            file.write_text(CONFIGURATION.format(greeting="Good evening.", name="Pier Dental"))
            await services.add(None, door=load_configuration(file))
            assert await here.workers[0].drain(60) == 0
            await eventually(lambda: here.workers[1].live_calls == 1)
            await attached_again(call)
            await talk_on(here, call)
            record = await here.record(call.call_id)
            assert call.conversation is not None
            instructions = call.conversation.session["instructions"]
    assert record.summary.end_reason == "caller_hung_up"
    assert record.configuration == earlier.fingerprint
    assert instructions == "You answer the phone of Harbor Dental."


async def test_calls_whose_adoption_was_not_confirmed_are_not_forgotten() -> None:
    class Forgetful(Reachable):
        """Loses the answer to an adoption, once."""

        lost = False

        async def adopt(
            self, worker: WorkerId, *, limit: int, quiet_s: float, take_back: bool = False
        ) -> tuple[ClaimedCall, ...]:
            adopted = await super().adopt(worker, limit=limit, quiet_s=quiet_s, take_back=take_back)
            if adopted and not self.lost:
                self.lost = True
                raise StoreAwayError("the answer was lost", serves_nobody=False)
            return adopted

    async with office(stores=(Reachable, Forgetful)) as here:
        call = here.simulator.place_call(SAYS_HELLO)
        await eventually(lambda: "Hello?" in said(call, "caller"))
        assert await here.workers[0].drain(60) == 0
        await eventually(lambda: here.workers[1].live_calls == 1)
        await attached_again(call)
        await talk_on(here, call)
        record = await here.record(call.call_id)
    assert record.summary.end_reason == "caller_hung_up"
