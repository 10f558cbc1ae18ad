"""A server that plays one recorded call to many sessions at once, each at the pace of a call.

Cheap enough to be no part of what is measured: frames are made beforehand, one timer serves all sockets, and
the sends of a second are spread evenly over it. Each word that the agent says carries the moment at which it
was sent, so that whoever hears it knows how long it was on its way.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic_ns

from tests.bench.player import Connection, frame
from tests.bench.recorded import COUNTED, DELTA, STAMP, Recording

STAMP_US: int = 10 ** len(STAMP.strip())
"""A stamp is the monotonic clock, which all processes of a machine share, in µs, modulo this."""
TICK_S = 0.001
_CALL = re.compile(rb"call_id=rtc_bench_(\d+)")


def step_us(us: int) -> int:
    """``us`` rounded down: to 20 µs, and to whole milliseconds from 20 ms on, so that what is kept of a
    contender that falls behind stays small."""
    return us // 20 * 20 if us < 20_000 else us // 1000 * 1000


def stamp_us() -> int:
    """Now, as stamps tell it."""
    return monotonic_ns() // 1000 % STAMP_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One frame that is ready to be sent: whole, or in two pieces around its stamp."""

    kind: str | None
    """Set where it is of a counted kind."""
    head: bytes
    tail: bytes | None


def cues(what: Recording) -> tuple[Cue, ...]:
    """The frames of a recording with stamps."""
    made = []
    for kind, text in zip(what.kinds, what.messages, strict=True):
        whole = frame(text)
        head, tail = whole, None
        if kind == DELTA:
            # The space of a stamp stays as it is; only its digits are written anew.
            place = whole.index(f'"{STAMP}"'.encode()) + 2
            head, tail = whole[:place], whole[place + len(STAMP) - 1 :]
        made.append(Cue(kind=kind if kind in COUNTED else None, head=head, tail=tail))
    return tuple(made)


@dataclass(slots=True)
class Sent:
    """What the crowd was sent."""

    sessions: int
    messages: int = 0
    measured: int = 0
    """Of these, in the measured seconds."""
    counted: dict[str, list[int]] = field(default_factory=dict)
    """Of each counted kind, how many by session."""
    late_us: Counter[int] = field(default_factory=Counter)
    """How late the measured ones were sent, in steps of `step_us` → how many."""

    def __post_init__(self) -> None:
        self.counted = {kind: [0] * self.sessions for kind in COUNTED}


class Crowd:
    """Waits for so many sessions, then plays to them all."""

    def __init__(self, sessions: int) -> None:
        self.sessions = sessions
        self.port = 0
        self.attached = asyncio.Event()
        """Every session is there, and has said something."""
        self.hung_up = 0
        """How many sessions ended their connection."""
        self._transports: dict[int, asyncio.Transport] = {}
        self._spoke: set[int] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Member(self), "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for transport in self._transports.values():
            transport.abort()
        await self._server.wait_closed()

    def joined(self, number: int, transport: asyncio.Transport) -> None:
        """A session's handshake is done."""
        self._transports[number] = transport

    def spoke(self, number: int) -> None:
        """A session has sent something."""
        self._spoke.add(number)
        if len(self._spoke) == self.sessions:
            self.attached.set()

    def members(self) -> list[asyncio.Transport]:
        """The sockets, by the numbers of their sessions."""
        return [self._transports[number] for number in range(self.sessions)]

    async def play(
        self,
        script: Sequence[Cue],
        *,
        per_second: int,
        warm_up_s: float,
        measured_s: float,
        begun: Callable[[], None],
    ) -> Sent:
        """Send ``script`` to everybody, ``per_second`` messages to each, and say what was sent.

        Sessions come in one after the other within the warm-up, so that at any moment some of them begin a
        turn and others end one. Stamps other than zero are sent in the measured seconds alone, at whose
        beginning ``begun`` is called. Raises `ConnectionError` when a session hangs up meanwhile.
        """
        loop = asyncio.get_running_loop()
        sent = Sent(sessions=self.sessions)
        count = self.sessions
        members = self.members()
        # A session comes in at its own round of sends, the first at once and the last within the warm-up.
        rounds = max(1, int(warm_up_s * per_second * 0.8))
        first_round = [number * rounds // count for number in range(count)]
        per_s = count * per_second
        measured_from = int(warm_up_s * per_s)
        total = measured_from + int(measured_s * per_s)
        began = loop.time() + 0.05
        done = 0
        while done < total:
            await asyncio.sleep(max(TICK_S, began + done / per_s - loop.time()))
            if self.hung_up:
                raise ConnectionError(f"{self.hung_up} of {count} sessions hung up")
            now = loop.time()
            due = min(total, int((now - began) * per_s) + 1)
            if done <= measured_from < due:
                begun()
            for turn in range(done, due):
                step, number = divmod(turn, count)
                place = step - first_round[number]
                if place < 0:
                    continue
                if place >= len(script):
                    raise AssertionError("the recording is too short for so many seconds")
                cue = script[place]
                self._send(members[number], cue, measured=turn >= measured_from)
                sent.messages += 1
                if cue.kind is not None:
                    sent.counted[cue.kind][number] += 1
                if turn >= measured_from:
                    sent.measured += 1
                    late_s = loop.time() - began - turn / per_s
                    sent.late_us[step_us(int(late_s * 1e6))] += 1
            done = max(done, due)
        return sent

    @staticmethod
    def _send(transport: asyncio.Transport, cue: Cue, *, measured: bool) -> None:
        if cue.tail is None:
            transport.write(cue.head)
        else:
            transport.write(b"%b%0*d%b" % (cue.head, len(STAMP) - 1, stamp_us() if measured else 0, cue.tail))


class Ear:
    """What one contender heard of its sessions. Costs each of them the same, and next to no memory."""

    def __init__(self, sessions: int) -> None:
        self.heard = {kind: array("L", bytes(array("L").itemsize * sessions)) for kind in COUNTED}
        self.events = 0
        self.waited_us: Counter[int] = Counter()
        """How long measured words were on their way, in steps of `step_us` → how many."""

    def note(self, number: int, kind: str | None) -> None:
        """Session ``number`` reports something; ``kind`` where it is of a counted one."""
        self.events += 1
        if kind is not None:
            self.heard[kind][number] += 1

    def word(self, number: int, delta: str) -> None:
        """Session ``number`` reports a word of the agent."""
        self.events += 1
        self.heard[DELTA][number] += 1
        if sent_us := int(delta):
            self.waited_us[step_us((stamp_us() - sent_us) % STAMP_US)] += 1


class _Member(Connection):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__()
        self._crowd = crowd
        self._number = -1

    def opened(self, head: bytes) -> None:
        found = _CALL.search(head)
        assert found is not None, head
        self._number = int(found[1])
        self._crowd.joined(self._number, self.transport)

    def spoken_to(self) -> None:
        self._crowd.spoke(self._number)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.hung_up += 1
