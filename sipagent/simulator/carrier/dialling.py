"""``<Dial>``: somebody else is called, and both are connected until one of them is gone."""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.desk import Fetch, FlowDesk
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.verbs import DialTarget, DialVerb

_REFERRED_BYE_S = 5.0
"""How long whoever asked to be replaced may take to hang up after the news that it went well."""


def bridge(one: Leg, other: Leg) -> None:
    """Let two legs hear each other, keys included."""
    one.on_audio, other.on_audio = other.play, one.play
    one.on_digit, other.on_digit = other.party.press, one.party.press


class Dialling:
    """One ``<Dial>`` of one leg."""

    def __init__(self, leg: Leg, verb: DialVerb, desk: FlowDesk, *, base_url: str) -> None:
        self._leg = leg
        self._verb = verb
        self._desk = desk
        self._base_url = base_url
        self._children: list[Leg] = []
        self._targets: dict[str, DialTarget] = {}
        self._referred_to: str | None = None
        self._bridged = False

    async def run(self) -> Fetch | None:
        """Dial, connect, and wait for the end; the request that follows, None for the next verb.

        When cancelled, those who were called are let go; a caller who hung up is reported to the action.
        """
        child: Leg | None = None
        try:
            if self._verb.conference is not None:
                self._leg.answer()
                await self._desk.room(self._verb.conference.name).join(self._leg, self._verb.conference)
                return self._action(None, "answered")
            child = await self._reach()
            if child is None:
                return self._action(*self._failure())
            following = await self._talk(child)
            return following or self._action(child, self._status_of(child))
        except asyncio.CancelledError:
            self._let_go(except_for=None)
            if self._leg.is_over:
                last = child or (self._children[-1] if self._children else None)
                self._tell_of_end(last)
            raise
        finally:
            self._leg.release_audio()

    # Reaching somebody

    async def _reach(self) -> Leg | None:
        """Whoever answers first; the others are let go. None when nobody does."""
        if not self._verb.answers_on_bridge:
            self._leg.answer()
        for target in self._verb.targets:
            self._children.append(await self._call(target))
        fall_silent = self._desk.announcer.ringing(self._leg) if self._leg.is_answered else _nothing
        try:
            async with asyncio.timeout(self._verb.timeout_s):
                await self._leg.until(lambda: self._answered() is not None or self._all_over())
        except TimeoutError:
            pass  # nobody came: they are let go below
        finally:
            fall_silent()
        child = self._answered()
        self._let_go(except_for=child, status=LegStatus.NO_ANSWER if child is None else LegStatus.CANCELED)
        if child is None:
            return None
        return child if await self._prepared(child) else None

    async def _call(self, target: DialTarget) -> Leg:
        child = await self._desk.dial(self._leg, target, caller_id=self._verb.caller_id)
        self._targets[child.sid] = target
        child.call()
        return child

    async def _prepared(self, child: Leg) -> bool:
        """Let the one who answered hear their own document first; whether they are still there."""
        target = self._targets[child.sid]
        if target.url is None:
            return True
        url = urljoin(self._base_url, target.url)
        return await self._desk.whisper(child, Fetch(url=url, method=target.method, purpose="whisper"))

    # Talking

    async def _talk(self, child: Leg) -> Fetch | None:
        self._connect(child)
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + self._verb.time_limit_s
        while True:
            try:
                async with asyncio.timeout_at(ends_at_s):
                    await self._leg.until(
                        lambda: child.is_over or child.taken or self._referred_to is not None  # noqa: B023
                    )
            except TimeoutError:
                child.end()
            if self._referred_to is None:
                return None
            target, self._referred_to = self._referred_to, None
            if self._verb.refer_url is not None:
                url = urljoin(self._base_url, self._verb.refer_url)
                child.party.report_refer(200)
                await self._await_bye(child)
                return Fetch(
                    url=url,
                    method=self._verb.refer_method,
                    parameters={"ReferTransferTarget": target, "ReferCallStatus": "in-progress"},
                    purpose="refer",
                )
            replacement = await self._replace(child, target)
            if replacement is None and child.is_over:
                return self._action(self._children[-1], self._status_of(self._children[-1]))
            child = replacement or child

    def _connect(self, child: Leg) -> None:
        self._leg.answer()
        bridge(self._leg, child)
        child.on_refer = self._refer
        if self._verb.hangs_up_on_star:
            self._leg.on_digit = lambda digit: child.end() if digit == "*" else child.party.press(digit)
        self._bridged = True
        child.note("bridged", to=self._leg.sid)

    def _refer(self, target: str) -> int:
        if self._verb.refer_url is None and self._desk.refers == "decline":
            return 603
        if self._referred_to is not None:
            return 491
        self._referred_to = target
        self._leg.timeline.changes.announce()
        return 202

    async def _replace(self, child: Leg, target: str) -> Leg | None:
        """Call ``target`` in place of ``child``, who stays connected meanwhile; None when nobody answers."""
        address = target.partition(":")[2].partition(";")[0] if target.lower().startswith("tel:") else target
        try:
            new = await self._call(DialTarget(address=address))
        except SimulatorError:
            child.party.report_refer(404)
            return None
        self._children.append(new)
        try:
            async with asyncio.timeout(self._verb.timeout_s):
                await self._leg.until(lambda: new.is_answered or new.is_over)
        except TimeoutError:
            new.end(LegStatus.NO_ANSWER)
        if new.is_over or not new.is_answered:
            child.party.report_refer(new.sip_status or 480)
            return None
        child.release_audio()
        self._connect(new)
        child.party.report_refer(200)
        await self._await_bye(child)
        return new

    async def _await_bye(self, child: Leg) -> None:
        try:
            async with asyncio.timeout(_REFERRED_BYE_S):
                await self._leg.until(lambda: child.is_over)
        except TimeoutError:
            child.end()

    # The end

    def _answered(self) -> Leg | None:
        return next((child for child in self._children if child.is_answered and not child.is_over), None)

    def _all_over(self) -> bool:
        return all(child.is_over for child in self._children)

    def _let_go(self, *, except_for: Leg | None, status: LegStatus = LegStatus.CANCELED) -> None:
        for child in self._children:
            if child is not except_for and not child.taken:
                child.end(LegStatus.COMPLETED if child.is_answered else status)

    def _failure(self) -> tuple[Leg | None, str]:
        """The one whose failure is told: the last."""
        last = self._children[-1]
        return last, self._status_of(last)

    @staticmethod
    def _status_of(child: Leg) -> str:
        return child.status.value if child.is_over else LegStatus.COMPLETED.value

    def _action(self, child: Leg | None, status: str) -> Fetch | None:
        if self._verb.action is None:
            return None
        return Fetch(
            url=urljoin(self._base_url, self._verb.action),
            method=self._verb.method,
            parameters=self._desk.dial_parameters(child, status, bridged=self._bridged),
        )

    def _tell_of_end(self, child: Leg | None) -> None:
        """The caller hung up: the action is told, and its answer is of no use any more."""
        fetch = self._action(child, LegStatus.COMPLETED.value if child is None else self._status_of(child))
        if fetch is None:
            return

        async def tell() -> None:
            try:
                await self._desk.fetch(self._leg, fetch)
            except SimulatorError as error:
                self._leg.note("error", message=str(error))

        self._desk.spawn(tell, name="action after the caller hung up")


def _nothing() -> None:
    pass
