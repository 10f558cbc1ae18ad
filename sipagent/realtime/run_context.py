"""What callables of an agent are given: the user's own context object, and the usage so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sipagent.realtime.usage import Usage

TContext = TypeVar("TContext")


@dataclass(slots=True)
class RunContextWrapper(Generic[TContext]):
    """Wraps the object given as ``context`` to `RealtimeRunner.run`; it is never sent to the model."""

    context: TContext
    usage: Usage = field(default_factory=Usage)
    """Grows as responses end."""
