from __future__ import annotations

import pytest

from sipagent.config.broken import Broken
from sipagent.config.source import KeyPath

BROKEN = Broken(
    parts=frozenset({("agents", "ann", "tools", 1), ("agents", "bob"), ("calendars",)}),
    origin={("agents", "ann", "tools", 1): ("agents", "ann", "tools", 2)},
)


@pytest.mark.parametrize(
    ("path", "explained"),
    [
        (("agents", "ann"), True),
        (("agents", "ann", "tools"), True),
        (("agents", "ann", "tools", 1), False),
        (("agents", "ann", "greeting"), False),
        (("agents", "bob", "greeting"), False),
        (("agents",), True),
        (("routes", 0), False),
    ],
)
def test_a_mistake_may_come_of_what_is_missing_below_it(path: KeyPath, explained: bool) -> None:
    assert BROKEN.explains(path) is explained


@pytest.mark.parametrize(
    ("place", "explained"),
    [
        (("calendars", "office"), True),
        (("agents", "bob", "description"), True),
        (("agents", "ann", "tools"), True),
        (("agents", "ann", "handoffs"), False),
        (("agents", "eve"), False),
    ],
)
def test_or_of_what_is_missing_where_it_looked(place: KeyPath, explained: bool) -> None:
    assert BROKEN.explains(("routes", 0, "agent"), [("limits",), place]) is explained


def test_nothing_is_explained_by_nothing() -> None:
    assert not Broken().explains((), [("agents",)])


def test_what_is_missing_has_names() -> None:
    assert BROKEN.names(("agents",)) == ("bob",)
    assert BROKEN.names(("agents", "ann", "tools")) == ()
