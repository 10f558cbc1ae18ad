"""Callers with a carrier's media stream on one side, a realtime session on the other, and the clock between.

Stands around a media bridge and shares no code with it: callers speak Twilio's protocol of media streams, the
model's side that of the Realtime API, both written for this bench alone. Both are in one process, so that one
clock tells how long audio was under way.

Every frame of 20 ms carries a number, for a bridge that passes G.711 through as it came, and some are loud,
for one that converts it: how late a loud frame comes can be told either way.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import statistics
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import picows

FRAME_BYTES = 160
FRAME_S = 0.020
LOUD_EVERY = 25
"""Frames: twice a second."""
_QUIET, _LOUD = 0xFF, 0x00
"""μ-law: silence, and the greatest amplitude."""
_NUMBERED = b"\x00\x80\x01\x81"
"""What a numbered frame begins with."""
_LOUD_EXPONENT = 5
HEARD_WITHIN_S = 5.0
ITEM, RESPONSE = "item_bench", "resp_bench"


def frame(number: int, *, loud: bool) -> bytes:
    """20 ms of μ-law with ``number`` in it."""
    head = _NUMBERED + number.to_bytes(4, "big")
    return head + bytes([_LOUD if loud else _QUIET]) * (FRAME_BYTES - len(head))


def number_of(audio: bytes) -> int | None:
    """The number of a frame that came as it was sent."""
    if not audio.startswith(_NUMBERED):
        return None
    return int.from_bytes(audio[4:8], "big")


def as_pcm(audio: bytes) -> bytes:
    """The same as 16 bits at 24 kHz, as roughly as a bench needs it: each sample three times."""
    loud = is_loud(audio)
    sample = (20_000 if loud else 0).to_bytes(2, "little", signed=True)
    return sample * (3 * len(audio))


def pcm_is_loud(audio: bytes) -> bool:
    """`is_loud` for 16 bits."""
    samples = array("h", audio[: len(audio) // 2 * 2])
    third = len(samples) // 3
    middle = samples[third : -third or None]
    return bool(middle) and statistics.fmean(map(abs, middle[::8])) > 6000


def is_loud(audio: bytes) -> bool:
    """Whether the middle of ``audio`` is loud, whatever was done to it on the way."""
    middle = audio[len(audio) // 3 : -(len(audio) // 3) or None]
    exponents = ((~sample & 0x70) >> 4 for sample in middle[::8])
    return statistics.fmean(exponents) >= _LOUD_EXPONENT if middle else False


@dataclass(slots=True)
class Way:
    """One direction of one call: what was sent, what came, and when."""

    sent: int = 0
    came: int = 0
    """In whole frames."""
    lost: int = 0
    """Numbers that were left out, where frames can be told apart."""
    exact: bool = True
    """Whether every frame came with its number."""
    late_ms: array[float] = field(default_factory=lambda: array("d"))
    """Of the loud frames."""
    apart_ms: array[float] = field(default_factory=lambda: array("d"))
    """Between one arrival and the next."""
    _under_way: deque[float] = field(default_factory=deque)
    _expected: int | None = None
    _was_loud: bool = False
    _came_at: float | None = None

    def sending(self, now: float, *, loud: bool) -> None:
        """A frame is sent."""
        self.sent += 1
        if loud:
            self._under_way.append(now)

    def coming(self, audio: bytes, now: float, *, pcm: bool = False) -> None:
        """Audio comes; ``pcm``: as 16 bits at 24 kHz."""
        size = FRAME_BYTES * 6 if pcm else FRAME_BYTES
        self.came += max(1, len(audio) // size)
        if self._came_at is not None:
            self.apart_ms.append((now - self._came_at) * 1e3)
        self._came_at = now
        for start in range(0, len(audio), size):
            self._look_at(audio[start : start + size], now, pcm=pcm)

    def _look_at(self, audio: bytes, now: float, *, pcm: bool) -> None:
        number = None if pcm else number_of(audio)
        if number is None:
            self.exact = False
        else:
            if self._expected is not None and number > self._expected:
                self.lost += number - self._expected
            self._expected = number + 1
        loud = pcm_is_loud(audio) if pcm else is_loud(audio)
        # A frame that was cut in two, or smeared by a filter, is loud in several pieces.
        if loud and not self._was_loud and self._under_way:
            self.late_ms.append((now - self._under_way.popleft()) * 1e3)
        self._was_loud = loud

    def measure(self) -> None:
        """What came before was warming up."""
        self.sent = self.came = self.lost = 0
        self.late_ms, self.apart_ms = array("d"), array("d")


@dataclass(slots=True, kw_only=True)
class Interruption:
    """A caller who spoke while the agent did. Times in ms."""

    to_clear_ms: float | None
    """From the model's event to the clear at the caller's carrier; None when none came."""
    after_clear: int
    """Frames that came for what was cut off, after the clear."""
    truncated_ms: float | None
    """Where the model was told that the caller had heard up to; None when it was told nothing."""
    heard_ms: float
    """What the caller had really heard."""


class World:
    """So many callers and their model, around one bridge."""

    def __init__(self, calls: int) -> None:
        self.calls = [Call(self, number) for number in range(calls)]
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen for sessions on a free port of the loopback."""
        self._server = await picows.ws_create_server(self._session, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang everything up."""
        for call in self.calls:
            call.hang_up()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _session(self, request: Any) -> Any:
        return ModelSide(self)

    def of_frame(self, number: int) -> Call | None:
        """The call whose caller sent the frame ``number``."""
        index = number >> 20
        return self.calls[index] if index < len(self.calls) else None

    async def speak(self, seconds: float) -> None:
        """Both sides of every call send 50 frames a second, spread evenly over 20 ms."""
        loop = asyncio.get_running_loop()
        count = len(self.calls)
        began = loop.time()
        total = int(seconds / FRAME_S) * count
        done = 0
        while done < total:
            due = min(total, int((loop.time() - began) / FRAME_S * count) + 1)
            for turn in range(done, due):
                self.calls[turn % count].tick()
            done = max(done, due)
            await asyncio.sleep(max(0.0005, began + done * FRAME_S / count - loop.time()))


class Call:
    """One call: its caller, and the model that speaks with them."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.to_model, self.to_caller = Way(), Way()
        self.caller: CallerSide | None = None
        self.model: ModelSide | None = None
        self.up = asyncio.Event()
        """Both sides are there, and what the caller says arrives."""
        self.speaks = False
        """Whether the model speaks with each tick."""
        self._ticks = 0

    def tick(self) -> None:
        """20 ms more."""
        self._ticks += 1
        loud = (self._ticks + self.number) % LOUD_EVERY == 0
        now = asyncio.get_running_loop().time()
        number = (self.number << 20) | (self._ticks & 0xFFFFF)
        if self.caller is not None and self.caller.started:
            self.to_model.sending(now, loud=loud)
            self.caller.say(frame(number, loud=loud))
        if self.model is not None and self.speaks:
            other = (self._ticks + self.number + LOUD_EVERY // 2) % LOUD_EVERY == 0
            self.to_caller.sending(now, loud=other)
            self.model.say(frame(number, loud=other))

    def hang_up(self) -> None:
        """End both sides."""
        if self.caller is not None:
            self.caller.hang_up()

    async def interrupt(self, after_s: float, length_s: float) -> Interruption:
        """The model says something of ``length_s``, faster than it is spoken, and the caller cuts it off
        ``after_s`` after the first of it was heard."""
        loop = asyncio.get_running_loop()
        caller, model = self.caller, self.model
        assert caller is not None
        assert model is not None
        item = model.begin()
        caller.begin()
        for number in range(int(length_s / FRAME_S)):
            model.say(frame(number, loud=False))
            if number % 25 == 24:
                await asyncio.sleep(0.05)  # ten times as fast as speech
        # One that plays nothing after an interruption is cut off all the same.
        await asyncio.wait([caller.first], timeout=HEARD_WITHIN_S)
        first_at = caller.first.result() if caller.first.done() else loop.time()
        await asyncio.sleep(max(0.0, first_at + after_s - loop.time()))
        asked_at = loop.time()
        model.caller_speaks(item)
        await asyncio.sleep(1.0)
        cleared_at = caller.cleared_at
        return Interruption(
            to_clear_ms=None if cleared_at is None else (cleared_at - asked_at) * 1e3,
            after_clear=caller.after_clear,
            truncated_ms=model.truncated_ms,
            heard_ms=caller.heard_s(cleared_at or loop.time()) * 1e3,
        )


class CallerSide(picows.WSListener):
    """The carrier's end of one media stream, as Twilio speaks it. Plays in real time what it is sent."""

    def __init__(self, call: Call, parameters: dict[str, str]) -> None:
        self._call = call
        self._parameters = parameters
        self._transport: Any = None
        self._stream = f"MZ{call.number:032x}"
        self.started = False
        self._chunk = 0
        self._marks: deque[tuple[dict[str, Any], asyncio.TimerHandle]] = deque()
        """Behind audio that is not played yet, oldest first."""
        self.begin()

    def begin(self) -> None:
        """Forget what was played so far."""
        self.first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When the first of it came."""
        self.cleared_at: float | None = None
        self.after_clear = 0
        self._received_s = 0.0
        self._plays_until = 0.0
        self._heard_at_clear = 0.0

    def heard_s(self, at: float) -> float:
        """How much of what came since `begin` was played at ``at``."""
        if self.cleared_at is not None:
            return self._heard_at_clear
        return self._received_s - max(0.0, self._plays_until - at)

    def say(self, audio: bytes) -> None:
        """20 ms of the caller."""
        self._chunk += 1
        payload = base64.b64encode(audio).decode()
        self._transport.send(
            picows.WSMsgType.TEXT,
            b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
            b'"payload":"%b"},"streamSid":"%b"}'
            % (self._chunk + 1, self._chunk, self._chunk * 20, payload.encode(), self._stream.encode()),
        )

    def hang_up(self) -> None:
        """The caller is gone."""
        if self._transport is not None:
            self._send({"event": "stop", "streamSid": self._stream, "stop": {}})
            self._transport.disconnect()

    def on_ws_connected(self, transport: Any) -> None:
        """The bridge has answered."""
        self._transport = transport
        self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self._send(
            {
                "event": "start",
                "sequenceNumber": "1",
                "start": {
                    "accountSid": "AC" + "0" * 32,
                    "streamSid": self._stream,
                    "callSid": self._parameters.get("CallSid", f"CA{self._call.number:032x}"),
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": self._parameters,
                },
                "streamSid": self._stream,
            }
        )
        self.started = True

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Something for the caller."""
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        message = json.loads(frame.get_payload_as_bytes())
        now = asyncio.get_running_loop().time()
        match message["event"]:
            case "media":
                self._play(base64.b64decode(message["media"]["payload"]), now)
            case "mark":
                at = max(now, self._plays_until)
                self._marks.append((message["mark"], asyncio.get_running_loop().call_at(at, self._marked)))
            case "clear":
                if self.cleared_at is None:
                    self._heard_at_clear = self.heard_s(now)
                    self.cleared_at = now
                self._plays_until = now
                # The buffer is empty: all that was to be played before a mark is not, and it comes back.
                while self._marks:
                    self._marked()
            case _:
                pass

    def _play(self, audio: bytes, now: float) -> None:
        self._call.to_caller.coming(audio, now)
        if self.cleared_at is not None:
            self.after_clear += 1
            return
        if not self.first.done():
            self.first.set_result(now)
        length_s = len(audio) / 8000
        self._received_s += length_s
        self._plays_until = max(self._plays_until, now) + length_s

    def _marked(self) -> None:
        mark, timer = self._marks.popleft()
        timer.cancel()
        if not self._transport.is_disconnected:
            self._send({"event": "mark", "streamSid": self._stream, "mark": mark})

    def _send(self, message: dict[str, Any]) -> None:
        self._transport.send(picows.WSMsgType.TEXT, json.dumps(message).encode())


_APPEND = re.compile(rb'"audio":\s*"([^"]*)"')


class ModelSide(picows.WSListener):
    """The API's end of one session."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._transport: Any = None
        self._call: Call | None = None
        self._session: dict[str, Any] = {"type": "realtime", "id": "sess_bench", "model": "gpt-realtime"}
        self._turn = 0
        self._speaking = False
        self._pcm = {"input": True, "output": True}
        self.truncated_ms: float | None = None

    def say(self, audio: bytes) -> None:
        """20 ms of the agent."""
        if not self._speaking:
            self.begin()
        self._transport.send(
            picows.WSMsgType.TEXT,
            b'{"type":"response.output_audio.delta","event_id":"e","response_id":"%b","item_id":"%b",'
            b'"output_index":0,"content_index":0,"delta":"%b"}'
            % (
                self._response.encode(),
                self._item.encode(),
                base64.b64encode(as_pcm(audio) if self._pcm["output"] else audio),
            ),
        )

    def begin(self) -> str:
        """A response of its own from here on; the item that it speaks."""
        if self._speaking:
            self._end_response("completed")
        self._turn += 1
        self.truncated_ms = None
        self._response, self._item = f"{RESPONSE}_{self._turn}", f"{ITEM}_{self._turn}"
        self._speaking = True
        response = {
            "id": self._response,
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
        }
        self._send("response.created", response=response)
        item = {
            "id": self._item, "type": "message", "role": "assistant", "status": "in_progress", "content": [],
        }  # fmt: skip
        place = {"response_id": self._response, "output_index": 0}
        self._send("response.output_item.added", item=item, **place)
        self._send("conversation.item.added", item=item, previous_item_id=None)
        return self._item

    def caller_speaks(self, item: str) -> None:
        """The server hears the caller: the response is over."""
        self._send("input_audio_buffer.speech_started", audio_start_ms=1000, item_id=f"{item}_caller")
        self._end_response("cancelled")

    def _end_response(self, status: str) -> None:
        self._speaking = False
        part = {"response_id": self._response, "item_id": self._item, "output_index": 0, "content_index": 0}
        self._send("response.output_audio.done", **part)
        item = {
            "id": self._item, "type": "message", "role": "assistant",
            "status": "completed" if status == "completed" else "incomplete",
            "content": [{"type": "output_audio", "transcript": ""}],
        }  # fmt: skip
        self._send("response.output_item.done", response_id=self._response, output_index=0, item=item)
        detail = {"type": status, "reason": "turn_detected"} if status == "cancelled" else None
        response = {
            "id": self._response, "object": "realtime.response", "status": status, "status_details": detail,
            "output": [item], "usage": None,
        }  # fmt: skip
        self._send("response.done", response=response)

    def on_ws_connected(self, transport: Any) -> None:
        """A session begins."""
        self._transport = transport
        self._send("session.created", session=self._session)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Something of the bridge's."""
        if frame.msg_type == picows.WSMsgType.TEXT:
            text = frame.get_payload_as_bytes()
            if b"input_audio_buffer.append" in text[:200] or b'"input_audio_buffer.append"' in text[-200:]:
                self._hear(text)
            else:
                self._take(json.loads(text))
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()

    def _hear(self, text: bytes) -> None:
        found = _APPEND.search(text)
        if found is None:
            return
        audio = base64.b64decode(found[1])
        now = asyncio.get_running_loop().time()
        if self._call is None:
            self._find_call(audio)
        if self._call is not None:
            self._call.to_model.coming(audio, now, pcm=self._pcm["input"])

    def _find_call(self, audio: bytes) -> None:
        number = None if self._pcm["input"] else number_of(audio)
        call = None if number is None else self._world.of_frame(number)
        if call is None and len(self._world.calls) == 1:
            (call,) = self._world.calls
        if call is None:  # converted: whoever has no session yet is as good as the one it is
            call = next((each for each in self._world.calls if each.model is None), None)
        if call is not None and call.model is None:
            self._call, call.model = call, self
            call.up.set()

    def _take(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "session.update":
                self._session = {**self._session, **message["session"]}
                self._pcm = {
                    side: "pcmu" not in str((self._session.get("audio") or {}).get(side, {}).get("format"))
                    for side in ("input", "output")
                }
                self._send("session.updated", session=self._session)
            case "conversation.item.truncate":
                self.truncated_ms = float(message["audio_end_ms"])
                self._send(
                    "conversation.item.truncated",
                    item_id=message["item_id"],
                    content_index=message.get("content_index", 0),
                    audio_end_ms=message["audio_end_ms"],
                )
            case _:
                pass

    def _send(self, kind: str, **fields: Any) -> None:
        if not self._transport.is_disconnected:
            message = {"type": kind, "event_id": f"event_{kind}", **fields}
            self._transport.send(picows.WSMsgType.TEXT, json.dumps(message).encode())


# How a caller gets to the bridge --------------------------------------------------------------------

Ring = Callable[[Call], Any]
"""Has a call come in; returns the URL of the media stream, and its parameters. A coroutine function."""


async def connect(world: World, ring: Ring, *, at_once: int = 10, patience_s: float = 20.0) -> None:
    """Every call comes in, and is up when this returns. Raises `TimeoutError` when one is not."""
    loop = asyncio.get_running_loop()

    async def one(call: Call) -> None:
        url, parameters = await ring(call)
        call.caller = CallerSide(call, parameters)
        await picows.ws_connect(lambda: call.caller, url)

    async def say_until_up(calls: Iterable[Call]) -> None:
        deadline = loop.time() + patience_s
        while waiting := [call for call in calls if not call.up.is_set()]:
            for call in waiting:
                call.tick()
            await asyncio.sleep(FRAME_S)
            if loop.time() > deadline:
                raise TimeoutError(f"{len(waiting)} of {len(world.calls)} calls did not come up")

    for first in range(0, len(world.calls), at_once):
        calls = world.calls[first : first + at_once]
        await asyncio.gather(*(one(call) for call in calls))
        await say_until_up(calls)


def no_parameters(url: str) -> Ring:
    """Media streams that need no webhook before them."""

    async def ring(call: Call) -> tuple[str, dict[str, str]]:
        return url, {}

    return ring
