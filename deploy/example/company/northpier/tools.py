"""Tools of the technician. In a real company they would ask its planning."""

from __future__ import annotations

from typing import Literal

Trouble = Literal["cold", "leak", "error", "noise"]

_NEXT_VISIT: dict[Trouble, str] = {
    "leak": "today between four and six",
    "cold": "tomorrow between eight and ten",
    "error": "tomorrow between ten and twelve",
    "noise": "next Tuesday between eight and ten",
}


def next_visit(trouble: Trouble) -> str:
    """When an engineer can come.

    Args:
        trouble: What is wrong with the heating.
    """
    return _NEXT_VISIT[trouble]
