"""Which event loop a command runs on."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar, get_args

from sipagent.errors import UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")
LoopName = Literal["auto", "asyncio", "uvloop"]
LOOP_NAMES: tuple[str, ...] = get_args(LoopName)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run_on(name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` returns, run on the loop called ``name``; ``auto`` is uvloop where it is installed.

    Raises `UserError` for uvloop where it is not, and what ``work`` raises. An interrupt (Ctrl-C) cancels
    the work, unless it handles that itself, and is raised once it has ended.
    """
    factory = _factory(name)
    logger.info("The event loop is %s", "asyncio's own" if factory is None else "uvloop")
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work())


def _factory(name: str) -> LoopFactory | None:
    """What makes the loop; None for Python's own."""
    if name == "asyncio":
        return None
    try:
        factory: LoopFactory = importlib.import_module("uvloop").new_event_loop
    except ImportError as error:
        if name == "auto":
            return None
        raise UserError(
            "the event loop uvloop is not installed; install sipagent[uvloop], or leave out --loop"
        ) from error
    return factory
