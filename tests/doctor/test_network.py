from __future__ import annotations

import aiohttp
import pytest

from sipagent.doctor.network import why_unreachable


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "there was no answer within 3 s"),
        (ConnectionResetError(104, "Connection reset by peer"), "it closed the connection without an answer"),
        (aiohttp.ServerDisconnectedError(), "it closed the connection without an answer"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (ValueError("Port out of range 0-65535"), "Port out of range 0-65535"),
        (ValueError(), "ValueError"),
    ],
)
def test_every_error_is_words(error: Exception, reason: str) -> None:
    said, remedy = why_unreachable(error, timeout_s=3)
    assert said == reason
    assert remedy
