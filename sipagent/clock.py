"""The two clocks of the project: a monotonic one for durations, UTC for timestamps that people read.

Pure code takes ``now`` as an argument; only shells read a clock, and they read it here, so that a test
can replace it in one place.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic_s() -> float:
    """Seconds on a clock that never jumps; only differences mean anything.

    The same clock as ``asyncio``'s ``loop.time()`` on every supported platform.
    """
    return time.monotonic()


def utc_now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


def unix_s() -> float:
    """Seconds since 1970-01-01 UTC, as signatures and webhooks count them."""
    return time.time()
