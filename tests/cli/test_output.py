from __future__ import annotations

import io

import pytest

from sipagent.cli.output import SafeConsole, print_table

HEAD = ("call", "from", "agent", "ended because")
ROWS = (
    ("rtc_u1_5569348ce1ab03047ccf1369a62ffcf5", "+15550100123", "front-desk", "caller_unresponsive"),
    ("rtc_u1_5569348ce1ab03047ccf1369a62ffcf6", "–", "night", "agent_hung_up"),
)


def printed(width: int) -> list[str]:
    out = SafeConsole(file=io.StringIO(), width=width, highlight=False, markup=False, soft_wrap=True)
    print_table(out, HEAD, ROWS)
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def test_where_there_is_room_it_is_a_table() -> None:
    head, first, second = printed(120)
    assert head.split() == ["call", "from", "agent", "ended", "because"]
    assert first.index("front-desk") == second.index("night") == head.index("agent")


@pytest.mark.parametrize("width", [20, 40, 60, 87])
def test_where_there_is_none_nothing_is_cut_off(width: int) -> None:
    lines = printed(width)
    assert "…" not in "".join(lines)
    assert [line for line in lines if not line.startswith(" ")] == ["call", ROWS[0][0], ROWS[1][0]]
    words = " ".join(lines).split()
    assert not [cell for row in ROWS for cell in row if cell not in words]


def test_what_fits_exactly_is_a_table_still() -> None:
    width = max(len(line) for line in printed(200)) + 1
    assert len(printed(width)) == 3
    assert len(printed(width - 2)) > 3
