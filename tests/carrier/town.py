"""A carrier, the whole service behind its webhooks, and OpenAI's side behind that: over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, assert_never

from sipagent.app import Service, ServiceSettings
from sipagent.calls import FrontDoor
from sipagent.calls.profile import Recording
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.template import Template
from sipagent.carrier.settings import (
    AnswerBySip,
    AnswerPlan,
    AudioSocketSettings,
    CarrierSettings,
    SipTarget,
    Step,
    TelnyxSettings,
    TwilioSettings,
)
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.carrier import (
    AsteriskOptions,
    CarrierCall,
    PretendedAsterisk,
    PretendedCarrier,
    PretendedTelnyx,
    PretendedTwilio,
    TelnyxOptions,
    TwilioOptions,
)
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.webhooks import WebhookSettings
from sipagent.store import CallRecord, CallSummary, MemoryCallStore, MemoryDatabase, Store
from tests.support.ports import free_port
from tests.support.practice import API_KEY, QUICK, front_door

UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
LIMIT_S = 60.0
QUICKLY = ShiftSettings(
    lease_s=2.0, heartbeat_s=0.2, stall_s=1.5, quiet_s=0.5, look_s=0.1, hand_over_patience_s=3.0
)
SCRIPT = """
greeting: Good morning.
delay_ms: 1
otherwise: I see.
"""


CarrierKind = Literal["twilio", "texml", "call_control", "asterisk"]
"""A carrier, and which of its ways to move a call."""


class Quick:
    """Says everything in 0.6 seconds."""

    async def speak(self, text: str) -> bytes:
        """A tone."""
        return tone((300,), seconds=0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everybody."""

    carrier: PretendedCarrier
    openai: Simulator
    service: Service
    store: Store
    other: Service | None = None
    """Another worker, which shares the database, and to which no webhook comes by itself."""

    async def call(self, **options: Any) -> CarrierCall:
        """Somebody calls the company's number at the carrier; see `PretendedCarrier.call`."""
        return await self.carrier.call(caller="+15550100123", to="+15550100000", **options)

    async def over(self, call: CarrierCall) -> None:
        """Wait until the caller's leg is over."""
        async with asyncio.timeout(LIMIT_S):
            await call.ended()

    async def calls_of(self, call: CarrierCall) -> tuple[CallSummary, ...]:
        """What the store has of the calls of the caller's leg, newest first, once each has ended."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                found = await self.store.calls_of_leg(call.sid)
                if found and all(one.end_reason is not None for one in found):
                    return found
                await asyncio.sleep(0.02)  # a store is asked, it does not tell

    async def record(
        self, call: CarrierCall, until: Callable[[CallRecord], bool] = lambda record: True
    ) -> CallRecord:
        """The record of the newest call of the leg, when it has ended and ``until`` holds of it."""
        newest, *_ = await self.calls_of(call)
        async with asyncio.timeout(LIMIT_S):
            while True:
                record = await self.store.call(newest.call_id)
                assert record is not None
                if until(record):
                    return record
                await asyncio.sleep(0.02)


def pretended(by: CarrierKind, public_url: str, **options: Any) -> PretendedCarrier:
    """The carrier, whose number asks the service at ``public_url``."""
    common = {"voice": Quick(), "people_voice": Quick(), "turn_gap_ms": 300, **options}
    match by:
        case "twilio":
            return PretendedTwilio(
                TwilioOptions(
                    webhook_url=f"{public_url}/carriers/twilio/voice",
                    report_url=f"{public_url}/carriers/twilio/status",
                    **common,
                )
            )
        case "texml":
            return PretendedTelnyx(
                TelnyxOptions(
                    webhook_url=f"{public_url}/carriers/telnyx/texml/voice",
                    report_url=f"{public_url}/carriers/telnyx/texml/status",
                    **common,
                )
            )
        case "call_control":
            return PretendedTelnyx(
                TelnyxOptions(
                    application="call_control",
                    webhook_url=f"{public_url}/carriers/telnyx/call-control",
                    **common,
                )
            )
        case "asterisk":
            return PretendedAsterisk(
                AsteriskOptions(
                    webhook_url=f"{public_url}/carriers/asterisk/call",
                    outcome_url=f"{public_url}/carriers/asterisk/outcome",
                    audio_socket=("127.0.0.1", free_port()),
                    **common,
                )
            )
        case _:
            assert_never(by)


def account_of(carrier: PretendedCarrier) -> dict[str, Any]:
    """What the service knows of its account there."""
    match carrier:
        case PretendedTwilio():
            twilio = TwilioSettings(
                account_sid=carrier.account_sid,
                auth_tokens=(carrier.auth_token,),
                api_base_url=carrier.api_base_url,
            )
            return {"twilio": twilio}
        case PretendedTelnyx():
            telnyx = TelnyxSettings(
                api_key=carrier.api_key,
                public_keys=(carrier.public_key,),
                connection_id=carrier.connection_id,
                api_base_url=carrier.api_base_url,
            )
            return {"telnyx": telnyx}
        case PretendedAsterisk():
            host, port = carrier.audio_socket
            return {"audio_socket": AudioSocketSettings(host=host, port=port, token=carrier.token)}
        case _:
            raise AssertionError(carrier)


@asynccontextmanager
async def town(
    *steps: Step,
    door: FrontDoor | None = None,
    script: str = SCRIPT,
    store: Store | None = None,
    by: CarrierKind = "twilio",
    carrier: Mapping[str, Any] | None = None,
    openai: Mapping[str, Any] | None = None,
    sip: SipTarget | None = None,
    workers: int = 1,
) -> AsyncIterator[Town]:
    """Start everybody, with a number at the carrier that ``by`` names. ``steps`` is the plan, by default to
    answer by SIP; ``carrier`` and ``openai`` are more options of the two simulators; ``sip`` is where the
    service says that the API is. Of two ``workers``, the carrier knows the address of the first."""
    port = free_port()
    public_url = f"http://127.0.0.1:{port}"
    simulator_options = SimulatorOptions(
        api_key=API_KEY,
        sip=(UDP,),
        script=parse_script(script, name="test"),
        voice=Quick(),
        calls=SimulatedCallSettings(webhook_delay_s=0, answer_delay_s=0),
        webhooks=WebhookSettings(),
        webhook_url=f"{public_url}/webhooks/openai",
        **(openai or {}),
    )
    database = MemoryDatabase()
    store = store or MemoryCallStore(database=database)
    async with (
        Simulator(simulator_options) as simulator,
        pretended(by, public_url, **(carrier or {})) as company,
    ):
        settings = CarrierSettings(
            public_url=public_url,
            sip=sip
            or SipTarget(
                project="proj_demo",
                host="127.0.0.1",
                port=simulator.sip[0].port,
                transport="udp",
                secure=False,
            ),
            plan=AnswerPlan(steps=steps or (AnswerBySip(),)),
            **account_of(company),
        )

        def worker(its_store: Store, its_port: int) -> Service:
            return Service(
                front_door=door or front_door(),
                api_key=API_KEY,
                base_url=simulator.base_url,
                webhook_secrets=[simulator.webhook_secret],
                store=its_store,
                carriers=settings,
                settings=ServiceSettings(port=its_port, drain_timeout_s=10, calls=QUICK, shift=QUICKLY),
            )

        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(worker(store, port))
            other = None
            if workers > 1:
                other = await stack.enter_async_context(worker(MemoryCallStore(database=database), 0))
            yield Town(carrier=company, openai=simulator, service=service, store=store, other=other)


def recording_door(folder: Path, *, keep_days: int = 30) -> FrontDoor:
    """The practice, which records its calls."""
    door = front_door()
    consent = Template("This call to {{dialled}} is recorded.")
    recording = Recording(consent=consent, folder=folder, keep_days=keep_days)
    profiles = {name: replace(profile, recording=recording) for name, profile in door.profiles.items()}
    return replace(door, profiles=profiles)
