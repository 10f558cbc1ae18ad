"""Who controls a call, and for how long nobody did."""

from __future__ import annotations

import pytest

from sipagent import clock
from sipagent.simulator.controllers import MOST_REMEMBERED, Controllers


class Quiet:
    """A socket of which only its identity matters."""

    def send(self, text: str) -> None:
        raise AssertionError(text)

    def close(self, code: int, reason: str) -> None:
        raise AssertionError(reason)

    def abort(self) -> None:
        raise AssertionError


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    now = {"s": 100.0}
    monkeypatch.setattr(clock, "unix_s", lambda: now["s"])
    return now


def test_only_time_without_any_socket_counts_as_unattended(at: dict[str, float]) -> None:
    controllers, first, second, third = Controllers(), Quiet(), Quiet(), Quiet()
    controllers.attach(first)
    at["s"] = 101
    controllers.attach(second)
    assert controllers.sockets == (first, second)
    at["s"] = 102
    assert controllers.detach(first)
    assert first not in controllers
    at["s"] = 103
    assert controllers.detach(second)
    at["s"] = 105.5
    controllers.attach(third)
    assert controllers.unattended_s == [2.5]
    assert [(each.attached_at_s, each.detached_at_s) for each in controllers.attachments] == [
        (100, 102), (101, 103), (105.5, None)
    ]  # fmt: skip


def test_a_socket_leaves_once(at: dict[str, float]) -> None:
    controllers, socket = Controllers(), Quiet()
    controllers.attach(socket)
    assert controllers.detach(socket)
    at["s"] = 110
    assert not controllers.detach(socket)
    assert controllers.attachments[0].detached_at_s == 100


def test_commands_are_counted_by_socket_and_dated(at: dict[str, float]) -> None:
    controllers, first, second = Controllers(), Quiet(), Quiet()
    dates = [controllers.last_command_at_s]
    controllers.attach(first)
    controllers.attach(second)
    at["s"] = 101
    controllers.command(second)
    at["s"] = 102
    controllers.command(first)
    controllers.command(first)
    dates.append(controllers.last_command_at_s)
    assert dates == [None, 102]
    assert [each.commands for each in controllers.attachments] == [2, 1]


def test_only_the_latest_are_remembered(at: dict[str, float]) -> None:
    controllers = Controllers()
    for number in range(MOST_REMEMBERED + 5):
        at["s"] = 100.0 + number
        socket = Quiet()
        controllers.attach(socket)
        controllers.detach(socket)
    assert len(controllers.attachments) == MOST_REMEMBERED
    assert controllers.attachments[-1].attached_at_s == 100 + MOST_REMEMBERED + 4
    assert len(controllers.unattended_s) == MOST_REMEMBERED
