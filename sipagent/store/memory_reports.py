"""What carriers report, in memory."""

from __future__ import annotations

from collections.abc import Mapping

from sipagent.identifiers import CallId
from sipagent.store.carrier_records import CarrierReported, in_order
from sipagent.store.records import CallOpened

DEFAULT_REPORTS = 100_000
"""Reports."""


class MemoryReports:
    """Keeps the last ``capacity`` reports; beyond it the one that was heard of first is forgotten."""

    def __init__(self, *, capacity: int = DEFAULT_REPORTS) -> None:
        assert capacity > 0, "what keeps no report cannot say what carriers said"
        self._capacity = capacity
        self._events: dict[tuple[str, str], tuple[int, CarrierReported]] = {}
        """By carrier and event, with the number of its arrival, in order."""
        self._last_arrival = 0
        self._naming: dict[tuple[str, str], dict[int, CarrierReported]] = {}
        """By what a report names (``("leg", id)``, ``("call", id)``), then by arrival."""

    def apply(self, report: CarrierReported) -> None:
        """Remember ``report``, unless its event is known."""
        event = (report.carrier, report.event_id)
        if event in self._events:
            return
        self._last_arrival += 1
        self._events[event] = (self._last_arrival, report)
        for name in _names(report):
            self._naming.setdefault(name, {})[self._last_arrival] = report
        if len(self._events) > self._capacity:
            self._forget(*self._events.pop(next(iter(self._events))))

    def of_leg(self, carrier_call_id: str, carrier: str | None) -> tuple[CarrierReported, ...]:
        """See `CallStore.carrier_reports`."""
        return _in_order(self._found("leg", carrier_call_id, carrier))

    def of_call(self, call_id: CallId, opened: CallOpened | None) -> tuple[CarrierReported, ...]:
        """See `CallStore.call`."""
        found = self._found("call", call_id, None)
        if opened is not None and opened.carrier is not None and opened.carrier_call_id is not None:
            found |= self._found("leg", opened.carrier_call_id, opened.carrier)
        return _in_order(found)

    def _found(self, kind: str, name: str, carrier: str | None) -> dict[int, CarrierReported]:
        named = self._naming.get((kind, name), {})
        return {arrival: one for arrival, one in named.items() if carrier in (None, one.carrier)}

    def _forget(self, arrival: int, report: CarrierReported) -> None:
        for name in _names(report):
            named = self._naming[name]
            del named[arrival]
            if not named:
                del self._naming[name]


def _names(report: CarrierReported) -> set[tuple[str, str]]:
    names = {("leg", report.carrier_call_id)}
    if report.parent_call_id is not None:
        names.add(("leg", report.parent_call_id))
    if report.call_id is not None:
        names.add(("call", report.call_id))
    return names


def _in_order(found: Mapping[int, CarrierReported]) -> tuple[CarrierReported, ...]:
    return in_order(found[arrival] for arrival in sorted(found))
