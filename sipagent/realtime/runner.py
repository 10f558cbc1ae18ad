"""Makes sessions for an agent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.hooks import RealtimeRunHooks
from sipagent.realtime.model import RealtimeModel, RealtimeModelConfig
from sipagent.realtime.seeding import RealtimeEarlierItem
from sipagent.realtime.session import RealtimeSession
from sipagent.realtime.settings import RealtimeRunConfig
from sipagent.realtime.takeover import RealtimeTakeover
from sipagent.realtime.websocket import OpenAIRealtimeWebSocketModel


class RealtimeRunner:
    """One agent, and how its sessions run. A model serves one session at a time; without one given, each
    session gets its own."""

    def __init__(
        self,
        starting_agent: RealtimeAgent[Any],
        *,
        model: RealtimeModel | None = None,
        config: RealtimeRunConfig | None = None,
        hooks: RealtimeRunHooks[Any] | None = None,
    ) -> None:
        """``hooks`` win over those of ``config``."""
        if hooks is not None:
            config = {**(config or {}), "hooks": hooks}
        self._agent = starting_agent
        self._model = model
        self._config = config

    async def run(
        self,
        *,
        context: Any = None,
        model_config: RealtimeModelConfig | None = None,
        history: Iterable[RealtimeEarlierItem] = (),
        takeover: RealtimeTakeover | None = None,
    ) -> RealtimeSession:
        """A session that is not connected yet: enter it, or use it as ``async with``.

        ``context`` is handed to tools, guardrails, hooks and instructions, inside a `RunContextWrapper`.
        ``history`` is an earlier conversation: the `RealtimeSession.history` of another session, or mappings
        of ``role`` and ``text``. The model is told of it before anything else, without being asked to answer;
        speech becomes its transcript, and what has none, a tool call without an answer and a picture by any
        other URL than ``data:image/…`` or ``https://…`` is left out. An item that the server refuses is
        reported as an error, and the others stay. ``takeover`` says that the session runs already, under an
        agent that another process led: it is neither set up nor told anything, and goes on where it is.

        Raises `UserError` for guardrails of the configuration that are none, and for a history that is none.
        Waits for nothing, so there is nothing to cancel.
        """
        model = OpenAIRealtimeWebSocketModel() if self._model is None else self._model
        return RealtimeSession(model, self._agent, context, model_config, self._config, history, takeover)
