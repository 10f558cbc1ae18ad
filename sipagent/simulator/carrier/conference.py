"""``<Conference>``: a room in which everybody hears everybody else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

from sipagent.audio.g711 import decode_pcmu, encode_pcmu
from sipagent.audio.pcm import audioop
from sipagent.simulator.carrier.announcer import Announcer, tone
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.verbs import ConferenceTarget, ReportTo
from sipagent.simulator.rtp import Pacer

RoomEvent: TypeAlias = Literal["start", "end", "join", "leave", "mute", "unmute", "hold", "unhold"]
_MAX_WAITING_FRAMES = 5
"""Of one member, to be mixed; jitter between 20 ms and 100 ms. Of more, the oldest is dropped."""


class Member:
    """One leg in a room."""

    def __init__(self, leg: Leg, target: ConferenceTarget) -> None:
        self.leg = leg
        self.target = target
        self.muted = target.muted
        self.held = False
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting: deque[bytes] = deque(maxlen=_MAX_WAITING_FRAMES)
        self.stop_music: Callable[[], None] | None = None

    def leave(self) -> None:
        """Take the leg out of the room; it goes on with what comes after."""
        if not self.gone.done():
            self.gone.set_result(None)


class RoomListener(Protocol):
    """Hears what happens in rooms."""

    def room_changed(self, room: Room, event: RoomEvent, member: Member | None, *, reason: str = "") -> None:
        """Something happened."""


class Room:
    """One conference, from the first who joins to the last who leaves."""

    def __init__(
        self, *, sid: str, name: str, pacer: Pacer, announcer: Announcer, listener: RoomListener
    ) -> None:
        self.sid = sid
        self.name = name
        self.members: dict[str, Member] = {}
        """By the leg's identifier."""
        self.visitors: list[str] = []
        """The identifiers of all legs that were ever in here."""
        self.started = False
        self.over = False
        self.report_to: ReportTo | None = None
        """Of whoever joined first and named one."""
        self.sequence = 0
        """Of the latest report."""
        self._pacer = pacer
        self._announcer = announcer
        self._listener = listener
        self._beep = tone((700,), seconds=0.02)

    async def join(self, leg: Leg, target: ConferenceTarget) -> None:
        """As in `RoomLike`. A room that is full takes nobody."""
        if len(self.members) >= target.maximum:
            leg.complain(13282, f"the conference {self.name!r} is full")
            return
        member = Member(leg, target)
        self.report_to = self.report_to or target.report_to
        self.members[leg.sid] = member
        self.visitors.append(leg.sid)
        leg.note("joined", conference=self.name)
        leg.on_audio = member.waiting.append
        self._listener.room_changed(self, "join", member)
        if not self.started and target.starts_on_enter:
            self._start()
        elif not self.started:
            self._entertain(member)
        try:
            if target.beep and self.started and len(self.members) > 1:
                for other in list(self.members.values()):
                    other.leg.play(self._beep)
            await member.gone
        finally:
            self._leave(member)

    def set_held(self, member: Member, held: bool) -> None:
        """Let a member wait with music, or back in."""
        if member.held != held:
            member.held = held
            if held:
                self._entertain(member)
            else:
                self._stop_music(member)
            self._listener.room_changed(self, "hold" if held else "unhold", member)

    def set_muted(self, member: Member, muted: bool) -> None:
        """Let the others hear a member no more, or again."""
        if member.muted != muted:
            member.muted = muted
            self._listener.room_changed(self, "mute" if muted else "unmute", member)

    def end(self, reason: str = "conference-ended-via-api") -> None:
        """Send everybody out."""
        if self.over:
            return
        self.over = True
        self._pacer.remove(self._beat)
        for member in self.members.values():
            self._stop_music(member)
            member.leave()
        self._listener.room_changed(self, "end", None, reason=reason)

    def _start(self) -> None:
        self.started = True
        for member in self.members.values():
            if not member.held:
                self._stop_music(member)
        self._pacer.add(self._beat)
        self._listener.room_changed(self, "start", None)

    def _leave(self, member: Member) -> None:
        self._stop_music(member)
        self.members.pop(member.leg.sid, None)
        member.leg.release_audio_from(member.waiting.append)
        member.leg.note("left", conference=self.name)
        self._listener.room_changed(self, "leave", member)
        if self.over:
            return
        if member.target.ends_on_exit:
            self.end("participant-with-end-conference-on-exit-left")
        elif not self.members:
            self.end("last-participant-left")

    def _entertain(self, member: Member) -> None:
        if member.stop_music is None and member.target.wait_url != "":
            member.stop_music = self._announcer.music(member.leg)

    @staticmethod
    def _stop_music(member: Member) -> None:
        if member.stop_music is not None:
            member.stop_music()
            member.stop_music = None

    def _beat(self) -> None:
        spoken = {
            sid: decode_pcmu(member.waiting.popleft())
            for sid, member in self.members.items()
            if member.waiting
        }
        heard = {
            sid: pcm for sid, pcm in spoken.items() if not (self.members[sid].muted or self.members[sid].held)
        }
        for sid, member in self.members.items():
            others = [pcm for other, pcm in heard.items() if other != sid]
            if not others or member.held:
                continue
            mixed = others[0]
            for pcm in others[1:]:
                mixed = audioop.add(mixed, pcm, 2)
            member.leg.play(encode_pcmu(mixed))
