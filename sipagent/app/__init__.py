"""The service, put together: the only place where the rooms meet."""

from __future__ import annotations

from sipagent.app.doors import WEBHOOK_PATH
from sipagent.app.service import Service
from sipagent.app.settings import ServiceSettings, SpokenWords
from sipagent.calls.carrier_says import CarrierSays, carrier_says
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.telemetry import configure_logging

__all__ = [
    "WEBHOOK_PATH",
    "CarrierSays",
    "Service",
    "ServiceSettings",
    "ShiftSettings",
    "SpokenWords",
    "carrier_says",
    "configure_logging",
]
