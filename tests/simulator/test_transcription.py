"""How what the caller said is reported, and billed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipagent.identifiers import ItemId
from sipagent.simulator.items import user_audio
from sipagent.simulator.script import TranscriptionPlan
from sipagent.simulator.server_events import EventSender, IdSource
from sipagent.simulator.timers import Timers
from sipagent.simulator.transcription import Transcriber
from tests.simulator.session_rig import Client

COMPLETED = "conversation.item.input_audio_transcription.completed"


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("whisper-1", {"type": "duration", "seconds": 2}),
        (
            "gpt-4o-transcribe",
            {
                "type": "tokens",
                "input_tokens": 15,
                "output_tokens": 2,
                "total_tokens": 17,
                "input_token_details": {"audio_tokens": 15, "text_tokens": 0},
            },
        ),
    ],
)
async def test_each_model_has_its_way_of_billing(model: str, usage: dict[str, Any]) -> None:
    client, timers = Client(), Timers()
    sender = EventSender(IdSource())
    sender.attach(client.take)
    item = user_audio(ItemId("x"), audio=b"", audio_ms=1500, spoken="Hello.")
    Transcriber(TranscriptionPlan(delays_ms=(0,)), sender=sender, timers=timers).transcribe(item, model=model)
    assert client.events == []
    completed = await client.until(COMPLETED)
    assert completed["usage"] == usage
    assert item.body["content"][0]["transcript"] == "Hello."


async def test_turns_may_overtake_each_other() -> None:
    client, timers = Client(), Timers()
    sender = EventSender(IdSource())
    sender.attach(client.take)
    plan = TranscriptionPlan(delays_ms=(80, 0))
    transcriber = Transcriber(plan, sender=sender, timers=timers)
    for name in ("first", "second", "third"):
        item = user_audio(ItemId(name), audio=b"", audio_ms=500, spoken=f"the {name} one.")
        transcriber.transcribe(item, model="whisper-1")
    await client.until(COMPLETED, 3)
    assert [event["item_id"] for event in client.of(COMPLETED)] == ["second", "third", "first"]


async def test_nothing_is_reported_after_the_end() -> None:
    client, timers = Client(), Timers()
    sender = EventSender(IdSource())
    sender.attach(client.take)
    transcriber = Transcriber(TranscriptionPlan(delays_ms=(1,)), sender=sender, timers=timers)
    transcriber.transcribe(user_audio(ItemId("x"), audio=b"", audio_ms=1, spoken="x"), model="whisper-1")
    timers.cancel_all()
    await asyncio.sleep(0.01)
    assert client.events == []
