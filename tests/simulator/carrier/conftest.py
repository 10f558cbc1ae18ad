"""The service that a pretended carrier asks, and a Twilio account that asks nothing unusual of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sipagent.simulator.carrier import PretendedTwilio, TwilioOptions
from tests.simulator.carrier.rig import Quick
from tests.simulator.carrier.service import Service, service


@pytest.fixture
async def site() -> AsyncIterator[Service]:
    async with service() as found:
        yield found


@pytest.fixture
async def twilio(site: Service) -> AsyncIterator[PretendedTwilio]:
    options = TwilioOptions(
        webhook_url=site.address("/voice"), turn_gap_ms=300, voice=Quick(), people_voice=Quick()
    )
    async with PretendedTwilio(options) as found:
        yield found
