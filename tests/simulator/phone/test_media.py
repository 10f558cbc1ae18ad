from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from sipagent.errors import SdpError, SimulatorError
from sipagent.simulator.phone.changes import Changes
from sipagent.simulator.phone.media import PhoneMedia
from sipagent.simulator.phone.settings import PhoneSettings
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.sdp import parse_sdp
from tests.support.eventually import eventually

SPEECH = b"\x10\x90" * 80
Opened = Callable[..., Awaitable[PhoneMedia]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens media that are closed behind the test."""
    every: list[PhoneMedia] = []

    async def open_media(settings: PhoneSettings | None = None) -> PhoneMedia:
        every.append(
            await PhoneMedia.open(pacer=pacer, settings=settings or PhoneSettings(), changes=Changes())
        )
        return every[-1]

    async with Pacer() as pacer:
        yield open_media
        for media in every:
            await media.aclose()


async def connected(opened: Opened, one: PhoneSettings, two: PhoneSettings) -> tuple[PhoneMedia, PhoneMedia]:
    caller, callee = await opened(one), await opened(two)
    caller.accept(callee.answer(caller.offer()))
    return caller, callee


async def heard_in_one_piece(speaking: PhoneMedia, listening: PhoneMedia, sound: bytes) -> None:
    """Play ``sound`` until it was heard; once is not enough on a machine that stands still meanwhile."""
    for _ in range(20):
        before = listening.stream.statistics().frames_received
        frames = len(sound) // len(SPEECH)
        speaking.play(sound)
        assert speaking.speaking
        await eventually(lambda: not speaking.speaking)
        await eventually(lambda: listening.stream.statistics().frames_received >= before + frames)  # noqa: B023
        if sound in listening.tape.recording().right and sound in speaking.tape.recording().left:
            return
    raise AssertionError("never heard in one piece")


@pytest.mark.parametrize("srtp", [False, True], ids=["rtp", "srtp"])
async def test_offer_and_answer_let_both_be_heard(opened: Opened, srtp: bool) -> None:
    caller, callee = await connected(opened, PhoneSettings(srtp=srtp), PhoneSettings(srtp=srtp))
    assert (caller.secured, callee.secured) == (srtp, srtp)
    for speaking, listening in ((caller, callee), (callee, caller)):
        await heard_in_one_piece(speaking, listening, SPEECH * 5)


async def test_an_encrypted_offer_is_taken_by_a_phone_that_does_not_insist(opened: Opened) -> None:
    caller, callee = await connected(opened, PhoneSettings(srtp=True), PhoneSettings())
    assert caller.secured
    assert callee.secured
    caller.press("42")
    assert caller.pressing
    await eventually(lambda: callee.stream.statistics().digits == "42")
    await eventually(lambda: not caller.pressing)
    # Its own offer in the same call must not fall back to plain audio.
    callee.accept(caller.answer(callee.offer()))
    await heard_in_one_piece(caller, callee, SPEECH * 3)


async def test_a_phone_that_insists_refuses_plain_audio(opened: Opened) -> None:
    plain, secure = await opened(PhoneSettings()), await opened(PhoneSettings(srtp=True))
    with pytest.raises(SdpError):
        secure.answer(plain.offer())
    with pytest.raises(SdpError):
        secure.accept(plain.offer())


async def test_encryption_is_never_dropped_in_a_call(opened: Opened) -> None:
    _, callee = await connected(opened, PhoneSettings(srtp=True), PhoneSettings())
    plain = await opened()
    with pytest.raises(SdpError, match="without encryption"):
        callee.answer(plain.offer())


async def test_the_codec_of_both_is_found(opened: Opened) -> None:
    caller, callee = await connected(
        opened, PhoneSettings(codecs=("PCMA",)), PhoneSettings(codecs=("PCMU", "PCMA"))
    )
    assert caller.stream.media_format.codec == callee.stream.media_format.codec == "PCMA"
    only_ulaw = await opened(PhoneSettings(codecs=("PCMU",)))
    with pytest.raises(SdpError, match="PCMU"):
        only_ulaw.answer(caller.offer())


async def test_hold_stops_the_other_side_and_resume_lets_it_go_on(opened: Opened) -> None:
    caller, callee = await connected(opened, PhoneSettings(), PhoneSettings())
    caller.accept(callee.answer(caller.offer("sendonly")))
    sent = callee.stream.statistics().frames_sent
    callee.play(SPEECH * 3)
    await eventually(lambda: not callee.speaking)
    assert callee.stream.statistics().frames_sent == sent
    caller.accept(callee.answer(caller.offer()))
    await eventually(lambda: callee.stream.statistics().frames_sent > sent)


async def test_every_description_is_a_new_version(opened: Opened) -> None:
    media = await opened()
    origins = [line for _ in range(2) for line in media.offer().split(b"\r\n") if line.startswith(b"o=")]
    assert [origin.split()[2] for origin in origins] == [b"1", b"2"]
    assert parse_sdp(media.offer()).media[0].port == media.stream.local_port


async def test_falling_silent_drops_the_rest(opened: Opened) -> None:
    caller, callee = await connected(opened, PhoneSettings(), PhoneSettings())
    caller.play(SPEECH * 500)
    await eventually(lambda: SPEECH in callee.tape.recording().right)
    caller.stop_playing()
    assert not caller.speaking
    assert caller.stream.playing_ms == 0


async def test_keys_need_an_agreement(opened: Opened) -> None:
    media = await opened()
    with pytest.raises(SimulatorError):
        media.press("1")
    assert not media.pressing
