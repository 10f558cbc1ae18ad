"""Claims of single calls."""

from __future__ import annotations

from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallLeases


async def claim_one(memory: CallLeases, call_id: CallId, worker: WorkerId, *, webhook: str) -> bool:
    """`CallLeases.claim_all` for one call: whether it belongs to ``worker`` now."""
    return call_id in await memory.claim_all(worker, {call_id: webhook})
