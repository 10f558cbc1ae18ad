"""Tools of the front desk. In a real practice these would ask its calendar."""

from __future__ import annotations

from typing import Literal

Treatment = Literal["checkup", "cleaning", "filling", "emergency"]

_NEXT_FREE: dict[Treatment, str] = {
    "checkup": "Tuesday at ten fifteen",
    "cleaning": "Thursday at two thirty",
    "filling": "Friday at nine",
    "emergency": "today at noon",
}


def next_free_slot(treatment: Treatment) -> str:
    """Look up the next free appointment.

    Args:
        treatment: What the caller needs; a checkup if they do not say.
    """
    return _NEXT_FREE[treatment]
