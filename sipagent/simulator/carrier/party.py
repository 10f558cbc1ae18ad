"""Whoever is at the far end of a leg, and what a leg hears of them."""

from __future__ import annotations

from typing import Protocol

from sipagent.audio.g711 import FRAME_BYTES, PCMU_SILENCE
from sipagent.simulator.carrier.record import Tape

SILENT_FRAME = bytes([PCMU_SILENCE]) * FRAME_BYTES


class PartyListener(Protocol):
    """The carrier's side of a far end. Methods return quickly and do not raise."""

    def party_ringing(self) -> None:
        """It rings there (180)."""

    def party_answered(self) -> None:
        """They took the call; audio flows."""

    def party_audio(self, ulaw: bytes) -> None:
        """160 bytes of what they say."""

    def party_digit(self, digit: str) -> None:
        """They pressed a key."""

    def party_gone(self, sip_status: int) -> None:
        """It is over: 200 for who hung up, 487 for a caller who gave up, else why they cannot be had.

        Once, and never after `Party.release`.
        """

    def party_refers(self, target: str) -> int:
        """They ask to be replaced by ``target`` (REFER); the status of the answer, 202 for yes."""


class Party(Protocol):
    """A far end. ``tape`` is what was heard there, ``said`` what came from there."""

    tape: Tape
    said: Tape

    def listen(self, listener: PartyListener) -> None:
        """Set the one listener, before anything else."""

    def call(self) -> None:
        """Let it ring there: a leg of the carrier's own making."""

    def accept(self) -> None:
        """Answer the call that came from there; audio flows."""

    def hear(self, ulaw: bytes) -> None:
        """Let them hear 160 bytes now."""

    def press(self, digits: str) -> None:
        """Send them keys."""

    def report_refer(self, sip_status: int) -> None:
        """Report how the call goes that they asked for."""

    def release(self, sip_status: int = 200) -> None:
        """End it: hang up, give up calling, or refuse their call with ``sip_status``. Idempotent."""

    async def aclose(self) -> None:
        """Release, and wait for what is still running. Idempotent."""
