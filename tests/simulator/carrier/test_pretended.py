"""A carrier that goes while calls are up, and one that cannot come."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier import NoAnswer, Person, PretendedTwilio, TwilioOptions
from sipagent.simulator.sip.settings import ListenAddress
from tests.simulator.carrier.rig import Quick, over
from tests.simulator.carrier.service import LIMIT_S, service

BOSS, NOBODY = "+15550100777", "+15550100778"


async def test_leaving_ends_calls_in_every_state() -> None:
    async with service() as site:
        documents = {
            "/say": "<Say>Hello, this takes a while.</Say>",
            "/gather": "<Gather timeout='60'/>",
            "/dial": f"<Dial>{NOBODY}</Dial>",
            "/talk": f"<Dial>{BOSS}</Dial>",
            "/room": "<Dial><Conference startConferenceOnEnter='false'>a</Conference></Dial>",
            "/stream": f"<Connect><Stream url='{site.media_url}'/></Connect>",
            "/pause": "<Pause length='60'/>",
        }
        waiting = site.pauses["/silent"] = asyncio.Event()
        for path, verb in documents.items():
            site.tell(path, f"<Response>{verb}</Response>")
        options = TwilioOptions(
            voice=Quick(), people_voice=Quick(), numbers={BOSS: Person(), NOBODY: NoAnswer()}
        )
        async with PretendedTwilio(options) as twilio:
            for path in (*documents, "/silent"):
                twilio.webhook_url = site.address(path)
                await twilio.call()
                await site.has(path)
            await site.next_socket()
            talking = twilio.calls[list(documents).index("/talk")]
            async with asyncio.timeout(LIMIT_S):
                await talking.leg_answered(BOSS)
        assert all(leg.is_over for call in twilio.calls for leg in call.legs)
        waiting.set()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(twilio.http)


async def test_addresses_that_cannot_be_had_are_said() -> None:
    async with PretendedTwilio(TwilioOptions()) as twilio:
        with pytest.raises(SimulatorError, match="HTTP"):
            async with PretendedTwilio(TwilioOptions(http_port=twilio.http[1])):
                pass
        tls = ListenAddress(transport="tls", host="127.0.0.1", port=0)
        with pytest.raises(SimulatorError, match="certificate"):
            async with PretendedTwilio(TwilioOptions(sip=(tls,))):
                pass


async def test_a_number_without_a_webhook_cannot_be_called() -> None:
    async with PretendedTwilio(TwilioOptions()) as twilio:
        call = await twilio.call()
        assert (await over(call)).value == "failed"
        assert [notice.code for notice in call.notices] == [21404]
        with pytest.raises(SimulatorError, match="earthquake"):
            await twilio.call(faults="earthquake")
