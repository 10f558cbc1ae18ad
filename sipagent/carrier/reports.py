"""What carriers report of legs: kept for the record, and told to whoever waits for it.

A report reaches any process of ours, and the call may be held by another one: so each is written to the
store, and a waiter that has not heard of it by its own process finds it there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Protocol, get_args

from sipagent.carrier.base import LINE_ENDED, LegReport, StepResult
from sipagent.carrier.tokens import LegToken
from sipagent.errors import StoreError

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How often a waiter looks into the store."""
MOST_LEGS = 2000
MOST_REPORTS = 50
"""Of one leg, that many are remembered here."""


class StoredReport(Protocol):
    """A report as the store gives it back."""

    @property
    def carrier_call_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def data(self) -> str: ...
    @property
    def event_id(self) -> str: ...


LookUp = Callable[[str, str], Awaitable[Iterable[StoredReport]]]
"""The reports of a carrier's leg that the store knows, in order; raises `StoreError`."""


class LegReports:
    """The reports of one service."""

    def __init__(
        self, *, record: Callable[[LegReport], None], look_up: LookUp | None = None, poll_s: float = POLL_S
    ) -> None:
        """``record`` writes a report down, without waiting. ``look_up`` is None where no other process shares
        the calls."""
        self._record = record
        self._look_up = look_up
        self._poll_s = poll_s
        self._recent: OrderedDict[tuple[str, str], list[LegReport]] = OrderedDict()
        self._wake_ups: dict[tuple[str, str], list[asyncio.Event]] = {}

    def note(self, report: LegReport) -> None:
        """A report came. The same one again changes nothing."""
        key = (report.carrier, report.carrier_call_id)
        known = self._recent.setdefault(key, [])
        if any(one.event_id == report.event_id for one in known):
            return
        known.append(report)
        del known[:-MOST_REPORTS]
        self._recent.move_to_end(key)
        while len(self._recent) > MOST_LEGS:
            self._recent.popitem(last=False)
        self._record(report)
        for wake_up in self._wake_ups.get(key, ()):
            wake_up.set()

    def line_ended(self, token: LegToken, result: StepResult, at: datetime) -> None:
        """The call is over whose audio came to us by the step that ``token`` names: the carrier, which cannot
        know how it went, asks what follows."""
        leg = token.leg
        self.note(
            LegReport(
                carrier=leg.carrier,
                carrier_call_id=leg.carrier_call_id,
                parent_call_id=None,
                kind=LINE_ENDED,
                at=at,
                event_id=f"{leg.carrier_call_id}:{LINE_ENDED}:{token.step}",
                detail={"result": result, "step": str(token.step)},
            )
        )

    async def line_result(self, token: LegToken, *, within_s: float) -> StepResult | None:
        """How the call went that `line_ended` tells of, here or in another process; None where that is not
        known ``within_s`` seconds from now."""
        leg = token.leg
        try:
            async with (
                asyncio.timeout(within_s),
                aclosing(self.follow(leg.carrier, leg.carrier_call_id)) as reports,
            ):
                async for report in reports:
                    if report.kind == LINE_ENDED and report.detail.get("step") == str(token.step):
                        return _result(report.detail.get("result"))
        except TimeoutError:
            return None
        return None

    async def heard_of(self, carrier: str, carrier_call_id: str, *, within_s: float) -> datetime | None:
        """When the first report of a leg is from that the store knows; None where it knows none, or does not
        say so ``within_s`` seconds from now."""
        if self._look_up is None:
            return None
        try:
            async with asyncio.timeout(within_s):
                return min(
                    (report.at for report in await self._look_up(carrier, carrier_call_id)), default=None
                )
        except (TimeoutError, StoreError) as error:
            logger.debug("The store did not say whether a leg is known: %s", type(error).__name__)
            return None

    async def follow(self, carrier: str, carrier_call_id: str) -> AsyncGenerator[LegReport, None]:
        """Every report of a leg, the known ones first, each once; never ends by itself. To be closed by whoever
        stops reading."""
        told: set[str] = set()
        with self._woken((carrier, carrier_call_id)) as wake_up:
            while True:
                wake_up.clear()
                for report in list(self._recent.get((carrier, carrier_call_id), ())):
                    if report.event_id not in told:
                        told.add(report.event_id)
                        yield report
                if wake_up.is_set():
                    continue
                for report in await self._stored(carrier, carrier_call_id):
                    if report.event_id not in told:
                        told.add(report.event_id)
                        yield report
                if not wake_up.is_set():
                    await self._until(wake_up)

    # Inside ----------------------------------------------------------------------------------------

    @contextmanager
    def _woken(self, key: tuple[str, str]) -> Iterator[asyncio.Event]:
        wake_up = asyncio.Event()
        self._wake_ups.setdefault(key, []).append(wake_up)
        try:
            yield wake_up
        finally:
            waiting = self._wake_ups[key]
            waiting.remove(wake_up)
            if not waiting:
                del self._wake_ups[key]

    async def _until(self, wake_up: asyncio.Event) -> None:
        if self._look_up is None:
            await wake_up.wait()
            return
        try:
            async with asyncio.timeout(self._poll_s):
                await wake_up.wait()
        except TimeoutError:
            return

    async def _stored(self, carrier: str, carrier_call_id: str) -> list[LegReport]:
        if self._look_up is None:
            return []
        try:
            found = await self._look_up(carrier, carrier_call_id)
        except StoreError as error:
            # What this process hears itself goes on; the store is asked again a moment later.
            logger.warning("The reports of a leg cannot be read: %s", error)
            return []
        # Of the legs that were called for this one, the store may tell as well.
        mine = (report for report in found if report.carrier_call_id == carrier_call_id)
        return [_read(carrier, carrier_call_id, report) for report in mine]


def data_of(report: LegReport) -> str:
    """What of ``report`` has no column of its own, as JSON: for the store, and for `StoredReport.data`."""
    fields: dict[str, object] = {"detail": dict(report.detail)}
    for name in ("sip_status", "duration_s", "offer"):
        if (value := getattr(report, name)) is not None:
            fields[name] = value
    return json.dumps(fields, separators=(",", ":"))


# Inside ------------------------------------------------------------------------------------------------


def _read(carrier: str, carrier_call_id: str, stored: StoredReport) -> LegReport:
    report = LegReport(
        carrier=carrier,
        carrier_call_id=carrier_call_id,
        parent_call_id=None,
        kind=stored.kind,
        at=stored.at,
        event_id=stored.event_id,
    )
    try:
        fields = json.loads(stored.data)
        detail = {str(name): str(value) for name, value in fields["detail"].items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return report
    offer = fields.get("offer")
    return replace(report, detail=detail, offer=offer if isinstance(offer, str) else None)


def _result(text: str | None) -> StepResult:
    for result in get_args(StepResult):
        if result == text:
            found: StepResult = result
            return found
    return "failed"
