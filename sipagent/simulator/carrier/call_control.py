"""Telnyx' Call Control: the service is told of events, and moves each leg by commands.

From Telnyx' public documentation: "Call commands", "Conference commands", "Callbacks". One thing is simpler
here: a leg that is bridged, or joins a conference, ends its audio socket; the real one lets it listen on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.control_events import ControlEvents, hangup_of
from sipagent.simulator.carrier.dialling import bridge
from sipagent.simulator.carrier.keys import KeyCollector
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.stream import StreamEnd
from sipagent.simulator.carrier.verbs import ConferenceTarget, DialTarget, StreamTarget

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier

_REFERRED_BYE_S = 5.0
_ROOM_EVENTS: Mapping[RoomEvent, str] = {
    "join": "conference.participant.joined",
    "leave": "conference.participant.left",
    "end": "conference.ended",
}


class _Doings:
    """What a leg is doing."""

    def __init__(self) -> None:
        self.voice: asyncio.Task[None] | None = None
        """Something is said to it, perhaps with keys expected."""
        self.stream: asyncio.Task[None] | None = None
        self.room: asyncio.Task[None] | None = None
        self.peer: Leg | None = None
        self.parks = False
        """Whether it stays when its peer is gone."""

    def stop(self) -> None:
        for task in (self.voice, self.stream, self.room):
            if task is not None:
                task.cancel()


class CallControl:
    """All legs of one Call Control application."""

    def __init__(self, carrier: PretendedCarrier, *, connection_id: str) -> None:
        self._carrier = carrier
        self.events = ControlEvents(carrier, connection_id=connection_id)
        self._doings: dict[str, _Doings] = {}
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}

    # Events

    def receive(self, call: CarrierCall) -> None:
        """A call came in."""
        self.events.announce(call.leg)

    def leg_changed(self, leg: Leg, event: str) -> None:
        """As in `LegOwner`."""
        match event:
            case "initiated":
                self.events.tell(leg, "call.initiated", {"state": "bridging"})
            case "answered":
                self.events.tell(leg, "call.answered", {"state": "answered"})
            case "completed":
                self._part(leg)
                self.events.tell(leg, "call.hangup", hangup_of(leg), last=True)
            case _:
                return

    def room_changed(self, room: Room, event: RoomEvent, member: Member | None, *, reason: str) -> None:
        """As in `RoomListener`."""
        if event in _ROOM_EVENTS and member is not None:
            self.events.tell(member.leg, _ROOM_EVENTS[event], {"conference_id": room.sid})
        elif event == "end":
            for leg in self._last_of(room):
                self.events.tell(leg, "conference.ended", {"conference_id": room.sid, "reason": "all_left"})

    def answer_to(self, sid: str, command_id: str) -> dict[str, Any] | None:
        """The answer to a command that was carried out before; None for a new one."""
        return self._answers.get((sid, command_id)) if command_id else None

    def keep_answer(self, sid: str, command_id: str, answer: dict[str, Any]) -> None:
        """Remember what a command was answered."""
        if command_id:
            self._answers[(sid, command_id)] = answer

    def forget(self, call: CarrierCall) -> None:
        """Keep nothing of a call that is over."""
        gone = {leg.sid for leg in call.legs}
        self._doings = {sid: doings for sid, doings in self._doings.items() if sid not in gone}
        self._answers = {key: answer for key, answer in self._answers.items() if key[0] not in gone}

    # Commands about one leg

    def speak(self, leg: Leg, text: str) -> None:
        """Say ``text``; what was being said is cut off."""
        self._begin_voice(leg, lambda: self._speak(leg, text))

    def gather(self, leg: Leg, text: str, *, most: int, timeout_s: float, finish_on_key: str) -> None:
        """Say ``text``, if there is any, and collect keys, which cut it off."""
        self._begin_voice(
            leg, lambda: self._gather(leg, text, most=most, timeout_s=timeout_s, finish_on_key=finish_on_key)
        )

    def start_stream(self, leg: Leg, target: StreamTarget) -> None:
        """Open an audio socket; one that is open is closed."""
        doings = self._doing(leg)
        if doings.stream is not None:
            doings.stream.cancel()
        doings.stream = self._carrier.spawn(lambda: self._stream(leg, target), name=f"stream of {leg.sid}")

    def stop_stream(self, leg: Leg) -> None:
        """Close the audio socket."""
        doings = self._doing(leg)
        if doings.stream is not None:
            doings.stream.cancel()

    async def transfer(
        self,
        leg: Leg,
        target: DialTarget,
        *,
        caller: str,
        timeout_s: float,
        parks: bool,
        extra: dict[str, str],
    ) -> Leg:
        """Call ``target`` and connect ``leg`` with it when it answers; the new leg. When it does not, nothing
        happens to ``leg``. Raises `SimulatorError` when nobody can be called so."""
        child = await self._carrier.dial(leg, target, caller_id=caller)
        child.extra |= extra
        child.call()

        async def follow() -> None:
            if await self._wait_answered(child, timeout_s) and not leg.is_over:
                self._doing(leg).parks = parks
                self.connect(leg, child)
            elif leg.is_over:
                child.end(LegStatus.CANCELED)

        self._carrier.spawn(follow, name=f"transfer of {leg.sid}")
        return child

    def connect(self, leg: Leg, other: Leg, *, lets_go: bool = True) -> None:
        """Let two legs talk, whatever they did before. ``lets_go``: a former peer of ``leg`` is hung up."""
        former = self._doing(leg).peer
        for each in (leg, other):
            each.answer()
            self._doing(each).stop()
        self._doing(leg).peer, self._doing(other).peer = other, leg
        bridge(leg, other)
        for each, peer in ((leg, other), (other, leg)):
            each.on_refer = partial(self._refer, peer, each)
            self.events.tell(each, "call.bridged", {"state": "bridged"})
            each.note("bridged", to=peer.sid)
        if former is not None and former is not other:
            self._doing(former).peer = None
            if lets_go and not self._doing(former).parks:
                former.end()

    def join(self, leg: Leg, target: ConferenceTarget) -> Room:
        """Let ``leg`` take part in a conference; a former peer stays alone, or is hung up."""
        doings = self._doing(leg)
        doings.stop()
        former, doings.peer = doings.peer, None
        if former is not None:
            self._doing(former).peer = None
            if not self._doing(former).parks:
                former.end()
        room = self._carrier.room(target.name)
        doings.room = self._carrier.spawn(lambda: room.join(leg, target), name=f"conference of {leg.sid}")
        return room

    def leave(self, leg: Leg) -> None:
        """Take ``leg`` out of its conference; it waits for the next command."""
        doings = self._doing(leg)
        if doings.room is not None:
            doings.room.cancel()

    # Inside

    def _doing(self, leg: Leg) -> _Doings:
        return self._doings.setdefault(leg.sid, _Doings())

    def _begin_voice(self, leg: Leg, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        doings = self._doing(leg)
        if doings.voice is not None:
            doings.voice.cancel()
        doings.voice = self._carrier.spawn(work, name=f"voice for {leg.sid}")

    async def _speak(self, leg: Leg, text: str) -> None:
        ulaw = await self._carrier.speak(text)
        self.events.tell(leg, "call.speak.started")
        leg.note("saying", text=text)
        try:
            await self._carrier.announcer.play(leg, ulaw)
        except asyncio.CancelledError:
            status = "call_hangup" if leg.is_over else "cancelled"
            self.events.tell(leg, "call.speak.ended", {"status": status})
            raise
        leg.sentences.append(text)
        leg.note("said", text=text)
        self.events.tell(leg, "call.speak.ended", {"status": "completed"})

    async def _prompt(self, leg: Leg, text: str) -> None:
        if text:
            await self._speak(leg, text)

    async def _gather(self, leg: Leg, text: str, *, most: int, timeout_s: float, finish_on_key: str) -> None:
        keys = KeyCollector(leg, digits=most, finish_on_key=finish_on_key)
        leg.on_digit = keys.press
        speaking = asyncio.create_task(self._prompt(leg, text), name="gather: prompt")
        speaking.add_done_callback(lambda task: leg.timeline.changes.announce())
        try:
            await leg.timeline.changes.until(lambda: speaking.done() or keys.begun)
            speaking.cancel()
            await keys.complete(timeout_s)
        except asyncio.CancelledError:
            self.events.tell(leg, "call.gather.ended", {"digits": keys.digits, "status": "call_hangup"})
            raise
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])
        status = "valid" if keys.finished or keys.digits else "timeout"
        self.events.tell(leg, "call.gather.ended", {"digits": keys.digits, "status": status})

    async def _stream(self, leg: Leg, target: StreamTarget) -> None:
        stream = self._carrier.stream(leg, target)
        about: dict[str, object] = {"stream_id": stream.record.stream_id, "stream_url": target.url}

        async def tell_of_start() -> None:
            await stream.started.wait()
            self.events.tell(leg, "streaming.started", about)

        teller = asyncio.create_task(tell_of_start(), name="stream: event of its start")
        try:
            end = await stream.run()
        except asyncio.CancelledError:
            self.events.tell(leg, "streaming.stopped", about)
            raise
        finally:
            teller.cancel()
            await asyncio.wait([teller])
        if end in (StreamEnd.REFUSED, StreamEnd.CUT):
            self.events.tell(leg, "streaming.failed", {**about, "failure_reason": end.value})
        else:
            self.events.tell(leg, "streaming.stopped", about)

    async def _wait_answered(self, child: Leg, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await child.until(lambda: child.is_answered)
        except TimeoutError:
            child.end(LegStatus.NO_ANSWER)
        return child.is_answered and not child.is_over

    def _refer(self, leg: Leg, child: Leg, target: str) -> int:
        """``child`` wants that ``leg`` talks to ``target`` instead."""
        if self._carrier.refers == "decline":
            return 603

        async def replace() -> None:
            number = target.lower().startswith("tel:")
            address = target.partition(":")[2].partition(";")[0] if number else target
            try:
                new = await self._carrier.dial(leg, DialTarget(address=address), caller_id=None)
            except SimulatorError:
                child.party.report_refer(404)
                return
            # Whoever asked may hang up at once: the caller must not go with them.
            self._doing(leg).parks = True
            new.call()
            if not await self._wait_answered(new, 30.0):
                child.party.report_refer(new.sip_status or 480)
                return
            self.connect(leg, new, lets_go=False)
            self._doing(leg).parks = False
            child.party.report_refer(200)
            try:
                async with asyncio.timeout(_REFERRED_BYE_S):
                    await leg.timeline.changes.until(lambda: child.is_over)
            except TimeoutError:
                child.end()

        self._carrier.spawn(replace, name=f"replacement of {child.sid}")
        return 202

    def _part(self, leg: Leg) -> None:
        """The leg is over: it does nothing any more, and its peer is hung up unless it is to stay."""
        doings = self._doing(leg)
        doings.stop()
        peer, doings.peer = doings.peer, None
        if peer is None or peer.is_over:
            return
        other = self._doing(peer)
        if other.peer is leg:
            other.peer = None
            peer.release_audio()
            if not other.parks:
                peer.end()

    def _last_of(self, room: Room) -> list[Leg]:
        return [leg for call in self._carrier.calls for leg in call.legs if leg.sid in room.visitors][-1:]
