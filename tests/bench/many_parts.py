"""What the processor time of many sessions is made of, by measurement.

Contenders that do more and more of what a session does (`tests.bench.many_contenders.STEPS`) hear the same
crowd; what each adds to the one before is the price of what it does more. The kernel's part is its own
account of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table

from tests.bench.many_contenders import ON_UVLOOP, STEPS

PARTS = ("kernel", "loop and picows", "decoding", "model and session", "waking who reads")


class Measured(Protocol):
    """What is looked at of a result."""

    @property
    def name(self) -> str: ...
    @property
    def sessions(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def cpu(self) -> float: ...
    @property
    def kernel(self) -> float: ...
    @property
    def held_up(self) -> float: ...


def steps_of(able: Sequence[str]) -> list[str]:
    """The steps on each loop that one of ``able`` stands for, in order."""
    full = list(STEPS)[-1]
    suffixes = [suffix for suffix in ("", ON_UVLOOP) if f"{full}{suffix}" in able]
    return [f"{step}{suffix}" for suffix in suffixes for step in STEPS]


def parts(steps: Sequence[Measured]) -> dict[str, float]:
    """`PARTS` as shares of one core; ``steps`` are those of one loop, in order. The parts make up the last
    of them; one that a busy machine measured too small may be below zero."""
    first = steps[0]
    shares = [first.kernel, first.cpu - first.kernel]
    shares += [more.cpu - less.cpu for less, more in zip(steps, steps[1:], strict=False)]
    return dict(zip(PARTS, shares, strict=True))


def show_parts(results: Sequence[Measured]) -> None:
    """The table; nothing when there are no ``results``."""
    if not results:
        return
    table = Table(
        title=f"What the time of {results[0].sessions} sessions on picows is made of, in cores\n"
        "each part is what a contender that does that too needs more than one that does not",
        title_justify="left",
    )
    for column in ("loop", *PARTS, "together", "held up at most"):
        table.add_column(column, justify="right", no_wrap=True)
    for suffix, loop in (("", "asyncio"), (ON_UVLOOP, "uvloop")):
        steps = [one for one in results if one.name in {f"{step}{suffix}" for step in STEPS}]
        if steps:
            table.add_row(
                loop,
                *(f"{share:.3f}" for share in parts(steps).values()),
                f"{steps[-1].cpu:.3f}",
                f"{max(one.held_up for one in steps):.0%}",
            )
    Console(width=150).print(table)
