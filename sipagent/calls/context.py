"""What tools, dynamic instructions and guardrails know of their call, and what they may do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from sipagent.calls.profile import TransferTarget
from sipagent.calls.tools.state import ToolState
from sipagent.identifiers import CallId
from sipagent.realtime import RunContextWrapper


class Effects(Protocol):
    """Asked before, and told after, everything that a tool does in the world."""

    async def begin(self, tool_call_id: str, key: str) -> None:
        """Return when the work may begin; raises `ToolFailureError` when it may not. Cancel-safe."""

    async def end(self, tool_call_id: str, key: str, *, state: str, outcome: Any) -> None:
        """The work that was begun has ended. Raises nothing of its own; cancelled, the entry stays open."""


class CallControls(Protocol):
    """What a tool may do with its call."""

    @property
    def agent_is_busy(self) -> bool:
        """Whether the agent can be heard, is about to be, or has been asked for an answer."""

    async def finish_speaking(self) -> None:
        """Return when what the agent has said was heard to its end, or after a bound. Cancel safe."""

    async def transfer(self, target: TransferTarget, briefing: str = "") -> str:
        """Send the caller to ``target``; returns only when that failed, with what to tell the agent. Whoever
        is called before the caller is let go of is told ``briefing``.

        Raises nothing of its own; on success the call ends, and with it the task that waits here.
        """

    async def speak(self, words: str) -> None:
        """Have the agent speak exactly ``words``, as soon as it may speak; returns when that is asked for.

        Raises `ConnectionLostError` when the call is over. Cancel safe.
        """

    async def interrupt(self) -> None:
        """Cut the agent off now. Raises and may be cancelled as `speak`."""

    async def tell(self, text: str) -> None:
        """Tell the model something, without asking it to speak. Raises and may be cancelled as `speak`."""

    async def update_session(self, changes: Mapping[str, Any]) -> None:
        """Change parts of the session, named as the API names them; all others stay.

        Raises and may be cancelled as `speak`. A server that refuses reports an error, and changes nothing.
        """

    def note(self, kind: str, **data: Any) -> None:
        """Write something into the record of the call: what JSON can hold, and never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What tools and dynamic instructions know of the call they serve; ``ToolContext.context``."""

    call_id: CallId
    caller: str | None
    dialled: str | None
    sip_headers: tuple[tuple[str, str], ...]
    controls: CallControls
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the names of templates stand for in this call, those without a value left out; SIP headers in
    lower case: ``sip.x-customer``. Strangers may have chosen some of the values; all are on one line."""
    http: aiohttp.ClientSession | None = field(default=None, repr=False, compare=False)
    """Connections for the requests of tools, shared by all calls; None opens some for each request."""
    tools: ToolState = field(default_factory=ToolState, repr=False, compare=False)
    """What the tools of this call remember."""
    effects: Effects | None = field(default=None, repr=False, compare=False)
    """Asked before anything is done in the world, where several processes share the calls."""

    @property
    def values(self) -> Mapping[str, str]:
        """`variables`, and what tools have found out since: ``digits.NAME`` is what the caller typed."""
        return {**self.variables, **self.tools.values}


def call_of(context: RunContextWrapper[Any]) -> CallContext:
    """The call that a tool serves. Raises `AssertionError` outside of a telephone call."""
    call = context.context
    assert isinstance(call, CallContext), "call tools run inside a telephone call only"
    return call
