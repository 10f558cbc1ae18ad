"""Between what a carrier speaks and what a session speaks."""

from __future__ import annotations

import pytest

from sipagent.audio.g711 import decode_pcmu, encode_pcmu
from sipagent.audio.resample import resample
from sipagent.carrier.converting import from_session, session_format, to_session
from sipagent.carrier.stream import StreamFormat

LOUD = bytes([0x10, 0x10, 0x90, 0x90]) * 400


@pytest.mark.parametrize("law", ["g711_ulaw", "g711_alaw"])
def test_g711_is_not_touched(law: str) -> None:
    spoken = StreamFormat(encoding=law)  # type: ignore[arg-type]
    assert session_format(spoken) == law
    assert to_session(spoken) is None
    assert from_session(spoken) is None


@pytest.mark.parametrize("rate_hz", [8000, 12000, 16000, 24000, 48000])
def test_linear_audio_comes_and_goes_as_mu_law(rate_hz: int) -> None:
    spoken = StreamFormat(encoding="pcm16", rate_hz=rate_hz)
    assert session_format(spoken) == "g711_ulaw"
    play, hear = from_session(spoken), to_session(spoken)
    assert play is not None
    assert hear is not None
    played = b"".join(play(LOUD[at : at + 160]) for at in range(0, len(LOUD), 160))
    assert abs(len(played) - 2 * len(LOUD) * rate_hz // 8000) <= 2 * rate_hz // 8000
    pieces = [played[at : at + 333] for at in range(0, len(played), 333)]
    heard = b"".join(hear(piece) for piece in pieces)
    assert abs(len(heard) - len(LOUD)) <= 2
    if rate_hz == 8000:
        assert heard == LOUD
    else:
        assert heard == encode_pcmu(resample(played, from_hz=rate_hz, to_hz=8000))
    assert decode_pcmu(heard)
