"""Keeps the checkpoint of one call: what another process needs to go on with it, written as it changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sipagent.calls.checkpoint import Checkpoint, ToolUnderWay, encode
from sipagent.identifiers import CallId
from sipagent.store import CallCheckpointed, Fact


class CheckpointKeeper:
    """The checkpoint of one call, in the hands of its present holder."""

    def __init__(
        self,
        call_id: CallId,
        first: Checkpoint,
        *,
        epoch: int,
        record: Callable[[Fact], None],
        utc_now: Callable[[], datetime],
    ) -> None:
        """``epoch`` counts the holders of the call, from 1. ``first`` is not written by itself."""
        self._call_id = call_id
        self._now = first
        self._record = record
        self._utc_now = utc_now
        self._written = 0
        self.epoch = epoch
        """The number of this holder."""

    @property
    def now(self) -> Checkpoint:
        """How far the call has come."""
        return self._now

    def change(self, **changes: Any) -> None:
        """Some fields of the checkpoint are others now. Nothing is written when they are not."""
        now = self._now
        if all(getattr(now, name) == value for name, value in changes.items()):
            return
        self._now = now.with_(**changes)
        self.write()

    def write(self) -> None:
        """Write how far the call has come."""
        self._written += 1
        self._record(
            CallCheckpointed(
                call_id=self._call_id,
                epoch=self.epoch,
                sequence=self._written,
                at=self._utc_now(),
                data=encode(self._now),
            )
        )

    def tool_began(self, tool_call_id: str, name: str, arguments: str) -> None:
        """A tool runs, and the model waits for its output."""
        self.change(tools={**self._now.tools, tool_call_id: ToolUnderWay(name=name, arguments=arguments)})

    def tool_ended(self, tool_call_id: str) -> None:
        """The model has its output."""
        tools = {**self._now.tools}
        tools.pop(tool_call_id, None)
        self.change(tools=tools)
