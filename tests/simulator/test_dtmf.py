from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import SimulatorError
from sipagent.simulator.dtmf import (
    DIGITS,
    DigitReader,
    DigitSender,
    EventPacket,
    TelephoneEvent,
    check_digits,
    parse_telephone_event,
)


def frames(sender: DigitSender, *, limit: int = 1000) -> list[EventPacket | None]:
    """Everything the sender wants to send, frame by frame, until it is done."""
    sent: list[EventPacket | None] = []
    while sender.busy:
        sent.append(sender.next_packet(len(sent) * 160))
        assert len(sent) < limit
    return sent


@given(st.sampled_from(DIGITS), st.booleans(), st.integers(0, 2**16 - 1))
def test_what_was_written_is_read(digit: str, ended: bool, duration: int) -> None:
    event = TelephoneEvent(digit=digit, ended=ended, duration=duration)
    assert parse_telephone_event(bytes(event)) == event


def test_the_bytes_are_those_of_the_standard() -> None:
    assert bytes(TelephoneEvent(digit="#", ended=True, duration=0x0280)) == bytes.fromhex("0b8a0280")
    assert bytes(TelephoneEvent(digit="A", ended=False, duration=160)) == bytes.fromhex("0c0a00a0")


@pytest.mark.parametrize("payload", [b"", b"\x01\x00\x00", bytes([16, 0, 0, 160]), bytes([255, 0, 0, 160])])
def test_what_is_no_key_is_nothing(payload: bytes) -> None:
    assert parse_telephone_event(payload) is None
    assert DigitReader().read(payload, 0) is None


def test_a_key_goes_down_grows_and_ends_three_times() -> None:
    sender = DigitSender()
    sender.press("5")
    sent = frames(sender)
    packets = [packet for packet in sent if packet is not None]
    events = [parse_telephone_event(packet.payload) for packet in packets]
    assert [event.duration for event in events if event] == [*range(160, 1281, 160), 1280, 1280]
    assert [event.ended for event in events if event] == [False] * 7 + [True] * 3
    assert {packet.timestamp for packet in packets} == {0}
    assert [packet.marker for packet in packets] == [True] + [False] * 9
    assert sent[10:] == [None] * 5, "a pause of 100 ms"


def test_equal_keys_stay_two() -> None:
    sender = DigitSender()
    sender.press("7")
    sender.press("7")
    reader = DigitReader()
    heard = [reader.read(packet.payload, packet.timestamp) for packet in frames(sender) if packet]
    assert [digit for digit in heard if digit] == ["7", "7"]
    assert len({packet.timestamp for packet in frames_of("77") if packet}) == 2


def frames_of(digits: str) -> list[EventPacket | None]:
    sender = DigitSender()
    sender.press(digits)
    return frames(sender)


@given(digits=st.text(alphabet=DIGITS, max_size=12), lost=st.sets(st.integers(0, 200)))
def test_a_key_survives_unless_all_its_packets_are_lost(digits: str, lost: set[int]) -> None:
    reader = DigitReader()
    heard = ""
    expected = ""
    packets = [packet for packet in frames_of(digits) if packet is not None]
    for number, digit in enumerate(digits):
        mine = range(number * 10, number * 10 + 10)
        expected += "" if lost.issuperset(mine) else digit
        for index in mine:
            if index not in lost:
                heard += reader.read(packets[index].payload, packets[index].timestamp) or ""
    assert heard == expected


def test_letters_may_be_small_and_nonsense_is_refused() -> None:
    assert check_digits("a1#") == "A1#"
    with pytest.raises(SimulatorError, match="'x' is no telephone key"):
        DigitSender().press("1x")
    sender = DigitSender()
    with pytest.raises(SimulatorError, match="at most 256"):
        sender.press("1" * 257)
    assert not sender.busy
