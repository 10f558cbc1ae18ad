"""Audio over the socket: between the session's format and the mu-law everything here works in."""

from __future__ import annotations

import asyncio
import base64
import sys
from typing import Final

from sipagent.audio.formats import AudioFormat
from sipagent.audio.g711 import SAMPLE_RATE_HZ, decode_pcmu, encode_pcmu, pcma_to_pcmu, pcmu_to_pcma
from sipagent.audio.resample import Resampler
from sipagent.identifiers import ResponseId
from sipagent.simulator.server_events import EventSender, ResponseEvents
from sipagent.simulator.session_config import SessionConfig

_SAMPLE_BYTES: Final = 2


class SocketDecoder:
    """What the client appends, as mu-law. Keeps half a sample until its other half comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._resampler = _resampler(from_hz=AudioFormat.PCM.sample_rate_hz, to_hz=SAMPLE_RATE_HZ)

    def feed(self, audio: bytes, audio_format: AudioFormat) -> bytes:
        """The next piece of the stream."""
        match audio_format:
            case AudioFormat.PCMU:
                return audio
            case AudioFormat.PCMA:
                return pcma_to_pcmu(audio)
            case AudioFormat.PCM:
                audio = self._rest + audio
                whole = len(audio) - len(audio) % _SAMPLE_BYTES
                self._rest = audio[whole:]
                return encode_pcmu(self._resampler.feed(audio[:whole]))


class SocketEncoder:
    """Generated mu-law in the session's output format. One for each response."""

    def __init__(self) -> None:
        self._resampler = _resampler(from_hz=SAMPLE_RATE_HZ, to_hz=AudioFormat.PCM.sample_rate_hz)

    def feed(self, ulaw: bytes, audio_format: AudioFormat) -> bytes:
        """The next piece of the stream."""
        match audio_format:
            case AudioFormat.PCMU:
                return ulaw
            case AudioFormat.PCMA:
                return pcmu_to_pcma(ulaw)
            case AudioFormat.PCM:
                return self._resampler.feed(decode_pcmu(ulaw))


class SocketVoice:
    """Sends generated audio over the socket, and reckons how long a client plays it."""

    def __init__(self, sender: EventSender, config: SessionConfig) -> None:
        self._sender = sender
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._encoders: dict[ResponseId, SocketEncoder] = {}
        self._played_out_at_s = 0.0

    @property
    def unplayed_s(self) -> float:
        """What the client still has to play of everything sent so far."""
        return max(0.0, self._played_out_at_s - self._loop.time())

    def begin(self, response_id: ResponseId) -> None:
        """A response begins, and with it a stream of its own."""
        self._encoders[response_id] = SocketEncoder()

    def send(self, response_id: ResponseId, ulaw: bytes, events: ResponseEvents) -> None:
        """The next piece of a response's voice."""
        audio = self._encoders[response_id].feed(ulaw, self._config.output_format)
        self._sender.emit(events.audio_delta(base64.b64encode(audio).decode("ascii")))
        now_s = self._loop.time()
        self._played_out_at_s = max(self._played_out_at_s, now_s) + len(ulaw) / SAMPLE_RATE_HZ


def _resampler(*, from_hz: int, to_hz: int) -> Resampler:
    assert sys.byteorder == "little", "PCM on the wire is little-endian, and so are all supported machines"
    return Resampler(from_hz=from_hz, to_hz=to_hz)
