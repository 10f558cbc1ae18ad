"""The caller's audio in its order."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.ordering import MOST_HELD, MOST_IN_VAIN, MOST_LATE, InOrder
from sipagent.carrier.stream import CallerAudio


def piece(number: int | None) -> CallerAudio:
    return CallerAudio(audio=b"x", sequence=number)


def taken(order: InOrder, numbers: Iterable[int | None]) -> list[list[int | None]]:
    return [[each.sequence for each in order.take(piece(number))] for number in numbers]


def test_what_comes_in_its_turn_goes_on_at_once() -> None:
    order = InOrder()
    assert taken(order, range(7, 100)) == [[number] for number in range(7, 100)]
    assert taken(InOrder(), [None, None]) == [[None], [None]]


def test_what_comes_too_early_waits_for_what_is_missing() -> None:
    order = InOrder()
    assert taken(order, [1, 3, 2, 4, 7, 6, 5, 8]) == [[1], [], [2, 3], [4], [], [], [5, 6, 7], [8]]
    assert order.late == 0


def test_what_is_lost_is_given_up_soon_and_dropped_when_it_comes_late() -> None:
    order = InOrder()
    assert taken(order, [1, 3, 4, 5, 6, 7]) == [[1], [], [], [], [3, 4, 5, 6], [7]]
    assert taken(order, [2, 8]) == [[], [8]]
    assert order.late == 1


def test_a_carrier_that_counts_otherwise_is_not_waited_for() -> None:
    order = InOrder()
    numbers = range(0, 200, 2)
    going = taken(order, numbers)
    assert [number for each in going for number in each] == list(numbers)
    assert all(len(each) == 1 for each in going[(MOST_HELD + 1) * MOST_IN_VAIN + 1 :])


def test_another_count_begins_anew() -> None:
    order = InOrder()
    assert taken(order, [5000, 5002, 1, 2]) == [[5000], [], [5002, 1], [2]]


def test_a_count_that_begins_anew_is_soon_followed() -> None:
    order = InOrder()
    taken(order, range(1, 500))
    going = taken(order, [*range(1, 200)])
    assert sum(map(len, going[: MOST_LATE - 1])) == 0
    assert [number for each in going for number in each] == list(range(MOST_LATE, 200))


def test_what_comes_twice_is_dropped_however_often_it_does() -> None:
    order = InOrder()
    numbers = [each for number in range(1, 100) for each in (number, number)]
    assert [number for each in taken(order, numbers) for number in each] == list(range(1, 100))
    repeated = InOrder()
    taken(repeated, range(1, 50))
    assert [number for each in taken(repeated, [7] * 40) for number in each] == []


@given(st.permutations(range(12)).map(lambda order: [100, *(101 + each for each in order)]))
def test_nothing_is_doubled_and_what_goes_on_is_in_order(numbers: list[int]) -> None:
    order = InOrder()
    going = [
        number for each in taken(order, [*numbers, *range(113, 120)]) for number in each if number is not None
    ]
    assert going == sorted(set(going))
    assert len(going) + order.late == len(numbers) + 7
