"""One burst at a time, and nobody loses count of what was heard."""

from __future__ import annotations

from typing import Any

from sipagent.identifiers import ItemId, ResponseId
from sipagent.simulator.items import Item, assistant_message
from sipagent.simulator.output_audio import OutputAudio, as_static
from sipagent.simulator.speech import SilentVoice
from tests.simulator.session_rig import HandLeg, Rig

ONE, TWO = ResponseId("one"), ResponseId("two")


class Listening:
    """An output buffer and what it reports."""

    def __init__(self) -> None:
        self.leg = HandLeg()
        self.heard: list[tuple[str, str]] = []
        self.output = OutputAudio(
            self.leg,
            started=lambda response_id: self.heard.append(("started", response_id)),
            stopped=lambda response_id: self.heard.append(("stopped", response_id)),
        )
        listener: Any = self.output
        self.leg.listener = listener


def item(name: str) -> Item:
    return assistant_message(ItemId(name), aloud=True)


def test_bursts_follow_each_other() -> None:
    on = Listening()
    first, second = item("a"), item("b")
    on.output.add(ONE, first, b"1" * 80)
    on.output.add(TWO, second, b"2" * 80)
    on.output.add(ONE, first, b"1" * 80)
    on.output.complete(TWO)
    assert on.heard == [("started", ONE)]
    on.output.complete(ONE)
    on.leg.play_out()
    assert on.heard == [("started", ONE), ("stopped", ONE), ("started", TWO)]
    assert on.output.is_playing
    on.leg.play_out()
    assert on.leg.bursts == [b"1" * 160, b"2" * 80]
    assert on.heard[-1] == ("stopped", TWO)
    assert not on.output.is_playing


def test_a_response_without_audio_leaves_no_trace() -> None:
    on = Listening()
    on.output.add(ONE, item("a"), b"")
    on.output.complete(ONE)
    assert not on.output.is_playing
    assert on.output.clear() is None
    assert on.heard == []


def test_a_cut_is_laid_across_all_items_in_order() -> None:
    on = Listening()
    first, second, third = item("a"), item("b"), item("c")
    on.output.add(ONE, first, bytes(800))
    on.output.add(ONE, second, bytes(800))
    on.output.add(TWO, third, bytes(800))
    on.leg.sent_ms = 130
    cleared = on.output.clear()
    assert cleared is not None
    assert cleared.response_id == ONE
    assert [(cut.item.item_id, cut.heard_ms) for cut in cleared.cuts] == [("b", 30.0), ("c", 0.0)]
    assert not on.output.is_playing
    assert not on.leg.queued


def test_an_end_that_crossed_with_a_cut_is_not_reported() -> None:
    on = Listening()
    on.output.add(ONE, item("a"), bytes(800))
    on.output.clear()
    on.output.playback_stopped()
    assert on.heard == [("started", ONE)]


def test_a_response_that_goes_on_after_a_cut_begins_a_new_burst() -> None:
    on = Listening()
    speech = item("a")
    on.output.add(ONE, speech, bytes(800))
    on.output.clear()
    on.output.add(ONE, speech, bytes(80))
    on.output.complete(ONE)
    on.leg.play_out()
    assert on.heard == [("started", ONE), ("started", ONE), ("stopped", ONE)]


def test_static_is_as_long_as_what_it_drowns_and_nothing_like_it() -> None:
    speech = bytes(range(256))
    assert len(as_static(speech)) == 256
    assert sum(before == after for before, after in zip(speech, as_static(speech), strict=True)) < 4


async def test_a_format_that_was_not_negotiated_is_heard_as_static() -> None:
    pcm = {"type": "audio/pcm", "rate": 24000}
    session = {"type": "realtime", "audio": {"input": {"format": pcm}, "output": {"format": pcm}}}
    async with Rig(session=session) as rig:
        rig.send("response.create")
        await rig.client.until("response.done")
        silence = await SilentVoice().speak("Good morning.")
        assert bytes(rig.leg.queued) == as_static(silence)
