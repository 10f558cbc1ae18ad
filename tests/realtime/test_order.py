"""Items stand where the server put them, and move only when it turns out that they stood wrong."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.identifiers import ItemId
from sipagent.realtime.order import ItemOrder

RUNS = settings(max_examples=200, deadline=None, derandomize=True)


def name(number: int) -> ItemId:
    return ItemId(f"item_{number}")


ONE, TWO, THREE, FOUR, FIVE = (name(number) for number in range(1, 6))


def check(order: ItemOrder) -> None:
    positions = [order.positions[each] for each in order.ids]
    assert positions == sorted(set(positions)), "positions must say the same as the order"
    assert set(order.positions) == set(order.ids)


def test_the_first_item_stands_before_those_that_wait_for_their_predecessors() -> None:
    order = ItemOrder()
    order.add(THREE, TWO, placed=True)
    order.add(ONE, None, placed=True)
    assert order.ids == [ONE, THREE]
    order.add(TWO, ONE, placed=True)
    assert order.ids == [ONE, TWO, THREE]


def test_an_item_that_turns_out_to_be_the_first_goes_there() -> None:
    order = ItemOrder()
    order.add(THREE, TWO, placed=True)
    order.add(ONE, None, placed=False)
    assert order.ids == [THREE, ONE]
    assert order.place(ONE, None)
    assert order.ids == [ONE, THREE]


def test_a_server_that_never_names_a_predecessor_is_followed_in_its_order() -> None:
    order = ItemOrder()
    for each in (ONE, TWO, THREE):
        order.add(each, None, placed=True)
    assert order.ids == [ONE, TWO, THREE]


def test_an_item_stands_before_those_that_named_it_and_they_move_with_all_behind_them() -> None:
    order = ItemOrder()
    order.add(FOUR, THREE, placed=True)
    order.add(FIVE, FOUR, placed=True)
    order.add(TWO, ONE, placed=True)
    assert order.ids == [FOUR, FIVE, TWO]
    assert set(order.add(THREE, TWO, placed=True)) == {FOUR, FIVE}
    assert order.ids == [TWO, THREE, FOUR, FIVE]
    assert order.add(ONE, None, placed=True) == [], "nobody need move"
    assert order.ids == [ONE, TWO, THREE, FOUR, FIVE]
    check(order)


def test_of_two_that_wait_for_the_same_the_later_stands_nearer() -> None:
    # As at the server: what is put behind an item comes right behind it.
    order = ItemOrder()
    order.add(TWO, ONE, placed=True)
    order.add(THREE, ONE, placed=True)
    order.add(ONE, None, placed=True)
    assert order.ids == [ONE, THREE, TWO]


def test_a_place_is_believed_once() -> None:
    order = ItemOrder()
    order.add(ONE, None, placed=True)
    order.add(TWO, None, placed=False)
    order.add(THREE, ONE, placed=True)
    assert order.is_unplaced(TWO)
    assert not order.is_unplaced(THREE)
    assert order.place(TWO, ONE) == [TWO]
    assert order.ids == [ONE, TWO, THREE]
    assert order.place(TWO, THREE) == []
    assert order.ids == [ONE, TWO, THREE]


def test_an_item_finds_its_place_behind_one_that_never_comes() -> None:
    order = ItemOrder()
    order.add(ONE, None, placed=True)
    order.expect(TWO, ONE)
    order.expect(THREE, TWO)
    order.add(FIVE, ONE, placed=True)
    order.add(FOUR, THREE, placed=True)
    assert order.ids == [ONE, FOUR, FIVE]
    order.add(TWO, ONE, placed=True)
    assert order.ids == [ONE, TWO, FOUR, FIVE], "should it come after all"
    order = ItemOrder()
    order.expect(ONE, None)
    order.add(THREE, None, placed=False)
    order.add(TWO, ONE, placed=True)
    assert order.ids == [TWO, THREE]


def test_an_item_behind_a_first_one_that_is_gone_stands_first() -> None:
    order = ItemOrder()
    order.add(ONE, None, placed=True)
    order.add(FOUR, None, placed=False)
    order.remove(ONE)
    order.add(THREE, None, placed=False)
    assert order.place(THREE, ONE)
    assert order.ids == [THREE, FOUR]
    order.add(TWO, ONE, placed=True)
    assert order.ids == [TWO, THREE, FOUR]
    check(order)


def test_items_that_are_expected_behind_each_other_wait_for_nobody() -> None:
    order = ItemOrder()
    order.expect(ONE, TWO)
    order.expect(TWO, ONE)
    order.add(THREE, ONE, placed=True)
    order.add(FOUR, THREE, placed=True)
    assert order.ids == [THREE, FOUR]


def test_items_that_name_each_other_stay_where_they_are() -> None:
    order = ItemOrder()
    order.add(ONE, TWO, placed=True)
    order.add(TWO, ONE, placed=True)
    order.add(THREE, THREE, placed=True)
    assert sorted(order.ids) == [ONE, TWO, THREE]
    check(order)


def test_positions_do_not_run_out() -> None:
    order = ItemOrder()
    order.add(name(0), None, placed=True)
    for number in range(1, 200):
        order.add(name(number), name(0), placed=True)
        check(order)
    assert order.ids == [name(0), *(name(number) for number in range(199, 0, -1))]


@RUNS
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=40))
def test_in_the_servers_own_order_nothing_ever_moves(steps: list[tuple[int, bool]]) -> None:
    order = ItemOrder()
    expected: list[ItemId] = []
    gone: dict[ItemId, ItemId | None] = {}
    for number, (place, takes_out) in enumerate(steps):
        item_id = name(number)
        if not expected:
            assert order.add(item_id, None, placed=True) == []
            expected.append(item_id)
            continue
        chosen = expected[place % len(expected)]
        if takes_out and len(expected) > 1:
            gone[chosen] = None
            expected.remove(chosen)
            order.remove(chosen)
        else:
            before = dict(order.positions)
            assert order.add(item_id, chosen, placed=True) == []
            expected.insert(expected.index(chosen) + 1, item_id)
            assert before.items() <= order.positions.items()
        assert order.ids == expected
        check(order)


@RUNS
@given(st.integers(1, 8).flatmap(lambda count: st.permutations(range(count))), st.data())
def test_a_chain_is_whole_whatever_order_it_comes_in(numbers: list[int], data: st.DataObject) -> None:
    order = ItemOrder()
    late: list[int] = []
    never = data.draw(st.sets(st.sampled_from(numbers)))
    for number in data.draw(st.permutations(sorted(never))):
        order.expect(name(number), name(number - 1) if number else None)
    for number in numbers:
        previous = name(number - 1) if number else None
        if number in never:
            continue
        if data.draw(st.booleans()):
            order.add(name(number), previous, placed=True)
        else:
            order.add(name(number), None, placed=False)
            late.append(number)
        check(order)
    for number in late:
        order.place(name(number), name(number - 1) if number else None)
        check(order)
    assert order.ids == [name(number) for number in range(len(numbers)) if number not in never]


@RUNS
@given(st.permutations(range(7)), st.integers(0, 6), st.integers(1, 6))
def test_a_chain_stays_in_order_when_an_item_leaves_it(numbers: list[int], leaves: int, after: int) -> None:
    order = ItemOrder()
    left = False
    for count, number in enumerate(numbers):
        order.add(name(number), name(number - 1) if number else None, placed=True)
        if not left and count >= after and name(leaves) in order:
            order.remove(name(leaves))
            left = True
        check(order)
    expected = [name(number) for number in range(7) if not (left and number == leaves)]
    assert order.ids == expected
