from __future__ import annotations

import pytest

from sipagent.errors import SdpError
from sipagent.simulator.sip.listener import SipCallListener


def test_whoever_overrides_nothing_agrees_to_nothing() -> None:
    listener = SipCallListener()
    assert listener.refer_requested("sip:a@b.test") == 603
    with pytest.raises(SdpError):
        listener.reinvited(b"")
