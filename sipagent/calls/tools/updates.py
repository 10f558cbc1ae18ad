"""Changing a part of a session that goes on, and leaving the rest of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sipagent.realtime import RealtimeModelSendRawMessage


def partial_update(changes: Mapping[str, Any]) -> RealtimeModelSendRawMessage:
    """A ``session.update`` with ``changes`` alone, which are named as the API names them.

    The server keeps what is not named (API reference, ``session.update``).
    """
    session = {**changes, "type": "realtime"}
    return RealtimeModelSendRawMessage(message={"type": "session.update", "other_data": {"session": session}})
