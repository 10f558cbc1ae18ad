"""What the time of many sessions is made of: the parts are differences, and make up the whole."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.bench.many import measure
from tests.bench.many_contenders import OURS, STEPS
from tests.bench.many_parts import PARTS, parts, show_parts, steps_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    name: str
    cpu: float
    kernel: float = 0.125
    sessions: int = 1000
    sent: int = 200_000
    held_up: float = 0.02


ASYNCIO = [Step(name=name, cpu=0.25 + number / 8) for number, name in enumerate(STEPS)]
UVLOOP = [Step(name=f"{name}, uvloop", cpu=0.125 + number / 16) for number, name in enumerate(STEPS)]


def test_the_parts_are_what_each_step_adds() -> None:
    assert parts(ASYNCIO) == dict(zip(PARTS, (0.125, 0.125, 0.125, 0.125, 0.125), strict=True))
    assert sum(parts(UVLOOP).values()) == UVLOOP[-1].cpu


def test_only_loops_that_are_there_are_measured() -> None:
    assert steps_of(["floor"]) == []
    assert steps_of([f"{OURS}, picows"]) == list(STEPS)
    assert steps_of([f"{OURS}, picows", f"{OURS}, picows, uvloop"]) == [
        *STEPS,
        *(f"{step}, uvloop" for step in STEPS),
    ]


def test_the_table_has_a_line_for_each_loop(capsys: pytest.CaptureFixture[str]) -> None:
    show_parts([])
    assert capsys.readouterr().out == ""
    show_parts([*ASYNCIO, *UVLOOP])
    said = capsys.readouterr().out
    assert "asyncio" in said
    assert "0.625" in said
    assert "uvloop" in said
    assert "0.3125"[:5] in said


@pytest.mark.parametrize("name", list(STEPS))
async def test_every_step_is_sent_its_messages(name: str) -> None:
    result = await measure(name, 2, 1.0, warm_up_s=0.5)
    assert result.sent == 40
    assert result.cpu > 0
    assert (result.lost == 0) is name.startswith(OURS)
