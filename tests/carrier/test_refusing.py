"""The line of a call that was refused: there for the record, and for nothing else."""

from __future__ import annotations

import pytest

from sipagent.carrier.refusing import RefusingLine
from sipagent.errors import CallGoneError


async def test_it_can_be_refused_and_nothing_else() -> None:
    line = RefusingLine()
    await line.reject(603, deadline=0)
    assert line.kind == "none"
    assert line.carrier is None
    with pytest.raises(CallGoneError):
        await line.accept(None, deadline=0)  # type: ignore[arg-type]
    with pytest.raises(CallGoneError):
        await line.refer("tel:+15550100199")
    with pytest.raises(CallGoneError):
        await line.hang_up(None)  # type: ignore[arg-type]
    line.consented("Recorded.")
    line.close(None)
