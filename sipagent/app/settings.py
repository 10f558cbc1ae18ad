"""What a service is told at its start, and what it tells of conversations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sipagent.calls import CallSettings
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.identifiers import CallId, ItemId


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Where the service listens and how patient it is."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one; `Service.port` tells which."""
    drain_timeout_s: float = 60.0
    """How long live calls may go on after SIGTERM."""
    hands_over: bool = True
    """Whether live calls go to other workers after SIGTERM, where there are some."""
    shift: ShiftSettings = field(default_factory=ShiftSettings)
    store_timeout_s: float = 2.0
    """How long `/readyz` waits for the database."""
    spill: Path | None = None
    """Folder for what the database does not take at once (`sipagent.store.spill_folder`); without one it
    waits in memory, and is lost with the process."""
    calls: CallSettings = field(default_factory=CallSettings)
    watch_configuration: bool = True
    """Whether the configuration is read again when its files change, or only when somebody asks for it."""
    reload_poll_s: float = 1.0
    """How often its files are looked at."""
    reload_settle_s: float = 0.2
    """How long they hold still before they are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenWords:
    """A few more words of a conversation, as they are spoken; see `Service.observe_words`."""

    call_id: CallId
    item_id: ItemId
    role: Literal["caller", "agent"]
    words: str
