"""The notation of the fault menu."""

from __future__ import annotations

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.faults import Fault, FaultSet


def test_names_and_values_are_read() -> None:
    faults = FaultSet.parse("webhook_late=4.5, ACCEPT_500 = 2 ,socket_stalled")
    assert Fault.WEBHOOK_LATE in faults
    assert faults.seconds(Fault.WEBHOOK_LATE) == 4.5
    assert Fault.SOCKET_STALLED in faults
    assert Fault.REFER_LOST not in faults


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_nothing_is_an_empty_set(text: str) -> None:
    assert not FaultSet.parse(text)


def test_every_fault_can_be_named_and_printed() -> None:
    every = ", ".join(Fault)
    faults = FaultSet.parse(every)
    assert set(faults.values) == set(Fault)
    assert str(faults) == every


def test_a_printed_set_reads_as_itself() -> None:
    faults = FaultSet.parse("accept_slow=2.25, accept_429=3, malformed_event")
    assert FaultSet.parse(str(faults)) == faults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("webhook_lost", "no fault 'webhook_lost'"),
        ("=3", "no fault ''"),
        ("socket_dropped=1", "takes no value"),
        ("webhook_late=soon", "give seconds"),
        ("webhook_late=-1", "give seconds"),
        ("webhook_late=nan", "give seconds"),
        ("accept_500=0", "number of tries"),
        ("accept_500=1.5", "number of tries"),
        ("accept_500=", "number of tries"),
        ("accept_500=inf", "number of tries"),
    ],
)
def test_what_cannot_be_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(SimulatorError, match=words):
        FaultSet.parse(text)


def test_a_duration_without_a_number_is_a_few_seconds_and_without_the_fault_none() -> None:
    assert FaultSet.parse("accept_slow").seconds(Fault.ACCEPT_SLOW) > 0
    assert FaultSet.parse("").seconds(Fault.ACCEPT_SLOW) == 0


def test_a_limited_fault_strikes_only_the_first_tries() -> None:
    limited = FaultSet.parse("accept_500=2")
    assert [limited.strikes(Fault.ACCEPT_500, tries=tries) for tries in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert FaultSet.parse("accept_500").strikes(Fault.ACCEPT_500, tries=99)
    assert not FaultSet.parse("").strikes(Fault.ACCEPT_500, tries=0)


def test_of_two_sets_the_right_number_counts() -> None:
    both = FaultSet.parse("webhook_late=1, refer_lost") | FaultSet.parse("webhook_late=9")
    assert both.seconds(Fault.WEBHOOK_LATE) == 9
    assert Fault.REFER_LOST in both


def test_several_headers_are_one_set() -> None:
    assert FaultSet.parse_all(["refer_lost", "accept_404"]) == FaultSet.of(Fault.REFER_LOST, Fault.ACCEPT_404)
