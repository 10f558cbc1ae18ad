"""Calls the hooks of a session in order, one at a time, without ever holding it up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.hooks import RealtimeRunHooks
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.session_events import (
    RealtimeAgentEndEvent,
    RealtimeAgentStartEvent,
    RealtimeSessionEvent,
)
from sipagent.realtime.tools import FunctionTool
from sipagent.realtime.user_code import call_user_code

logger = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Hooks that may wait for their turn; further ones are dropped, and the first of these is logged."""


class HookCaller:
    """Calls the hooks of one session, each in its turn, in a task that lives while some wait."""

    def __init__(self, run_hooks: RealtimeRunHooks[Any] | None, context: RunContextWrapper[Any]) -> None:
        self._run_hooks = run_hooks
        self._context = context
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._task: asyncio.Task[None] | None = None
        self._dropped = False
        self._closed = False

    def turn_changed(self, happened: Iterable[RealtimeSessionEvent], output: Callable[[], str]) -> None:
        """A turn began or ended, as ``happened`` tells; ``output`` gives what was said in it."""
        for each in happened:
            if type(each) is RealtimeAgentStartEvent:
                self.agent_started(each.agent)
            elif type(each) is RealtimeAgentEndEvent and (
                self._run_hooks is not None or each.agent.hooks is not None
            ):
                self.agent_ended(each.agent, output())

    def agent_started(self, agent: RealtimeAgent[Any]) -> None:
        """``agent`` began a turn."""
        if self._run_hooks is not None:
            self._call(self._run_hooks.on_agent_start, self._context, agent)
        if agent.hooks is not None:
            self._call(agent.hooks.on_start, self._context, agent)

    def agent_ended(self, agent: RealtimeAgent[Any], output: str) -> None:
        """``agent`` ended a turn, and said ``output``."""
        if self._run_hooks is not None:
            self._call(self._run_hooks.on_agent_end, self._context, agent, output)
        if agent.hooks is not None:
            self._call(agent.hooks.on_end, self._context, agent, output)

    def handed_off(self, from_agent: RealtimeAgent[Any], to_agent: RealtimeAgent[Any]) -> None:
        """``to_agent`` took over."""
        if self._run_hooks is not None:
            self._call(self._run_hooks.on_handoff, self._context, from_agent, to_agent)
        if to_agent.hooks is not None:
            self._call(to_agent.hooks.on_handoff, self._context, to_agent, from_agent)

    def tool_started(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool
    ) -> None:
        """A tool of ``agent`` starts to run."""
        for hooks in (self._run_hooks, agent.hooks):
            if hooks is not None:
                self._call(hooks.on_tool_start, context, agent, tool)

    def tool_ended(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool, result: Any
    ) -> None:
        """A tool of ``agent`` has run."""
        for hooks in (self._run_hooks, agent.hooks):
            if hooks is not None:
                self._call(hooks.on_tool_end, context, agent, tool, result)

    async def close(self, grace_s: float) -> None:
        """Let the hooks that wait be called, for ``grace_s`` seconds at most. Idempotent; safe inside a hook.
        Cancel-safe: the hooks are cancelled."""
        self._closed = True
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        try:
            await asyncio.wait([task], timeout=grace_s)
        finally:
            if not task.done():
                self._waiting.clear()
                task.cancel()
                logger.warning("A hook took too long at the end of its session, and was cancelled")
        if not task.done():
            await asyncio.wait([task], timeout=grace_s)

    def _call(self, hook: Callable[..., Any], *arguments: Any) -> None:
        if self._closed:
            return
        if len(self._waiting) >= MOST_WAITING:
            if not self._dropped:
                logger.warning("More than %d hooks wait; further ones are dropped", MOST_WAITING)
            self._dropped = True
            return
        self._waiting.append((hook, arguments))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="hooks of a realtime session")

    async def _work(self) -> None:
        try:
            while self._waiting:
                hook, arguments = self._waiting.pop(0)
                try:
                    await call_user_code(hook, *arguments)
                except Exception as error:
                    # The type alone: an exception's text may hold what the caller said.
                    logger.warning("The hook %s raised %s", hook.__qualname__, type(error).__name__)
                    logger.debug("A hook raised", exc_info=error)
        finally:
            self._task = None
