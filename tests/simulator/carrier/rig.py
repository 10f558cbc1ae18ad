"""A carrier, a service in front of it, and OpenAI's side behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from openai import AsyncOpenAI

from sipagent.simulator.call_values import CallSettings
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.carrier import CarrierCall, PretendedTwilio, TwilioOptions
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.carrier.leg import LegStatus
from sipagent.simulator.script import Script, Step
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.sip.settings import ListenAddress
from tests.simulator.carrier.service import LIMIT_S, Service, service
from tests.simulator.phone.rig import Certificates
from tests.simulator.receiver import Webhook, WebhookReceiver, webhook_receiver

UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
TLS = ListenAddress(transport="tls", host="127.0.0.1", port=0)


class Quick:
    """Says everything in 0.6 seconds."""

    async def speak(self, text: str) -> bytes:
        """A tone."""
        return tone((300,), seconds=0.6)


async def over(call: CarrierCall) -> LegStatus:
    """Wait for the end."""
    async with asyncio.timeout(LIMIT_S):
        return await call.ended()


async def transcribed(call: SimulatedCall) -> None:
    """Wait until the agent's side has noticed that somebody spoke."""
    while call.conversation is None or not call.conversation.transcript:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everybody."""

    site: Service
    twilio: PretendedTwilio
    openai: Simulator
    webhooks: WebhookReceiver
    client: AsyncOpenAI

    @property
    def project(self) -> str:
        """The project's address, by UDP."""
        return f"sip:proj_demo@127.0.0.1:{self.openai.sip[0].port};transport=udp"

    @property
    def secure_project(self) -> str:
        """By TLS, with encrypted audio."""
        return f"sip:proj_demo@127.0.0.1:{self.openai.sip[1].port};transport=tls;secure=true"

    async def accepted(self) -> tuple[Webhook, SimulatedCall]:
        """The next call at the project's address, accepted."""
        webhook = await self.webhooks.next()
        await self.client.realtime.calls.accept(webhook.call_id, type="realtime")
        call = self.openai.calls.find(webhook.call_id)
        assert call is not None
        return webhook, call

    async def greet(self, webhook: Webhook) -> None:
        """Let the agent say its greeting to the end."""
        async with self.client.realtime.connect(call_id=webhook.call_id) as connection:
            await connection.response.create()
            async with asyncio.timeout(LIMIT_S):
                while (await connection.recv()).type != "output_audio_buffer.stopped":
                    pass


def client_of(simulator: Simulator) -> AsyncOpenAI:
    """The official client."""
    return AsyncOpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Everybody, on real ports."""
    certificates = Certificates.make()
    async with service() as site, webhook_receiver() as webhooks:
        openai = Simulator(
            SimulatorOptions(
                sip=(UDP, TLS),
                tls=certificates.server,
                script=Script(greeting=Step(say="Good morning."), delay_ms=1),
                voice=Quick(),
                webhook_url=webhooks.url,
                calls=CallSettings(webhook_delay_s=0, answer_delay_s=0),
            )
        )
        options = TwilioOptions(
            webhook_url=site.address("/voice"),
            voice=Quick(),
            people_voice=Quick(),
            turn_gap_ms=300,
            client_tls=certificates.client,
        )
        async with openai, PretendedTwilio(options) as twilio, client_of(openai) as client:
            yield World(site=site, twilio=twilio, openai=openai, webhooks=webhooks, client=client)
