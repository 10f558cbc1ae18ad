"""A service that serves a file with carriers: calls come through, and a new plan counts from the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sipagent.app import Service, ServiceSettings
from sipagent.calls import CallsClient, CallsClients
from sipagent.config import load_configuration
from sipagent.errors import UserError
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.carrier import CarrierCall, Person, PretendedTwilio, TwilioOptions
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.store import CallRecord, MemoryCallStore
from tests.simulator.carrier.rig import Quick
from tests.support.ports import free_port
from tests.support.practice import API_KEY, QUICK

UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
AUTH_TOKEN = "0123456789abcdef" * 2
PERSON = "+15550100199"
CLOSED = "We are closed until Monday."
FILE = """\
version: 1
agents:
  desk:
    instructions: You answer the phone.
    greeting: Good morning.
    tools: [hang_up]
    recording: {recording}
routes:
  - {{name: number, to: "+15550100000", agent: desk}}
  - {{name: gone, to: "+15550100001", reject: 486}}
carriers:
  public_url: http://127.0.0.1:{port}
  sip: {{project: proj_demo, host: 127.0.0.1, port: {sip}, transport: udp, secure: false}}
  answer: {answer}
  twilio: {{account_sid: {account}, auth_token: "${{TWILIO_AUTH_TOKEN}}", base_url: "{api}"}}
recordings: {{folder: kept, keep: 7d}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A company, its carrier, and OpenAI's side."""

    file: Path
    places: Mapping[str, object]
    twilio: PretendedTwilio
    service: Service
    store: MemoryCallStore

    def write(self, answer: str) -> None:
        """Change the plan."""
        self.file.write_text(FILE.format(**self.places, answer=answer), encoding="utf-8")

    async def records(self, count: int) -> tuple[CallRecord, ...]:
        """All of them, once there are ``count`` that are over."""
        async with asyncio.timeout(30):
            while True:
                found = [await self.store.call(summary.call_id) for summary in await self.store.calls()]
                over = [each for each in found if each is not None and each.summary.end_reason is not None]
                if len(over) >= count:
                    return tuple(over)
                await asyncio.sleep(0.02)  # a store is asked, it does not tell


async def _ended(call: CarrierCall) -> CarrierCall:
    async with asyncio.timeout(30):
        await call.ended()
    return call


@asynccontextmanager
async def site(tmp_path: Path, answer: str, *, recording: str = "false") -> AsyncIterator[Site]:
    port, file, store = free_port(), tmp_path / "sipagent.yaml", MemoryCallStore()
    options = TwilioOptions(
        webhook_url=f"http://127.0.0.1:{port}/carriers/twilio/voice",
        auth_token=AUTH_TOKEN,
        voice=Quick(),
        people_voice=Quick(),
    )
    openai_options = SimulatorOptions(
        sip=(UDP,),
        api_key=API_KEY,
        voice=Quick(),
        calls=SimulatedCallSettings(webhook_delay_s=0, answer_delay_s=0),
    )
    async with Simulator(openai_options) as openai, PretendedTwilio(options) as twilio:
        places: dict[str, object] = {"port": port, "sip": openai.sip[0].port, "account": twilio.account_sid}
        places |= {"api": twilio.api_base_url, "recording": recording}
        file.write_text(FILE.format(**places, answer=answer), encoding="utf-8")
        service = Service(
            front_door=load_configuration(file),
            api_key=API_KEY,
            base_url=openai.base_url,
            webhook_secrets=[openai.webhook_secret],
            store=store,
            settings=ServiceSettings(port=port, drain_timeout_s=5, calls=QUICK, reload_poll_s=0.05),
        )
        async with service:
            openai.webhook_url = service.webhook_url
            yield Site(file=file, places=places, twilio=twilio, service=service, store=store)


@pytest.fixture(autouse=True)
def auth_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", AUTH_TOKEN)


async def test_a_call_is_answered_by_the_plan_of_the_file(tmp_path: Path) -> None:
    async with site(tmp_path, "sip") as here:
        call = await here.twilio.call(caller="+15550100123", to="+15550100000")
        async with asyncio.timeout(30):
            await call.answered()
            await call.caller.other_finished()
        call.caller.hang_up()
        await _ended(call)
        [record] = await here.records(1)
    assert call.heard.loud_s > 0.4
    assert record.line == "sip"
    assert record.summary.end_reason == "caller_hung_up"
    assert (record.summary.caller, record.summary.dialled) == ("+15550100123", "+15550100000")
    assert record.carrier_call_id == call.sid
    assert call.sentences == ()


async def test_a_plan_that_changes_counts_from_the_next_call(tmp_path: Path) -> None:
    async with site(tmp_path, "[{say: Nobody is here.}]") as here:
        first = await _ended(await here.twilio.call(caller="+15550100123", to="+15550100000"))
        assert first.sentences == ("Nobody is here.",)
        here.write(f"[{{say: {CLOSED}}}]")
        async with asyncio.timeout(30):
            while True:
                again = await _ended(await here.twilio.call(caller="+15550100123", to="+15550100000"))
                if again.sentences != first.sentences:
                    break
        assert again.sentences == (CLOSED,)
        here.write("[{sy: Hello.}]")
        reload = await here.service.reload()
        assert reload.result == "failed"
        after = await _ended(await here.twilio.call(caller="+15550100123", to="+15550100000"))
        assert after.sentences == (CLOSED,), "a mistake changes nothing"


async def test_a_route_that_refuses_does_so_at_the_carrier(tmp_path: Path) -> None:
    async with site(tmp_path, "sip") as here:
        call = await _ended(await here.twilio.call(caller="+15550100123", to="+15550100001"))
        assert call.status == "busy"
        [record] = await here.records(1)
    assert record.summary.end_reason == "rejected_by_route"


async def test_a_call_whose_audio_comes_through_is_recorded_as_the_file_says(tmp_path: Path) -> None:
    async with site(tmp_path, "stream", recording="This call is recorded.") as here:
        call = await here.twilio.call(caller="+15550100123", to="+15550100000")
        async with asyncio.timeout(30):
            await call.answered()
            await call.caller.until(lambda: any((tmp_path / "kept").glob("*.wav")))
        call.caller.hang_up()
        await _ended(call)
        [record] = await here.records(1)
    assert record.line == "stream"
    [recording] = record.recordings
    assert recording.consent == "This call is recorded."
    assert [Path(recording.path)] == list((tmp_path / "kept").glob("*.wav"))
    kept = recording.keep_until - recording.started_at
    assert kept.days == 7


async def test_nothing_is_recorded_unless_the_file_says_so(tmp_path: Path) -> None:
    async with site(tmp_path, "stream") as here:
        call = await here.twilio.call(caller="+15550100123", to="+15550100000")
        async with asyncio.timeout(30):
            await call.answered()
            await call.caller.other_finished()
        call.caller.hang_up()
        await _ended(call)
        [record] = await here.records(1)
    assert record.line == "stream"
    assert record.recordings == ()
    assert not (tmp_path / "kept").exists()


async def test_carriers_and_calls_change_in_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes until the API that the new file names can be spoken with."""
    async with site(tmp_path, "[{say: Nobody is here.}]") as here:
        asked, may_open = asyncio.Event(), asyncio.Event()
        opens = CallsClients.open

        async def slow(clients: CallsClients, base_url: str) -> CallsClient:
            asked.set()
            await may_open.wait()
            if refused:
                raise UserError("no such address")
            return await opens(clients, base_url)

        async def heard() -> tuple[str, ...]:
            return (await _ended(await here.twilio.call(caller="+15550100123", to="+15550100000"))).sentences

        monkeypatch.setattr(CallsClients, "open", slow)
        for refused in (True, False):
            asked.clear()
            may_open.clear()
            before = here.service.generation.number
            here.write(f"[{{say: {CLOSED}}}]")
            async with asyncio.timeout(30):
                reloading = asyncio.create_task(here.service.reload())
                await asked.wait()
                assert await heard() == ("Nobody is here.",)
                may_open.set()
                reload = await reloading
            assert reload.result == ("failed" if refused else "loaded")
            assert (here.service.generation.number > before) is not refused
            assert await heard() == ("Nobody is here." if refused else CLOSED,)


async def test_a_call_in_progress_outlasts_a_new_auth_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = f"[{{call: '{PERSON}', timeout: 5s}}, {{say: {CLOSED}}}]"
    async with site(tmp_path, plan) as here:
        here.twilio.network.numbers[PERSON] = Person(answers_after_s=60)
        call = await here.twilio.call(caller="+15550100123", to="+15550100000")
        async with asyncio.timeout(30):
            await call.until(lambda: bool(call.legs_to(PERSON)))
        monkeypatch.setenv("TWILIO_AUTH_TOKEN", "fedcba9876543210" * 2)
        here.write(plan + "  # by another token")
        async with asyncio.timeout(30):
            assert (await here.service.reload()).result == "loaded"
        await _ended(call)
        assert call.sentences == (CLOSED,)
