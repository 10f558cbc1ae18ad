from __future__ import annotations

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.settings import ListenAddress


@pytest.mark.parametrize("text", ["udp:127.0.0.1:5060", "tcp:0.0.0.0:0", "tls:[::1]:5061"])
def test_addresses_are_read_and_written(text: str) -> None:
    assert str(ListenAddress.parse(text)) == text


def test_brackets_are_no_part_of_the_host() -> None:
    assert ListenAddress.parse("TLS:[::1]:5061") == ListenAddress(transport="tls", host="::1", port=5061)


@pytest.mark.parametrize(
    "text", ["", "udp", "udp:5060", "udp::5060", "sctp:a:1", "udp:a:65536", "udp:a:-1", "udp:a:x"]
)
def test_a_bad_address_is_explained(text: str) -> None:
    with pytest.raises(SimulatorError, match="expected udp:HOST:PORT"):
        ListenAddress.parse(text)
