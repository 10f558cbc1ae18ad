"""Who can be reached in the pretended telephone network, and what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sipagent.errors import SimulatorError
from sipagent.simulator.phone.settings import HangUp, Pause, Press, Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Play a sound: mu-law, 8,000 bytes a second (`sipagent.simulator.wav` reads WAV files)."""

    ulaw: bytes
    waits: bool = False
    """First let the other side say something and finish."""


Act: TypeAlias = Say | Press | Pause | HangUp | Sound
"""One thing somebody on a telephone does. After the last one they listen until the call ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who answers."""

    answers_after_s: float = 0.05
    does: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class Busy:
    """A line in use: SIP 486."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """It rings, and nobody comes."""


@dataclass(frozen=True, slots=True)
class Declines:
    """Somebody who sees the call and does not take it: SIP 603."""

    after_s: float = 0.05


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A number that cannot be called."""

    sip_status: int = 404


@dataclass(frozen=True, slots=True)
class SipPhone:
    """A real telephone: whoever listens at ``uri``."""

    uri: str


Subscriber: TypeAlias = Person | Busy | NoAnswer | Declines | Unreachable | SipPhone
"""What a number of the pretended network leads to."""


def parse_subscriber(text: str) -> Subscriber:
    """Read ``answers``, ``answers=2`` (after so many seconds), ``busy``, ``no_answer``, ``declines``,
    ``unreachable``, ``unreachable=480`` or the address of a real telephone, ``sip:…``.

    Raises `SimulatorError` for anything else.
    """
    if text.lower().startswith(("sip:", "sips:")):
        return SipPhone(text)
    name, equals, value = text.strip().partition("=")
    if equals and not value.replace(".", "", 1).isdigit():
        raise SimulatorError(f"{text!r}: {value!r} is no number")
    match name:
        case "answers":
            greeting = (Say(text="Hello, how can I help?", waits=False),)
            return Person(answers_after_s=float(value) if equals else 1.0, does=greeting)
        case "busy":
            return Busy()
        case "no_answer":
            return NoAnswer()
        case "declines":
            return Declines()
        case "unreachable":
            return Unreachable(int(float(value)) if equals else 404)
        case _:
            known = "answers, answers=SECONDS, busy, no_answer, declines, unreachable=SIP-STATUS, sip:…"
            raise SimulatorError(f"{text!r} is nobody that can be called: use one of {known}")
