"""What a simulated phone is told: how it behaves, and what its user does in a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sipagent.simulator.rtp import Codec


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneSettings:
    """How a phone behaves."""

    host: str = "127.0.0.1"
    """Address of this machine for audio, as named in session descriptions."""
    codecs: tuple[Codec, ...] = ("PCMU", "PCMA")
    """In order of preference."""
    srtp: bool = False
    """Offer encrypted audio only (SDES), and insist on it when called."""
    turn_gap_ms: int = 800
    """Quiet after which the other side has finished; longer than a speaker's inner pauses."""
    patience_s: float = 20.0
    """The user speaks anyway when the other side has not finished by then."""
    follows_refer: bool = True
    """Whether a request to call somebody else (REFER) is followed or declined."""
    rings_for_s: float = 0.0
    """How long a phone that is called rings before it is answered."""
    tel_gateway: str | None = None
    """``host:port`` that is called for a transfer to a ``tel:`` address; None refuses such transfers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Speak a line."""

    text: str
    waits: bool = True
    """First let the other side say something and finish; False speaks at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Press keys, once the other side has finished."""

    digits: str
    waits: bool = True
    """As in `Say`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End the call."""

    waits: bool = True
    """As in `Say`."""


Step: TypeAlias = Say | Press | Pause | HangUp
"""One thing a phone's user does. After the last step the phone listens until the call ends."""
