"""The server's side of the example's call, step by step: what it says, and what it waits for.

It speaks as the API documents it, with every field that strict readers want, and records what it was sent.
Requests to read an item again (``conversation.item.retrieve``) are recorded apart: they change nothing.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from tests.realtime import messages
from tests.realtime.messages import Json
from tests.realtime.peer import Peer

GREETING = "Lakeside Bicycles, good morning. What can we do for you?"
WISH = "My bicycle makes a noise."
GIFT = "Since you ask so kindly, we will repair the whole bicycle free of charge."
SECOND_OF_SOUND = 8000
"""Bytes of G.711."""
_FORMAT = {"format": {"type": "audio/pcmu"}}


@dataclass
class Call:
    """One conversation, played to its end by `play`."""

    peer: Peer
    sent: list[Json] = field(default_factory=list)
    """What the client sent, in order."""
    retrievals: int = 0
    _responses: int = 0
    _last_item: str | None = None

    async def play(self) -> None:
        """Every turn, then an orderly end."""
        await self._begin()
        await self._speak(GREETING, seconds=5.0)
        await self._hear_the_caller(cuts_off=True)
        await self._use(
            "book_repair",
            '{"bicycle": {"maker": "Gazelle", "electric": false}, "urgency": "this_week", "note": null}',
        )
        await self._speak("That is booked, for this week.", seconds=5.0)
        await self._hear_the_caller(cuts_off=True)
        await self._use("opening_hours", '{"day": "saturday"}')
        await self._use("ask_the_mechanic", '{"question": "Is it ready?"}')
        await self._hand_over("transfer_to_bookkeeper", '{"reason": "an old invoice"}')
        await self._use("find_invoice", '{"number": 7}')
        await self._use("refund", '{"number": 7, "share": {"percent": 50, "rounded": true}}')
        await self._promise_too_much()
        await self._speak_for_too_long()
        await self._hear_the_caller(cuts_off=False)
        await self._hand_over("transfer_to_front_desk", "{}")
        await self._speak("Good-bye, and safe riding.")
        await self.peer.close(1000)

    # Reading ---------------------------------------------------------------------------------------

    async def _receive(self, *kinds: str) -> None:
        """Read messages of these kinds, in this order, and nothing else."""
        for kind in kinds:
            message = await self.peer.receive()
            while message["type"] == "conversation.item.retrieve":
                self.retrievals += 1
                message = await self.peer.receive()
            self.sent.append(message)
            assert message["type"] == kind, [each["type"] for each in self.sent]

    # Speaking --------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        await self._receive("session.update")
        await self._agree()
        await self._receive("conversation.item.create", "response.create")
        await self._add(
            {
                "id": "item_hello",
                "type": "message",
                "role": "user",
                "status": "completed",
                "content": self.sent[-2]["item"]["content"],
            }
        )

    async def _agree(self) -> None:
        wanted = self.sent[-1]["session"]["audio"]
        for change in (messages.session_created, messages.session_updated)[len(self.sent) > 1 :]:
            agreed = change(**_FORMAT)
            agreed["session"]["audio"]["input"] = {"format": _FORMAT["format"], **wanted["input"]}
            await self.peer.send(agreed)

    async def _add(self, item: Json) -> None:
        await self.peer.send(messages.item_added(item, self._last_item))
        self._last_item = item["id"]

    def _new_response(self) -> str:
        self._responses += 1
        return f"resp_{self._responses}"

    async def _hear_the_caller(self, *, cuts_off: bool) -> None:
        item_id = f"item_caller_{self._responses}"
        await self.peer.send(messages.speech_started(item_id))
        if cuts_off:
            await self._receive("conversation.item.truncate")
        await self.peer.send(
            {
                "type": "input_audio_buffer.speech_stopped",
                "event_id": "event_w",
                "item_id": item_id,
                "audio_end_ms": 900,
            },
            {
                "type": "input_audio_buffer.committed",
                "event_id": "event_x",
                "item_id": item_id,
                "previous_item_id": self._last_item,
            },
        )
        await self._add(messages.user_message(item_id))
        await self.peer.send(
            {
                "type": "conversation.item.input_audio_transcription.completed",
                "event_id": "event_y",
                "item_id": item_id,
                "content_index": 0,
                "transcript": WISH,
                "usage": {"type": "duration", "seconds": 1},
            }
        )

    async def _start_speaking(self, text: str, seconds: float) -> tuple[str, str]:
        response_id = self._new_response()
        item_id = f"item_{response_id}"
        await self.peer.send(messages.response_created(response_id))
        await self._add(messages.assistant_message(item_id, None, status="in_progress"))
        sound = base64.b64encode(b"\xff" * round(seconds * SECOND_OF_SOUND)).decode()
        await self.peer.send(
            messages.audio_delta(sound, item_id, response_id),
            messages.transcript_delta(text, item_id, response_id),
        )
        return response_id, item_id

    async def _stop_speaking(
        self, response_id: str, item_id: str, text: str, *, cancelled: bool = False
    ) -> None:
        about = {
            "event_id": "event_z",
            "response_id": response_id,
            "item_id": item_id,
            "output_index": 0,
            "content_index": 0,
        }
        item = messages.assistant_message(item_id, text, status="incomplete" if cancelled else "completed")
        more: dict[str, Any] = {}
        if cancelled:
            more["status_details"] = {"type": "cancelled", "reason": "client_cancelled"}
        await self.peer.send(
            {"type": "response.output_audio.done", **about},
            {"type": "response.output_audio_transcript.done", **about, "transcript": text},
            messages.output_item_done(item, response_id),
            messages.response_done(
                response_id,
                status="cancelled" if cancelled else "completed",
                output=[item],
                usage={"total_tokens": 30, "input_tokens": 20, "output_tokens": 10},
                **more,
            ),
        )

    async def _speak(self, text: str, *, seconds: float = 0.1) -> None:
        """Speak, from the first word to the last."""
        response_id, item_id = await self._start_speaking(text, seconds)
        await self._stop_speaking(response_id, item_id, text)

    # Tools -----------------------------------------------------------------------------------------

    async def _call(self, name: str, arguments: str) -> None:
        response_id = self._new_response()
        call = messages.function_call(name, f"call_{response_id}", arguments)
        await self.peer.send(messages.response_created(response_id))
        await self._add({**call, "status": "in_progress"})
        await self.peer.send(
            messages.output_item_done(call, response_id), messages.response_done(response_id, output=[call])
        )

    async def _use(self, name: str, arguments: str) -> None:
        """Call a tool, and wait for its output and for the request to go on."""
        await self._call(name, arguments)
        await self._receive("conversation.item.create", "response.create")

    async def _hand_over(self, name: str, arguments: str) -> None:
        await self._call(name, arguments)
        await self._receive("session.update")
        await self._agree()
        await self._receive("conversation.item.create", "response.create")

    # What must not be heard to its end ---------------------------------------------------------------

    async def _promise_too_much(self) -> None:
        response_id, item_id = await self._start_speaking(GIFT, 5.0)
        await self._receive("conversation.item.truncate", "response.cancel", "conversation.item.create")
        await self._stop_speaking(response_id, item_id, GIFT, cancelled=True)
        await self._receive("response.create")

    async def _speak_for_too_long(self) -> None:
        text = "Once upon a time there was a bicycle."
        response_id, item_id = await self._start_speaking(text, 20.0)
        await self._receive("conversation.item.truncate")
        await self._stop_speaking(response_id, item_id, text, cancelled=True)
