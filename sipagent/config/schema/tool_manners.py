"""How a tool behaves towards the caller: what all kinds of tools have in common."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sipagent.config.schema.base import Duration, Entry, Text, refuse


class ToolManners(Entry):
    """How a tool behaves towards the caller who waits for it."""

    timeout_s: Duration | None = Field(default=None, alias="timeout")
    """The model is told that the tool failed when it takes longer; the caller hears silence meanwhile."""
    filler: Text | None = None
    """Said when the tool takes longer than its ``patience``: ``One moment.``"""
    patience_s: Duration | None = Field(default=None, alias="patience")
    """How long a tool may take before its ``filler`` is said."""
    confirm: Text | None = None
    """Asked of the caller before the tool runs: ``Shall I book that?``"""
    side_effects: bool | None = None
    """It changes something in the world, so it runs at most once for the same arguments; by default so for
    HTTP requests other than GET and HEAD."""

    @model_validator(mode="after")
    def _patience_for_a_filler(self) -> Self:
        if self.patience_s is not None and self.filler is None:
            raise refuse(
                "`patience` has no `filler` to wait for.", "Add `filler:` with words to say, or remove it."
            )
        return self
