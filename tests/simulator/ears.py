"""Somebody at our end of a virtual leg, for the tests of legs and of callers."""

from __future__ import annotations

import asyncio

from sipagent.simulator.leg import LegEnd
from sipagent.simulator.virtual import VirtualLeg

LIMIT_S = 60.0
SHORT = 0.02


def sound(length_s: float) -> bytes:
    return b"\xff" * round(length_s * 8000)


class Listener:
    """Writes down what it hears, and lets a test wait for it."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._news = asyncio.Event()

    def _note(self, what: str) -> None:
        self.heard.append(what)
        self._news.set()

    async def until(self, what: str, *, times: int = 1) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.heard.count(what) < times:
                self._news.clear()
                await self._news.wait()

    def caller_audio(self, ulaw: bytes) -> None:
        self._note("audio")

    def caller_speech_started(self) -> None:
        self._note("speaks")

    def caller_speech_stopped(self, transcript: str) -> None:
        self._note(f"said {transcript}")

    def caller_digit(self, digit: str) -> None:
        self._note(f"pressed {digit}")

    def caller_ended(self, end: LegEnd) -> None:
        self._note(f"ended {end.value}")

    def playback_started(self) -> None:
        self._note("playback started")

    def playback_stopped(self) -> None:
        self._note("playback stopped")

    def refer_progress(self, status: int) -> None:
        self._note(f"refer {status}")


def offered(*, transfer_status: int = 200, refer_status: int = 202) -> tuple[VirtualLeg, Listener]:
    leg = VirtualLeg(headers=[("From", "a")], transfer_status=transfer_status, refer_status=refer_status)
    listener = Listener()
    leg.listen(listener)
    return leg, listener


def answered(*, transfer_status: int = 200, refer_status: int = 202) -> tuple[VirtualLeg, Listener]:
    leg, listener = offered(transfer_status=transfer_status, refer_status=refer_status)
    leg.ring()
    leg.answer()
    return leg, listener
