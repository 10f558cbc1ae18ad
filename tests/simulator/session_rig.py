"""A conversation with a hand-played telephone and a client that reads what it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sipagent.simulator.conversation import Conversation
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.leg import LegListener
from sipagent.simulator.script import Script, parse_script
from sipagent.simulator.speech import SilentVoice, VoiceLike

DEADLINE_S = 60.0

PHONE_SESSION: dict[str, Any] = {
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-4o-transcribe"},
            "turn_detection": {"type": "server_vad"},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
    "tools": [
        {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}}
        for name in ("next_free_slot", "hang_up")
    ],
}


class HandLeg:
    """A telephone whose playback moves only when the test says so."""

    media_security = "rtp"

    def __init__(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.sip_headers = tuple(headers)
        self.listener: LegListener | Conversation | None = None
        self.queued = bytearray()
        """The present burst."""
        self.bursts: list[bytes] = []
        """All that were played out."""
        self.finishing = False
        self._finished = asyncio.Event()
        self.sent_ms = 0.0
        """What `clear_playback` will report."""

    def listen(self, listener: LegListener) -> None:
        self.listener = listener

    def ring(self) -> None:
        raise AssertionError("not the conversation's business")

    answer = hang_up = ring

    def reject(self, status: int) -> None:
        raise AssertionError(f"not the conversation's business: {status}")

    async def refer(self, target_uri: str) -> int:
        raise AssertionError(f"not the conversation's business: {target_uri}")

    def play(self, ulaw: bytes) -> None:
        first = not self.queued
        self.queued += ulaw
        if first and self.listener is not None:
            self.listener.playback_started()

    def finish_playing(self) -> None:
        self.finishing = True
        self._finished.set()

    async def until_finishing(self) -> None:
        """Once a whole response has been queued."""
        async with asyncio.timeout(DEADLINE_S):
            await self._finished.wait()

    def clear_playback(self) -> float:
        self.queued.clear()
        self.finishing = False
        return self.sent_ms

    def set_send_faults(self, *, stalled: bool) -> None:
        raise AssertionError(f"not the conversation's business: {stalled}")

    def play_out(self) -> None:
        """The caller hears the burst to its end."""
        assert self.finishing, "nothing was finished that could be played out"
        assert self.listener is not None
        self.bursts.append(bytes(self.queued))
        self.queued.clear()
        self.finishing = False
        self.listener.playback_stopped()


class Client:
    """Collects server events; asks for what it needs."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.broken: list[str] = []
        self._came = asyncio.Event()

    def take(self, text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            self.broken.append(text)
            return
        if not isinstance(event, dict) or "type" not in event:
            self.broken.append(text)
            return
        self.events.append(event)
        self._came.set()

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def last(self, kind: str) -> dict[str, Any]:
        return self.of(kind)[-1]

    def without(self, *kinds: str) -> list[str]:
        return [kind for kind in self.types if kind not in kinds]

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The ``count``-th event of this type, once it is there."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.of(kind)) < count:
                self._came.clear()
                await self._came.wait()
        return self.of(kind)[count - 1]


class Host:
    """Counts what the conversation asks of its call."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self._came = asyncio.Event()

    def drop_socket(self) -> None:
        self._note("dropped")

    def hang_up_as_caller(self) -> None:
        self._note("hung up")

    def agent_finished(self) -> None:
        self._note("finished")

    def _note(self, what: str) -> None:
        self.done.append(what)
        self._came.set()

    async def until(self, what: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while what not in self.done:
                self._came.clear()
                await self._came.wait()


class Rig:
    """One conversation with everything around it; an async context manager."""

    def __init__(
        self,
        script: str | Script = "greeting: Good morning.\n",
        *,
        session: Mapping[str, Any] | None = None,
        on_the_phone: bool = True,
        faults: str = "",
        headers: Sequence[tuple[str, str]] = (),
        voice: VoiceLike | None = None,
        attached: bool = True,
    ) -> None:
        if isinstance(script, str):
            script = parse_script("delay_ms: 0\npace: 10000\n" + script, name="test.yaml")
        self.leg = HandLeg(headers)
        self.client = Client()
        self.host = Host()
        self._attached = attached
        self.conversation = Conversation(
            session=PHONE_SESSION if session is None else session,
            leg=self.leg if on_the_phone else None,
            script=script,
            voice=SilentVoice() if voice is None else voice,
            faults=FaultSet.parse(faults),
            call_label="test call",
            host=self.host,
        )
        self.leg.listener = self.conversation

    async def __aenter__(self) -> Rig:
        if self._attached:
            self.conversation.attach(self.client.take)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.conversation.aclose()

    def send(self, kind: str, **fields: Any) -> None:
        """One client event."""
        self.conversation.receive(json.dumps({"type": kind, **fields}))

    def say(self, words: str) -> None:
        """A turn of the (virtual) caller."""
        self.conversation.caller_speech_started()
        self.conversation.caller_speech_stopped(words)

    async def greet(self) -> str:
        """Let the agent greet and be heard to the end; the response's id."""
        self.send("response.create")
        done = await self.client.until("response.done")
        self.leg.play_out()
        self.client.events.clear()
        response_id: str = done["response"]["id"]
        return response_id
