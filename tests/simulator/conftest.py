"""Whoever is told of calls by webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.simulator.receiver import WebhookReceiver, webhook_receiver


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver
