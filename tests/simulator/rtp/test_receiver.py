from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.g711 import pcma_to_pcmu
from sipagent.simulator.dtmf import TelephoneEvent
from sipagent.simulator.rtp.packet import RtpPacket
from sipagent.simulator.rtp.receiver import (
    SILENT_FRAME,
    AudioFrame,
    DigitPressed,
    MediaFormat,
    Received,
    RtpReceiver,
)

FORMAT = MediaFormat(codec="PCMU", payload_type=0, telephone_event=101)


def packet(number: int, *, timestamp: int | None = None, ssrc: int = 7, size: int = 160) -> RtpPacket:
    return RtpPacket(
        payload_type=0,
        sequence=number % 2**16,
        timestamp=(number * 160 if timestamp is None else timestamp) % 2**32,
        ssrc=ssrc,
        payload=bytes([number % 100]) * size,
    )


def key(number: int, digit: str, *, timestamp: int, ended: bool = False) -> RtpPacket:
    event = TelephoneEvent(digit=digit, ended=ended, duration=160)
    return replace(packet(number), payload_type=101, timestamp=timestamp, payload=bytes(event))


def feed(receiver: RtpReceiver, packets: Iterable[RtpPacket]) -> list[Received]:
    heard: list[Received] = []
    for index, each in enumerate(packets):
        heard += receiver.receive(each, index * 0.02)
    return heard


def numbers(heard: Iterable[Received]) -> list[int]:
    """The first byte of each frame; 255 is silence."""
    return [each.ulaw[0] for each in heard if isinstance(each, AudioFrame)]


def test_frames_in_order_pass_at_once() -> None:
    receiver = RtpReceiver(FORMAT)
    for number in range(5):
        assert numbers(receiver.receive(packet(number), number * 0.02)) == [number]
    assert (receiver.frames_received, receiver.frames_lost, receiver.jitter_ms) == (5, 0, 0.0)


def test_an_overtaken_packet_is_put_in_its_place() -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, map(packet, [0, 2, 3, 1, 4]))
    assert numbers(heard) == [0, 1, 2, 3, 4]
    assert receiver.frames_lost == 0


def test_a_lost_packet_becomes_silence() -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, map(packet, [0, 1, *range(3, 10)]))
    assert numbers(heard) == [0, 1, 255, *range(3, 10)]
    assert receiver.frames_lost == 1


def test_repeated_and_late_packets_are_dropped() -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, map(packet, [0, 1, 1, 3, 3, 4, 5, 6, 7, 2]))
    assert numbers(heard) == [0, 1, 255, 3, 4, 5, 6, 7]


def test_sequence_and_timestamp_wrap_around() -> None:
    receiver = RtpReceiver(FORMAT)
    start = 2**16 - 3
    packets = [packet(start + n, timestamp=2**32 - 320 + n * 160) for n in range(6)]
    assert len(numbers(feed(receiver, packets))) == 6
    assert receiver.frames_lost == 0
    assert SILENT_FRAME[0] not in numbers(
        feed(receiver, [packet(start + 6, timestamp=2**32 - 320 + 6 * 160)])
    )


def test_silence_suppression_is_filled_up() -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, [packet(0), packet(1), packet(2, timestamp=10 * 160)])
    assert numbers(heard) == [0, 1, *[255] * 8, 2]
    assert receiver.frames_lost == 0


def test_silence_given_meanwhile_is_not_given_again() -> None:
    receiver = RtpReceiver(FORMAT)
    feed(receiver, [packet(0), packet(1)])
    concealed = [frame for _ in range(5) for frame in receiver.conceal()]
    assert numbers(concealed) == [255] * 5
    assert numbers(feed(receiver, [packet(2, timestamp=10 * 160)])) == [255] * 3 + [2]
    assert numbers(feed(receiver, [packet(3, timestamp=11 * 160)])) == [3]


def test_what_was_held_back_comes_before_silence() -> None:
    receiver = RtpReceiver(FORMAT)
    assert numbers(feed(receiver, [packet(0), packet(2)])) == [0]
    assert numbers(receiver.conceal()) == [255, 2]
    assert numbers(receiver.conceal()) == [255]
    # The concealed frame stands in for the lost packet 3.
    assert numbers(feed(receiver, [packet(4)])) == []
    assert numbers(receiver.conceal()) == [4]


def test_a_gap_of_minutes_is_not_filled() -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, [packet(0), packet(1, timestamp=160 * 50 * 600)])
    assert len(heard) == 52


def test_a_new_source_starts_afresh() -> None:
    receiver = RtpReceiver(FORMAT)
    feed(receiver, map(packet, range(10)))
    heard = feed(receiver, [packet(n, ssrc=8, timestamp=n * 160 + 12345) for n in range(4000, 4010)])
    assert numbers(heard) == [n % 100 for n in range(4000, 4010)]
    assert (receiver.frames_received, receiver.frames_lost) == (20, 0)


def test_a_restarted_sequence_is_followed() -> None:
    receiver = RtpReceiver(FORMAT)
    feed(receiver, map(packet, range(10)))
    heard = feed(receiver, [packet(n, timestamp=n) for n in (30000,)])
    assert numbers(heard) == [0]
    assert receiver.frames_lost == 0


def test_a_new_source_does_not_swallow_what_was_held_back() -> None:
    receiver = RtpReceiver(FORMAT)
    assert numbers(feed(receiver, [packet(0), packet(2), packet(40, ssrc=8)])) == [0, 255, 2, 40]


def test_losses_are_counted_over_sources() -> None:
    receiver = RtpReceiver(FORMAT)
    feed(receiver, [packet(n) for n in range(100) if n % 10 != 5])
    feed(receiver, [packet(n, ssrc=9) for n in range(100) if n % 10 != 5])
    assert receiver.frames_lost == 20
    assert receiver.frames_received == 180


@pytest.mark.parametrize("size", [80, 240, 320, 100])
def test_other_packet_lengths_are_cut_to_frames(size: int) -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, [packet(n, timestamp=n * size, size=size) for n in range(16)])
    assert len(heard) == 16 * size // 160
    assert all(isinstance(each, AudioFrame) and len(each.ulaw) == 160 for each in heard)
    assert 255 not in numbers(heard)


def test_a_law_is_handed_on_as_mu_law() -> None:
    receiver = RtpReceiver(MediaFormat(codec="PCMA", payload_type=8, telephone_event=None))
    sent = replace(packet(5), payload_type=8)
    assert feed(receiver, [sent]) == [AudioFrame(ulaw=pcma_to_pcmu(sent.payload))]


def test_a_key_counts_once_however_often_it_is_sent() -> None:
    receiver = RtpReceiver(FORMAT)
    packets = [packet(0)]
    packets += [key(n, "5", timestamp=160, ended=n > 4) for n in range(1, 8)]
    packets += [key(n, "5", timestamp=3200, ended=n > 11) for n in range(8, 15)]
    heard = feed(receiver, packets)
    assert [each.digit for each in heard if isinstance(each, DigitPressed)] == ["5", "5"]
    assert receiver.digits == "55"


def test_keys_do_not_count_as_jitter() -> None:
    receiver = RtpReceiver(FORMAT)
    packets = [packet(0), *(key(n, "1", timestamp=160) for n in range(1, 10)), packet(10)]
    feed(receiver, packets)
    assert receiver.jitter_ms == 0.0


def test_comfort_noise_and_unknown_payloads_are_silence() -> None:
    receiver = RtpReceiver(FORMAT)
    heard = feed(receiver, [packet(0), replace(packet(1), payload_type=13, payload=b"\x40"), packet(2)])
    assert numbers(heard) == [0, 255, 2]
    assert receiver.frames_lost == 0


def test_jitter_follows_the_formula_of_the_standard() -> None:
    receiver = RtpReceiver(FORMAT)
    expected = 0.0
    arrivals = [0.0, 0.025, 0.040, 0.063, 0.080]
    transits = [at * 8000 - number * 160 for number, at in enumerate(arrivals)]
    for number, at in enumerate(arrivals):
        list(receiver.receive(packet(number), at))
        if number:
            expected += (abs(transits[number] - transits[number - 1]) - expected) / 16
    assert receiver.jitter_ms == pytest.approx(expected / 8)


@given(
    order=st.permutations(range(30)).flatmap(
        lambda order: st.tuples(st.just(order), st.sets(st.sampled_from(order)))
    )
)
def test_any_order_and_loss_keeps_time_and_order(order: tuple[list[int], set[int]]) -> None:
    shuffled, lost = order
    receiver = RtpReceiver(FORMAT)
    # The first packet founds the source; whatever is older comes too late.
    heard = feed(receiver, [packet(1000), *(packet(1001 + n) for n in shuffled if n not in lost)])
    for _ in range(3):
        heard += receiver.conceal()
    spoken = [number for number in numbers(heard) if number != 255]
    assert spoken == sorted(spoken)
    assert len(heard) <= 31 + 3


@given(
    st.lists(
        st.builds(
            RtpPacket,
            payload_type=st.sampled_from([0, 101, 13]),
            sequence=st.integers(0, 2**16 - 1),
            timestamp=st.integers(0, 2**32 - 1),
            ssrc=st.integers(0, 2),
            payload=st.binary(max_size=200),
        ),
        max_size=60,
    )
)
def test_no_packets_make_it_fail(packets: list[RtpPacket]) -> None:
    receiver = RtpReceiver(FORMAT)
    for each in feed(receiver, packets):
        assert isinstance(each, DigitPressed) or len(each.ulaw) == 160
    assert receiver.frames_lost >= 0
    assert receiver.jitter_ms >= 0
