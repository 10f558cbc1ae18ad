"""The line of a call that is refused while its carrier waits for an answer.

The answer to the carrier's webhook is the refusal. The call is taken all the same, so that there is a record
of it, and of why.
"""

from __future__ import annotations

from sipagent.calls.endings import Ending
from sipagent.calls.incoming import LineKind
from sipagent.calls.line import CarrierSide
from sipagent.calls.preparation import CallSession
from sipagent.calls.profile import AgentProfile
from sipagent.errors import CallGoneError
from sipagent.realtime import RealtimeModel, RealtimeModelConfig


class RefusingLine:
    """Implements `sipagent.calls.line.Line`: whatever is asked of it but to refuse, its call is over."""

    @property
    def kind(self) -> LineKind:
        """No audio comes to anybody."""
        return "none"

    @property
    def carrier(self) -> CarrierSide | None:
        """Nothing can be done any more."""
        return None

    async def accept(self, session: CallSession, *, deadline: float, maybe_accepted: bool = False) -> None:
        """Raises `CallGoneError`: another rule held when the webhook was answered, a moment ago."""
        raise CallGoneError("The call was refused by the answer to its carrier's webhook.")

    async def reject(self, sip_status: int, *, deadline: float) -> None:
        """Nothing is left to be done: the answer to the webhook says so."""

    async def refer(self, target_uri: str) -> None:
        """Raises `CallGoneError`."""
        raise CallGoneError("The call was refused.")

    async def hang_up(self, ending: Ending) -> None:
        """Raises `CallGoneError`."""
        raise CallGoneError("The call was refused.")

    def model(self, profile: AgentProfile) -> RealtimeModel:
        """A call that is refused has no session."""
        raise AssertionError("a call that is refused has no session")

    def model_config(self, session: CallSession) -> RealtimeModelConfig:
        """A call that is refused has no session."""
        raise AssertionError("a call that is refused has no session")

    def consented(self, words: str) -> None:
        """Nobody was asked."""

    def close(self, ending: Ending | None) -> None:
        """Nothing is held."""
