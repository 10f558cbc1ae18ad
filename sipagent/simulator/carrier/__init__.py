"""The carriers' side: telephone companies that announce calls, follow documents and commands, and open audio
sockets, without a telephone network.

It shares no wire code with `sipagent.carrier`, and was made from the carriers' public documentation.
"""

from __future__ import annotations

from sipagent.simulator.carrier.asterisk import AsteriskOptions, PretendedAsterisk
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults
from sipagent.simulator.carrier.options import CarrierOptions, TelnyxOptions, TwilioOptions
from sipagent.simulator.carrier.pretended import PretendedCarrier
from sipagent.simulator.carrier.subscribers import (
    Act,
    Busy,
    Declines,
    NoAnswer,
    Person,
    SipPhone,
    Sound,
    Subscriber,
    Unreachable,
    parse_subscriber,
)
from sipagent.simulator.carrier.telnyx import PretendedTelnyx
from sipagent.simulator.carrier.twilio import PretendedTwilio

__all__ = [
    "Act",
    "AsteriskOptions",
    "Busy",
    "CarrierCall",
    "CarrierFault",
    "CarrierFaults",
    "CarrierOptions",
    "Declines",
    "NoAnswer",
    "Person",
    "PretendedAsterisk",
    "PretendedCarrier",
    "PretendedTelnyx",
    "PretendedTwilio",
    "SipPhone",
    "Sound",
    "Subscriber",
    "TelnyxOptions",
    "TwilioOptions",
    "Unreachable",
    "parse_subscriber",
]
