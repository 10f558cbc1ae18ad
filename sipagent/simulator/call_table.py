"""All calls of a simulator: the live ones, and the last ones that are over."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from sipagent.identifiers import CallId
from sipagent.simulator.caller import VirtualCaller
from sipagent.simulator.calls import SimulatedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    call: SimulatedCall
    caller: VirtualCaller | None


class CallTable:
    """Finds calls by their id. Of those that are over it keeps ``remembered``, the latest."""

    def __init__(self, *, remembered: int) -> None:
        self._remembered = remembered
        self._live: dict[CallId, _Entry] = {}
        self._over: OrderedDict[CallId, _Entry] = OrderedDict()

    @property
    def live_count(self) -> int:
        """How many calls are not over."""
        return len(self._live)

    def add(self, call: SimulatedCall, caller: VirtualCaller | None) -> None:
        """A call begins; ``caller`` is None when a real telephone is at the other end."""
        self._live[call.call_id] = _Entry(call=call, caller=caller)

    def retire(self, call: SimulatedCall) -> None:
        """A call is over. Does nothing the second time."""
        entry = self._live.pop(call.call_id, None)
        if entry is None:
            return
        self._over[call.call_id] = entry
        while len(self._over) > self._remembered:
            self._over.popitem(last=False)

    def all_calls(self) -> tuple[SimulatedCall, ...]:
        """Remembered and live calls, by when they began."""
        entries = [*self._over.values(), *self._live.values()]
        return tuple(sorted((entry.call for entry in entries), key=lambda call: call.history[0].at_s))

    def find(self, call_id: str) -> SimulatedCall | None:
        """The call of this id, live or over."""
        entry = self._entry(call_id)
        return None if entry is None else entry.call

    def caller_of(self, call: SimulatedCall) -> VirtualCaller | None:
        """The virtual caller of ``call``."""
        entry = self._entry(call.call_id)
        return None if entry is None else entry.caller

    def _entry(self, call_id: str) -> _Entry | None:
        return self._live.get(CallId(call_id)) or self._over.get(CallId(call_id))
