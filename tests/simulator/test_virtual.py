"""Virtual legs, in real but short time."""

from __future__ import annotations

import asyncio

from sipagent.simulator.leg import CallLeg
from sipagent.simulator.virtual import VirtualLeg
from tests.simulator.ears import SHORT, answered, offered, sound


async def test_it_is_a_call_leg() -> None:
    leg: CallLeg = VirtualLeg(headers=[("From", "a"), ("from", "b")], media_security="srtp")
    assert leg.sip_headers == (("From", "a"), ("from", "b"))
    assert leg.media_security == "srtp"


async def test_playing_takes_as_long_as_the_audio() -> None:
    leg, listener = answered()
    began_s = asyncio.get_running_loop().time()
    leg.play(sound(0.05))
    leg.play(sound(0.05))
    leg.finish_playing()
    assert listener.heard == []
    await listener.until("playback stopped")
    assert asyncio.get_running_loop().time() - began_s >= 0.09
    assert listener.heard == ["playback started", "playback stopped"]
    assert leg.statistics().frames_sent == 5


async def test_what_is_played_before_the_answer_begins_with_it() -> None:
    leg, listener = offered()
    leg.play(sound(0.05))
    leg.finish_playing()
    await asyncio.sleep(0.08)
    assert listener.heard == []
    leg.answer()
    await listener.until("playback stopped")
    assert leg.statistics().frames_sent == 2 or leg.statistics().frames_sent == 3


async def test_nothing_stops_before_the_end_was_announced() -> None:
    leg, listener = answered()
    leg.play(sound(SHORT))
    await asyncio.sleep(0.05)
    assert listener.heard == ["playback started"]
    leg.play(sound(SHORT))
    leg.finish_playing()
    await listener.until("playback stopped")
    assert listener.heard == ["playback started", "playback stopped"]


async def test_clearing_tells_how_much_was_heard_and_reports_no_end() -> None:
    leg, listener = answered()
    leg.play(sound(5))
    leg.finish_playing()
    await asyncio.sleep(0.05)
    sent_ms = leg.clear_playback()
    assert 40 <= sent_ms < 4900
    assert leg.clear_playback() == 0
    await asyncio.sleep(0.02)
    assert listener.heard == ["playback started"]
    leg.play(sound(SHORT))
    leg.finish_playing()
    await listener.until("playback stopped")
    assert listener.heard == ["playback started", "playback started", "playback stopped"]


async def test_clearing_at_once_plays_nothing_at_all() -> None:
    leg, listener = answered()
    leg.play(sound(1))
    assert leg.clear_playback() < 50
    await asyncio.sleep(0.02)
    assert listener.heard == []


async def test_audio_behind_an_announced_end_moves_the_end() -> None:
    leg, listener = answered()
    leg.play(sound(0.03))
    leg.finish_playing()
    leg.play(sound(0.03))
    await asyncio.sleep(0.1)
    assert listener.heard == ["playback started"]
    leg.finish_playing()
    await listener.until("playback stopped")


async def test_finishing_nothing_reports_nothing() -> None:
    leg, listener = answered()
    leg.play(b"")
    leg.finish_playing()
    await asyncio.sleep(0.02)
    assert listener.heard == []


async def test_our_own_end_is_not_reported() -> None:
    leg, listener = answered()
    leg.play(sound(1))
    leg.hang_up()
    leg.hang_up()
    leg.end()
    leg.press("1")
    leg.speech_started()
    await asyncio.sleep(0.02)
    assert listener.heard == []
    assert (leg.phase, leg.final_status) == ("over", 200)


async def test_a_rejected_caller_is_gone() -> None:
    leg, listener = offered()
    leg.reject(486)
    leg.answer()
    leg.end()
    assert (leg.phase, leg.final_status, listener.heard) == ("over", 486, [])


async def test_a_caller_gives_up_before_the_answer_or_hangs_up_after_it() -> None:
    leg, listener = offered()
    leg.end()
    leg.end()
    assert listener.heard == ["ended cancelled"]
    leg, listener = answered()
    leg.end()
    assert listener.heard == ["ended hung_up"]


async def test_a_refer_is_taken_and_its_progress_told() -> None:
    leg, listener = answered(transfer_status=486)
    assert await leg.refer("tel:+15550100001") == 202
    assert leg.referred_to == "tel:+15550100001"
    await listener.until("refer 486")
    assert listener.heard == ["refer 100", "refer 486"]


async def test_a_refused_refer_has_no_progress_and_none_comes_after_the_end() -> None:
    leg, listener = answered(refer_status=405)
    assert await leg.refer("tel:+15550100001") == 405
    other, other_listener = answered()
    await other.refer("tel:+15550100001")
    other.hang_up()
    await asyncio.sleep(0.15)
    assert listener.heard == []
    assert other_listener.heard == []
