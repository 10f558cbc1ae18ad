"""A simulated telephone, for tests and the demonstration: it calls over real SIP and RTP."""

from __future__ import annotations

from sipagent.simulator.phone.call import PhoneCall
from sipagent.simulator.phone.phone import Phone
from sipagent.simulator.phone.settings import HangUp, Pause, PhoneSettings, Press, Say, Step

__all__ = ["HangUp", "Pause", "Phone", "PhoneCall", "PhoneSettings", "Press", "Say", "Step"]
