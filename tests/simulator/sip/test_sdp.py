from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.errors import SdpError
from sipagent.simulator.sip.sdp import (
    AudioChoice,
    Codec,
    Direction,
    LocalMedia,
    SrtpPolicy,
    choose_audio,
    parse_sdp,
    write_answer,
    write_offer,
)

KEY = bytes(range(30))
INLINE = base64.b64encode(KEY).decode()
LOCAL = LocalMedia(host="127.0.0.1", port=20000, session_id=7)


def offer(*media: str, session: str = "c=IN IP4 192.0.2.5") -> bytes:
    lines = ["v=0", "o=- 1 1 IN IP4 192.0.2.5", "s=-", session, "t=0 0", *media]
    return "\r\n".join(line for line in lines if line).encode()


def choose(
    data: bytes, *, srtp: SrtpPolicy = "optional", codecs: tuple[Codec, ...] = ("PCMU", "PCMA")
) -> AudioChoice:
    return choose_audio(parse_sdp(data), srtp=srtp, codecs=codecs)


def test_static_payload_types_need_no_rtpmap() -> None:
    choice = choose(offer("m=audio 4000 RTP/AVP 8 0"))
    assert (choice.codec, choice.payload_type, choice.telephone_event) == ("PCMA", 8, None)
    assert (choice.remote_host, choice.remote_port, choice.media_security) == ("192.0.2.5", 4000, "rtp")


def test_the_offered_payload_types_are_used() -> None:
    choice = choose(
        offer(
            "m=audio 4000 RTP/AVP 111 97 118",
            "c=IN IP4 192.0.2.9/127",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:97 PcMu/8000/1",
            "a=rtpmap:118 telephone-event/8000",
            "a=fmtp:118 0-15",
        )
    )
    assert (choice.codec, choice.payload_type, choice.telephone_event) == ("PCMU", 97, 118)
    assert choice.remote_host == "192.0.2.9"


def test_the_answer_mirrors_every_stream() -> None:
    data = offer(
        "m=video 5000 RTP/AVP 96", "m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000",
        "m=audio 4002 RTP/AVP 0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    )  # fmt: skip
    choice = choose(data)
    answer = write_answer(parse_sdp(data), choice, LOCAL)
    assert b"c=IN IP4 127.0.0.1\r\n" in answer
    assert b"a=rtpmap:101 telephone-event/8000\r\n" in answer
    ports = [(media.kind, media.port) for media in parse_sdp(answer).media]
    assert ports == [("video", 0), ("audio", 20000), ("audio", 0), ("application", 0)]
    assert parse_sdp(answer).media[1].formats == ("0", "101")


@pytest.mark.parametrize(
    ("lines", "ours"),
    [
        ([], "sendrecv"),
        (["a=sendonly"], "recvonly"),
        (["a=recvonly"], "sendonly"),
        (["a=inactive"], "inactive"),
        (["c=IN IP4 0.0.0.0"], "inactive"),
    ],
)
def test_direction_is_mirrored(lines: list[str], ours: Direction) -> None:
    data = offer("m=audio 4000 RTP/AVP 0", *lines)
    choice = choose(data)
    assert choice.direction == ours
    assert choice.on_hold is (ours in {"recvonly", "inactive"})
    assert choice.expects_audio is (ours in {"sendrecv", "recvonly"})
    assert f"a={ours}\r\n".encode() in write_answer(parse_sdp(data), choice, LOCAL)


def test_direction_of_the_session_counts_when_the_stream_has_none() -> None:
    assert choose(offer("a=sendonly", "m=audio 4000 RTP/AVP 0")).direction == "recvonly"
    assert choose(offer("a=sendonly", "m=audio 4000 RTP/AVP 0", "a=sendrecv")).direction == "sendrecv"


def test_our_own_hold_narrows_the_answer() -> None:
    data = offer("m=audio 4000 RTP/AVP 0")
    held = LocalMedia(host="127.0.0.1", port=20000, session_id=7, direction="sendonly")
    assert b"a=sendonly\r\n" in write_answer(parse_sdp(data), choose(data), held)


@pytest.mark.parametrize(
    "media",
    [
        ["m=audio 4000 RTP/AVP 9 111", "a=rtpmap:111 opus/48000/2"],
        ["m=audio 0 RTP/AVP 0"],
        ["m=video 4000 RTP/AVP 96"],
        [],
        ["m=audio 4000 RTP/AVP 0", "a=rtpmap:0 iLBC/8000"],
        ["m=audio 4000 RTP/AVP 97", "a=rtpmap:97 PCMU/16000"],
        ["m=audio 4000 RTP/SAVP 0"],
        ["m=audio 4000 RTP/SAVP 0", "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:" + INLINE],
        ["m=audio 4000 TCP/MSRP 0"],
    ],
)
def test_what_we_cannot_speak_is_refused(media: list[str]) -> None:
    with pytest.raises(SdpError):
        choose(offer(*media))


def test_without_an_address_there_is_no_call() -> None:
    data = offer("m=audio 4000 RTP/AVP 0", session="")
    with pytest.raises(SdpError, match="c= line"):
        choose(data)
    assert choose_audio(parse_sdp(data), default_host="192.0.2.1").remote_host == "192.0.2.1"


def test_the_first_speakable_stream_wins() -> None:
    assert choose(offer("m=audio 4000 RTP/AVP 9", "m=audio 4002 RTP/AVP 0")).index == 1


def test_codecs_can_be_limited() -> None:
    data = offer("m=audio 4000 RTP/AVP 0 8")
    assert choose(data, codecs=("PCMA",)).codec == "PCMA"


# Encryption


def crypto_line(
    tag: int = 1, suite: str = "AES_CM_128_HMAC_SHA1_80", key: str = INLINE, more: str = ""
) -> str:
    return f"a=crypto:{tag} {suite} inline:{key}{more}"


@pytest.mark.parametrize("protocol", ["RTP/SAVP", "RTP/SAVPF", "RTP/AVP"])
def test_keys_are_taken_from_the_offer_and_ours_answer_them(protocol: str) -> None:
    data = offer(
        f"m=audio 4000 {protocol} 0",
        crypto_line(1, "AEAD_AES_256_GCM"),
        crypto_line(2, "AES_CM_128_HMAC_SHA1_32", more="|2^20"),
        crypto_line(3),
    )
    choice = choose(data)
    assert choice.media_security == "srtp"
    assert choice.crypto is not None
    assert (choice.crypto.tag, choice.crypto.suite) == (2, "AES_CM_128_HMAC_SHA1_32")
    assert choice.crypto.key_and_salt == KEY
    ours = LocalMedia(host="127.0.0.1", port=1, session_id=1, key_and_salt=bytes(30))
    answer = write_answer(parse_sdp(data), choice, ours)
    assert f"m=audio 1 {protocol} 0\r\n".encode() in answer
    assert b"a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:" + base64.b64encode(bytes(30)) in answer


@pytest.mark.parametrize(
    "line",
    [
        crypto_line(key="AAAA"),
        crypto_line(key="*" * 40),
        crypto_line(more="|2^20|1:4"),
        crypto_line(more=" UNENCRYPTED_SRTP"),
        "a=crypto:x AES_CM_128_HMAC_SHA1_80 inline:" + INLINE,
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 uri:https://keys.test",
        "a=crypto:",
    ],
)
def test_a_key_we_cannot_use_counts_as_none(line: str) -> None:
    with pytest.raises(SdpError):
        choose(offer("m=audio 4000 RTP/SAVP 0", line))
    assert choose(offer("m=audio 4000 RTP/AVP 0", line)).crypto is None


def test_policies() -> None:
    plain = offer("m=audio 4000 RTP/AVP 0")
    secure = offer("m=audio 4000 RTP/SAVP 0", crypto_line())
    either = offer("m=audio 4000 RTP/AVP 0", crypto_line())
    assert choose(either, srtp="off").crypto is None
    assert choose(either, srtp="required").crypto is not None
    with pytest.raises(SdpError, match="off"):
        choose(secure, srtp="off")
    with pytest.raises(SdpError, match="required"):
        choose(plain, srtp="required")


def test_a_stream_with_dtls_keys_only_is_answered_in_the_clear() -> None:
    data = offer("m=audio 4000 UDP/TLS/RTP/SAVPF 0", "a=fingerprint:sha-256 00:11")
    choice = choose(data)
    assert choice.crypto is None
    assert b"m=audio 20000 RTP/AVP 0\r\n" in write_answer(parse_sdp(data), choice, LOCAL)
    with pytest.raises(SdpError):
        choose(data, srtp="required")


# Offers of ours


def test_our_offer_can_be_answered() -> None:
    data = write_offer(LOCAL)
    choice = choose(data)
    assert (choice.codec, choice.payload_type, choice.telephone_event) == ("PCMU", 0, 101)
    assert (choice.remote_host, choice.remote_port) == ("127.0.0.1", 20000)


def test_our_offer_of_encryption_can_be_answered() -> None:
    secure = LocalMedia(host="::1", port=20000, session_id=7, key_and_salt=KEY)
    data = write_offer(
        secure, codecs=("PCMA",), suites=("AES_CM_128_HMAC_SHA1_32", "AES_CM_128_HMAC_SHA1_80")
    )
    assert b"c=IN IP6 ::1\r\n" in data
    choice = choose(data, srtp="required")
    assert choice.crypto is not None
    assert (choice.codec, choice.protocol, choice.remote_host) == ("PCMA", "RTP/SAVP", "::1")
    assert choice.crypto.key_and_salt == KEY


# Foreign input


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"o=-\r\n",
        b"v=0\r\nm=audio\r\n",
        b"v=0\r\nm=audio x RTP/AVP 0",
        b"v=0\nm=audio 70000 RTP/AVP 0",
    ],
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(SdpError):
        parse_sdp(data)


def test_the_number_of_streams_is_capped() -> None:
    with pytest.raises(SdpError, match="33 streams"):
        parse_sdp(offer(*["m=audio 4000 RTP/AVP 0"] * 33))


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    try:
        choose_audio(parse_sdp(b"v=0\r\n" + data))
    except SdpError:
        return


GOOD = offer(
    "m=audio 4000/2 RTP/SAVP 0 101", "a=rtpmap:101 telephone-event/8000", crypto_line(), "a=sendonly"
)


@given(st.integers(0, len(GOOD)), st.binary(max_size=6), st.integers(0, 8))
def test_no_damage_breaks_the_choice_or_the_answer(at: int, inserted: bytes, removed: int) -> None:
    try:
        description = parse_sdp(GOOD[:at] + inserted + GOOD[at + removed :])
        choice = choose_audio(description, srtp="optional")
    except SdpError:
        return
    key = None if choice.crypto is None else KEY
    local = LocalMedia(host="127.0.0.1", port=1, session_id=1, key_and_salt=key)
    answer = write_answer(description, choice, local)
    assert len(parse_sdp(answer).media) == len(description.media)
