"""From the caller to the model: what they say and press, handed on the moment it comes."""

from __future__ import annotations

import asyncio
from collections import deque

from sipagent.carrier.converting import session_format, to_session
from sipagent.carrier.stream import StreamFormat
from sipagent.clock import unix_s
from sipagent.errors import ConnectionLostError
from sipagent.realtime import CarriedCallModel, RealtimeModelSendAudio

MOST_WAITING_PIECES = 100
"""Two seconds: a model that is further behind has lost them."""
MOST_WAITING_DIGITS = 64


class CallerVoice:
    """The caller's side of one bridge.

    What comes before the session is open is kept where the caller is to speak first: their first words are
    then what the conversation begins with. Where the agent greets, it is not: a "hello?" into the silence
    before the greeting would cut the greeting off, which is the best answer to it.
    """

    def __init__(self, hears: StreamFormat) -> None:
        self.session_format = session_format(hears)
        self._convert = to_session(hears)
        self._pieces: deque[bytes] = deque()
        self._digits: deque[tuple[str, float]] = deque(maxlen=MOST_WAITING_DIGITS)
        self._model: CarriedCallModel | None = None
        self._open = False
        self._something = asyncio.Event()
        self._digit = asyncio.Event()
        self.keeps_early = True
        """Whether what comes before the session is open is kept."""
        self.dropped_pieces = 0
        """What was lost because the model took it too slowly, the eldest first."""
        self.early_pieces = 0
        """What came before the session was open, and was not kept."""

    def use(self, model: CarriedCallModel) -> None:
        """Hand on to ``model``, once it is connected."""
        self._model = model

    def connected(self) -> None:
        """The model can be told."""
        self._open = True
        if not self.keeps_early:
            self.early_pieces += len(self._pieces)
            self._pieces.clear()
        if self._pieces:
            self._something.set()
        if self._digits:
            self._digit.set()

    def disconnected(self) -> None:
        """The model cannot be told any more."""
        self._open = False
        self._pieces.clear()

    def said(self, audio: bytes) -> bytes:
        """The caller said something, in the carrier's format; returns it in the session's."""
        if self._convert is not None:
            audio = self._convert(audio)
            if not audio:
                return audio  # less than a sample of the lower rate: it comes with the next
        if not self._open and not self.keeps_early:
            self.early_pieces += 1
            return audio
        if len(self._pieces) >= MOST_WAITING_PIECES:
            self._pieces.popleft()
            if self._open:
                self.dropped_pieces += 1
            else:
                self.early_pieces += 1
        self._pieces.append(audio)
        if self._open:
            self._something.set()
        return audio

    def pressed(self, digit: str) -> None:
        """The caller pressed a key."""
        self._digits.append((digit, unix_s()))
        if self._open:
            self._digit.set()

    async def forward(self) -> None:
        """Hand on what comes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forward_audio(), name="bridge: caller's voice")
            group.create_task(self._forward_digits(), name="bridge: caller's keys")

    async def _forward_audio(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            model, pieces = self._model, self._pieces
            if not self._open or model is None or not pieces:
                continue
            # Mostly one. Several only where the model was slow to take the last.
            audio = b"".join(pieces)
            pieces.clear()
            try:
                await model.send_event(RealtimeModelSendAudio(audio=audio))
            except ConnectionLostError:
                self.disconnected()

    async def _forward_digits(self) -> None:
        while True:
            await self._digit.wait()
            self._digit.clear()
            while self._open and self._model is not None and self._digits:
                digit, received_at = self._digits.popleft()
                await self._model.key_pressed(digit, received_at=received_at)
