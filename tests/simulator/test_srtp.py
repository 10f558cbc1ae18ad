from __future__ import annotations

import sys

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.rtp.packet import RtpPacket
from sipagent.simulator.srtp import MASTER_KEY_BYTES, SrtpPair, SrtpSuite, new_master_key, srtp_available


def packet(number: int) -> bytes:
    return bytes(
        RtpPacket(payload_type=0, sequence=number, timestamp=number * 160, ssrc=5, payload=b"s" * 160)
    )


def pair(suite: SrtpSuite | str, one: bytes, other: bytes) -> tuple[SrtpPair, SrtpPair]:
    return (
        SrtpPair(suite=suite, send_key=one, receive_key=other),
        SrtpPair(suite=suite, send_key=other, receive_key=one),
    )


@pytest.mark.parametrize(
    ("suite", "tag_bytes"),
    [(SrtpSuite.AES_CM_128_HMAC_SHA1_80, 10), (SrtpSuite.AES_CM_128_HMAC_SHA1_32, 4)],
)
def test_what_is_encrypted_is_read_by_the_peer_alone(suite: SrtpSuite, tag_bytes: int) -> None:
    ours, theirs = pair(suite, new_master_key(), new_master_key())
    stranger, _ = pair(suite, new_master_key(), new_master_key())
    for number in range(5):
        secret = ours.protect(packet(number))
        assert len(secret) == len(packet(number)) + tag_bytes
        assert b"ssss" not in secret
        assert theirs.unprotect(secret) == packet(number)
        assert stranger.unprotect(secret) is None


def test_the_bytes_are_those_of_the_standard() -> None:
    # Master key and salt of RFC 3711 appendix B.3, with the packet every implementation makes of them.
    key = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139" + "0ec675ad498afeebb6960b3aabe6")
    ours, theirs = pair("AES_CM_128_HMAC_SHA1_80", key, key)
    clear = bytes.fromhex("800f1234decafbadcafebabe" + "ab" * 16)
    secret = bytes.fromhex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb")
    assert ours.protect(clear) == secret
    assert theirs.unprotect(secret) == clear


def test_replayed_forged_and_broken_packets_are_nothing() -> None:
    ours, theirs = pair("AES_CM_128_HMAC_SHA1_80", new_master_key(), new_master_key())
    secret = ours.protect(packet(1))
    assert theirs.unprotect(secret[:-1] + bytes([secret[-1] ^ 1])) is None
    assert theirs.unprotect(secret) == packet(1)
    assert theirs.unprotect(secret) is None
    assert theirs.unprotect(packet(2)) is None
    assert theirs.unprotect(b"") is None
    assert theirs.unprotect(bytes(3000)) is None


def test_a_repeated_sequence_number_is_our_mistake() -> None:
    ours, _ = pair("AES_CM_128_HMAC_SHA1_80", new_master_key(), new_master_key())
    ours.protect(packet(1))
    with pytest.raises(SimulatorError, match="could not be encrypted"):
        ours.protect(packet(1))


def test_keys_are_long_enough_and_differ() -> None:
    assert len(new_master_key()) == MASTER_KEY_BYTES
    assert new_master_key() != new_master_key()
    with pytest.raises(SimulatorError, match="30 bytes, this one 16"):
        SrtpPair(suite="AES_CM_128_HMAC_SHA1_80", send_key=bytes(30), receive_key=bytes(16))


def test_an_unknown_suite_is_refused() -> None:
    with pytest.raises(SimulatorError, match="not supported"):
        SrtpPair(suite="AEAD_AES_256_GCM", send_key=bytes(30), receive_key=bytes(30))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert srtp_available()
    monkeypatch.setitem(sys.modules, "pylibsrtp", None)
    with pytest.raises(SimulatorError, match=r"sipagent\[srtp\]"):
        SrtpPair(suite="AES_CM_128_HMAC_SHA1_80", send_key=bytes(30), receive_key=bytes(30))
