"""What carriers report of legs: kept for the record, and told to whoever waits for it.

A report reaches any process of ours, and the call may be held by another one: so each is written to the
store, and a waiter that has not heard of it by its own process finds it there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
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
QUESTION_WITHIN_S = 2.0
"""How soon a carrier asks what follows a stream that we have closed."""


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


class Following:
    """Reports as they come, each once."""

    def __init__(
        self,
        *,
        recent: Callable[[], Iterable[LegReport]],
        stored: Callable[[], Awaitable[Iterable[LegReport]]],
        poll_s: float | None,
    ) -> None:
        self._recent = recent
        self._stored = stored
        self._poll_s = poll_s
        self._told: set[str] = set()
        self._found: list[LegReport] = []
        self._looked_at: float | None = None
        self.wake_up = asyncio.Event()
        """Set when `recent` may know more."""

    async def next(self, deadline: float) -> LegReport | None:
        """The next report, the known ones first; None at ``deadline`` (``loop.time()``). Safe to cancel: what
        was not returned is not lost."""
        loop = asyncio.get_running_loop()
        while True:
            self.wake_up.clear()
            for report in (*self._recent(), *self._found):
                if report.event_id not in self._told:
                    self._told.add(report.event_id)
                    return report
            until = deadline
            if self._poll_s is not None:
                look_at = loop.time() if self._looked_at is None else self._looked_at + self._poll_s
                if look_at <= min(loop.time(), deadline):
                    self._looked_at = loop.time()
                    try:
                        async with asyncio.timeout_at(deadline):
                            self._found = list(await self._stored())
                    except TimeoutError:
                        return None
                    continue
                until = min(deadline, look_at)
            if loop.time() >= deadline:
                return None
            try:
                async with asyncio.timeout_at(until):
                    await self.wake_up.wait()
            except TimeoutError:
                continue


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
        self._unasked: dict[tuple[str, str, int], float] = {}
        """When carriers were left with a caller who is on the line, and have not asked what follows."""
        self._asked = asyncio.Event()

    def note(self, report: LegReport) -> None:
        """A report came. The same one again changes nothing."""
        keys = [(report.carrier, report.carrier_call_id)]
        if report.offer is not None:
            keys.append((report.carrier, _offer_key(report.offer)))
        known = self._recent.get(keys[0], ())
        if any(one.event_id == report.event_id for one in known):
            return
        self._record(report)
        for key in keys:
            reports = self._recent.setdefault(key, [])
            reports.append(report)
            del reports[:-MOST_REPORTS]
            self._recent.move_to_end(key)
            for wake_up in self._wake_ups.get(key, ()):
                wake_up.set()
        while len(self._recent) > MOST_LEGS:
            self._recent.popitem(last=False)

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

    def expect_question(self, token: LegToken) -> None:
        """The carrier is about to ask what follows the step that ``token`` names."""
        now = asyncio.get_running_loop().time()
        for old in [key for key, since in self._unasked.items() if since < now - QUESTION_WITHIN_S]:
            del self._unasked[old]
        self._unasked[_step_key(token)] = now

    def was_asked(self, token: LegToken) -> None:
        """The carrier asks."""
        self._unasked.pop(_step_key(token), None)
        self._asked.set()

    async def questions_asked(self) -> None:
        """Wait until carriers have asked what they are about to ask, for as long as that can take. Safe to
        cancel."""
        loop = asyncio.get_running_loop()
        while self._unasked and (until := max(self._unasked.values()) + QUESTION_WITHIN_S) > loop.time():
            self._asked.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def line_result(self, token: LegToken, *, within_s: float) -> StepResult | None:
        """How the call went that `line_ended` tells of, here or in another process; None where that is not
        known ``within_s`` seconds from now."""
        leg = token.leg
        deadline = asyncio.get_running_loop().time() + within_s
        with self.follow(leg.carrier, leg.carrier_call_id) as following:
            while (report := await following.next(deadline)) is not None:
                if report.kind == LINE_ENDED and report.detail.get("step") == str(token.step):
                    return _result(report.detail.get("result"))
        return None

    async def has(
        self, carrier: str, carrier_call_id: str, kind: str, *, offer: str, within_s: float
    ) -> bool:
        """Whether ``kind`` was reported of the legs that were called for a leg in the attempt ``offer``, here
        or in another process, as far as that is known ``within_s`` seconds from now."""
        deadline = asyncio.get_running_loop().time() + within_s
        with self.follow(carrier, carrier_call_id, offer=offer) as following:
            while (report := await following.next(deadline)) is not None:
                if report.kind == kind:
                    return True
        return False

    async def of_offers(self, carrier: str, carrier_call_id: str) -> list[LegReport]:
        """What is known of the legs that were called for a leg, in every attempt."""
        stored = await self._all_stored(carrier, carrier_call_id)
        found = {
            report.event_id: report
            for reports in self._recent.values()
            for report in reports
            if report.offer is not None and report.parent_call_id == carrier_call_id
        }
        return list({**{one.event_id: one for one in stored if one.offer is not None}, **found}.values())

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

    @contextmanager
    def follow(self, carrier: str, carrier_call_id: str, *, offer: str | None = None) -> Iterator[Following]:
        """Follow what is reported of a leg; with ``offer``, of the legs that were called for it in that
        attempt."""
        key = (carrier, carrier_call_id if offer is None else _offer_key(offer))
        following = Following(
            recent=lambda: self._recent.get(key, ()),
            stored=lambda: self._stored(carrier, carrier_call_id, offer),
            poll_s=None if self._look_up is None else self._poll_s,
        )
        waiting = self._wake_ups.setdefault(key, [])
        waiting.append(following.wake_up)
        try:
            yield following
        finally:
            waiting.remove(following.wake_up)
            if not waiting:
                del self._wake_ups[key]

    # Inside ----------------------------------------------------------------------------------------

    async def _stored(self, carrier: str, carrier_call_id: str, offer: str | None) -> list[LegReport]:
        found = await self._all_stored(carrier, carrier_call_id)
        # Of the legs that were called for this one, the store tells as well.
        if offer is None:
            return [report for report in found if report.carrier_call_id == carrier_call_id]
        return [report for report in found if report.offer == offer]

    async def _all_stored(self, carrier: str, carrier_call_id: str) -> list[LegReport]:
        if self._look_up is None:
            return []
        try:
            return [_read(carrier, report) for report in await self._look_up(carrier, carrier_call_id)]
        except StoreError as error:
            # What this process hears itself goes on; the store is asked again a moment later.
            logger.warning("The reports of a leg cannot be read: %s", error)
            return []


def data_of(report: LegReport) -> str:
    """What of ``report`` has no column of its own, as JSON: for the store, and for `StoredReport.data`."""
    fields: dict[str, object] = {"detail": dict(report.detail)}
    for name in ("sip_status", "duration_s", "offer"):
        if (value := getattr(report, name)) is not None:
            fields[name] = value
    return json.dumps(fields, separators=(",", ":"))


# Inside ------------------------------------------------------------------------------------------------


def _step_key(token: LegToken) -> tuple[str, str, int]:
    return token.leg.carrier, token.leg.carrier_call_id, token.step


def _offer_key(offer: str) -> str:
    return f"offer {offer}"


def _read(carrier: str, stored: StoredReport) -> LegReport:
    report = LegReport(
        carrier=carrier,
        carrier_call_id=stored.carrier_call_id,
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
