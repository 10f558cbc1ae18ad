"""The line of a caller whom their carrier connected to the Realtime API: the Calls API acts for us."""

from __future__ import annotations

from sipagent.calls.client import CallsClient
from sipagent.calls.endings import Ending
from sipagent.calls.incoming import LineKind
from sipagent.calls.line import CarrierSide
from sipagent.calls.preparation import CallSession
from sipagent.calls.profile import AgentProfile
from sipagent.identifiers import CallId
from sipagent.realtime import AttachPolicy, OpenAIRealtimeSIPModel, RealtimeModel, RealtimeModelConfig


class SipLine:
    """One call at the Calls API; see `Line`."""

    kind: LineKind = "sip"

    def __init__(
        self,
        call_id: CallId,
        *,
        client: CallsClient,
        attach: AttachPolicy | None = None,
        carrier: CarrierSide | None = None,
    ) -> None:
        """``attach`` is how patiently its session is looked for; ``carrier`` acts for the caller's own leg,
        where we know whose it is."""
        self._call_id = call_id
        self._client = client
        self._attach = attach
        self.carrier = carrier

    async def accept(self, session: CallSession, *, deadline: float, maybe_accepted: bool = False) -> None:
        """See `Line.accept`."""
        await self._client.accept(
            self._call_id, session.accept, deadline=deadline, maybe_accepted=maybe_accepted
        )

    async def reject(self, sip_status: int, *, deadline: float) -> None:
        """See `Line.reject`."""
        await self._client.reject(self._call_id, sip_status, deadline=deadline)

    async def refer(self, target_uri: str) -> None:
        """See `Line.refer`."""
        await self._client.refer(self._call_id, target_uri)

    async def hang_up(self, ending: Ending) -> None:
        """See `Line.hang_up`."""
        await self._client.hang_up(self._call_id)

    def model(self, profile: AgentProfile) -> RealtimeModel:
        """See `Line.model`: one that attaches to the call."""
        return OpenAIRealtimeSIPModel(attach_policy=self._attach)

    def model_config(self, session: CallSession) -> RealtimeModelConfig:
        """See `Line.model_config`."""
        config: RealtimeModelConfig = {"call_id": self._call_id}
        if session.first_update is not None:
            config["first_update"] = session.first_update
        return config

    def consented(self, words: str) -> None:
        """See `Line.consented`: the caller's audio does not pass through us."""

    def close(self, ending: Ending | None) -> None:
        """See `Line.close`: nothing of it is here."""
