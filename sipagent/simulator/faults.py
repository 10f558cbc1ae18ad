"""The fault menu: what can be made to go wrong, for one call or for all of them.

A menu entry is written ``name`` or ``name=value``; several are separated by commas, as in the INVITE header
``X-Sipagent-Fault: webhook_late=4, accept_500=2``. Scripts, the control API and the command line use the
same notation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sipagent.errors import SimulatorError

FAULT_HEADER = "X-Sipagent-Fault"
"""The INVITE header that carries faults; may be repeated."""


class Fault(StrEnum):
    """Everything that can be made to go wrong."""

    WEBHOOK_LATE = "webhook_late"
    """The webhook leaves ``=seconds`` later than it should."""
    WEBHOOK_DUPLICATE = "webhook_duplicate"
    """The webhook is delivered twice, with one ``webhook-id``."""
    WEBHOOK_FORGED = "webhook_forged"
    """The webhook is signed with a secret nobody knows; it is not repeated."""
    WEBHOOK_MISSING = "webhook_missing"
    """No webhook at all: nobody hears of the call."""
    ACCEPT_DEAD = "accept_dead"
    """Accept answers 200, but the session never lives: 404 on the socket, and the caller gets SIP 400."""
    ACCEPT_404 = "accept_404"
    """Accept answers 404 ``call_id_not_found``."""
    ACCEPT_429 = "accept_429"
    """Accept answers 429; with ``=N`` only the first N times."""
    ACCEPT_500 = "accept_500"
    """Accept answers 500; with ``=N`` only the first N times."""
    ACCEPT_SLOW = "accept_slow"
    """Accept is carried out ``=seconds`` after it was asked for."""
    SOCKET_404 = "socket_404"
    """The Realtime socket is refused with 404; with ``=N`` only the first N times."""
    SOCKET_DROPPED = "socket_dropped"
    """The socket breaks in the middle of a response; the call goes on."""
    SOCKET_STALLED = "socket_stalled"
    """The socket stays open and says nothing any more."""
    REFER_SLOW = "refer_slow"
    """Refer is carried out, and answered, ``=seconds`` after it was asked for."""
    REFER_LOST = "refer_lost"
    """Refer answers 200, and no REFER is sent."""
    REFER_500 = "refer_500"
    """Refer answers 500; with ``=N`` only the first N times."""
    PLAYBACK_STOP_MISSING = "playback_stop_missing"
    """No ``output_audio_buffer.stopped`` is ever sent."""
    MALFORMED_EVENT = "malformed_event"
    """Text that is no JSON is sent between the events."""
    UNKNOWN_EVENT = "unknown_event"
    """An event of a type nobody has documented is sent between the others."""
    MEDIA_STALLED = "media_stalled"
    """The caller hears nothing: no RTP is sent."""
    CALLER_HANGS_UP_RINGING = "caller_hangs_up_ringing"
    """The caller gives up between the webhook and the answer."""
    CALLER_HANGS_UP_SPEAKING = "caller_hangs_up_speaking"
    """The caller hangs up while the agent speaks."""
    CALLER_HANGS_UP_TOOL = "caller_hangs_up_tool"
    """The caller hangs up while a tool of the agent runs."""


_SECONDS: Mapping[Fault, float] = {Fault.WEBHOOK_LATE: 3.0, Fault.ACCEPT_SLOW: 3.0, Fault.REFER_SLOW: 3.0}
"""The faults that last, with how long they do when no value was given."""

_TRIES = frozenset({Fault.ACCEPT_429, Fault.ACCEPT_500, Fault.SOCKET_404, Fault.REFER_500})
"""The faults that can be limited to the first N tries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSet:
    """The faults of one call. An empty set is false."""

    values: Mapping[Fault, float | None]
    """Each fault that is on, with its number; None where none was given."""

    @classmethod
    def of(cls, *faults: Fault) -> FaultSet:
        """These faults, without numbers."""
        return cls(values=dict.fromkeys(faults))

    @classmethod
    def parse(cls, text: str) -> FaultSet:
        """Read ``name[=value][, name[=value]…]``. An empty text is an empty set; the last of two wins.

        Raises:
            SimulatorError: an unknown name, a value where none belongs, or one that is no number in range.
        """
        values: dict[Fault, float | None] = {}
        for entry in text.split(","):
            name, equals, value = (part.strip() for part in entry.partition("="))
            if not name and not equals:
                continue
            try:
                fault = Fault(name.lower())
            except ValueError:
                known = ", ".join(Fault)
                raise SimulatorError(f"there is no fault {name!r}; the menu is: {known}") from None
            values[fault] = _number(fault, value) if equals else None
        return cls(values=values)

    @classmethod
    def parse_all(cls, texts: Iterable[str]) -> FaultSet:
        """The union of several texts; see `parse`."""
        return cls.parse(",".join(texts))

    def __contains__(self, fault: Fault) -> bool:
        return fault in self.values

    def __bool__(self) -> bool:
        return bool(self.values)

    def __str__(self) -> str:
        return ", ".join(
            fault.value if value is None else f"{fault.value}={value:g}"
            for fault, value in self.values.items()
        )

    def __or__(self, other: FaultSet) -> FaultSet:
        """Both; where both name a fault, the right one's number counts."""
        return FaultSet(values={**self.values, **other.values})

    def seconds(self, fault: Fault) -> float:
        """How long ``fault`` lasts: 0 when it is off, its usual time when it is on without a number."""
        assert fault in _SECONDS, f"{fault} does not last"
        if fault not in self.values:
            return 0.0
        value = self.values[fault]
        return _SECONDS[fault] if value is None else value

    def strikes(self, fault: Fault, *, tries: int) -> bool:
        """Whether ``fault`` hits now, after ``tries`` earlier ones (0 for the first)."""
        if fault not in self.values:
            return False
        limit = self.values[fault]
        return limit is None or tries < limit


def _number(fault: Fault, text: str) -> float:
    """The value of one entry, checked against what the fault can take."""
    if fault not in _SECONDS and fault not in _TRIES:
        raise SimulatorError(f"fault {fault.value!r} takes no value, but {text!r} was given")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if fault in _TRIES and not (value >= 1 and value.is_integer()):
        raise SimulatorError(f"{fault.value}={text}: give a number of tries, 1 or more")
    if fault in _SECONDS and not 0 <= value <= 3600:
        raise SimulatorError(f"{fault.value}={text}: give seconds, from 0 to 3600")
    return value
