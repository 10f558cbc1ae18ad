"""Session descriptions: parse an offer, choose what we can speak, write the answer.

RFC 4566 (format), RFC 3264 (offer and answer), RFC 4733 (telephone-event), RFC 4568 (SDES keys). One audio
stream of G.711 is all a telephone call needs; every other stream of an offer is mirrored with port 0.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sipagent.errors import SdpError

Codec: TypeAlias = Literal["PCMU", "PCMA"]
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
SrtpPolicy: TypeAlias = Literal["off", "optional", "required"]
CryptoSuite: TypeAlias = Literal["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]

STATIC_PAYLOAD_TYPES: dict[Codec, int] = {"PCMU": 0, "PCMA": 8}
KEY_AND_SALT_BYTES = 30
"""Length of a 128-bit master key with its 112-bit salt (RFC 4568 section 6.2)."""
MAX_MEDIA = 32

_MIRRORED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive",
}  # fmt: skip
_CODECS: dict[str, Codec] = {"pcmu": "PCMU", "pcma": "PCMA"}
_SUITES: dict[str, CryptoSuite] = {
    "AES_CM_128_HMAC_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "AES_CM_128_HMAC_SHA1_32",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crypto:
    """One ``a=crypto`` line with a suite we know (RFC 4568 section 4)."""

    tag: int
    suite: CryptoSuite
    key_and_salt: bytes
    """`KEY_AND_SALT_BYTES` bytes."""

    def __str__(self) -> str:
        return f"{self.tag} {self.suite} inline:{base64.b64encode(self.key_and_salt).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One ``m=`` section."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: str | None
    """Address from the section's own ``c=`` or the session's; None when neither names one."""
    attributes: tuple[tuple[str, str], ...]
    """``a=`` lines in order; a flag has an empty value."""

    def every(self, name: str) -> tuple[str, ...]:
        """Values of all attributes called ``name``."""
        return tuple(value for key, value in self.attributes if key == name)

    def encodings(self) -> dict[int, str]:
        """Payload type → ``name/rate`` in lower case; static types need no rtpmap (RFC 3551 section 6)."""
        offered = [number for item in self.formats if (number := _number(item, 127)) is not None]
        found = {0: "pcmu/8000", 8: "pcma/8000"}
        for value in self.every("rtpmap"):
            words = value.split(maxsplit=1)
            if len(words) == 2 and (number := _number(words[0], 127)) is not None:
                found[number] = "/".join(words[1].strip().lower().split("/")[:2])
        return {number: found[number] for number in offered if number in found}

    def cryptos(self) -> tuple[Crypto, ...]:
        """The keys offered for suites we know, in the order of preference; malformed lines are skipped."""
        return tuple(crypto for value in self.every("crypto") if (crypto := _parse_crypto(value)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription:
    """A parsed session description."""

    media: tuple[Media, ...]
    direction: Direction
    """Of the session; a stream may say otherwise."""

    def direction_of(self, media: Media) -> Direction:
        """Direction of one stream as its sender sees it (RFC 3264 section 5.1)."""
        # The old way to say hold: RFC 3264 section 8.4.
        if media.connection == "0.0.0.0":  # noqa: S104 - compared, not bound  # nosec B104
            return "inactive"
        return _direction(media.attributes) or self.direction


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioChoice:
    """What both sides agreed on for the one audio stream, as our side needs it."""

    index: int
    """Which ``m=`` section carries it, from 0."""
    codec: Codec
    payload_type: int
    telephone_event: int | None
    """Payload type the peer named for RFC 4733 digits."""
    remote_host: str
    remote_port: int
    direction: Direction
    """Ours: ``recvonly`` and ``inactive`` mean the peer put us on hold."""
    crypto: Crypto | None
    """The peer's key and the tag and suite chosen; None for plain RTP."""
    protocol: str
    """What the answer's ``m=`` line says."""

    @property
    def media_security(self) -> Literal["rtp", "srtp"]:
        """As the webhook reports it."""
        return "srtp" if self.crypto is not None else "rtp"

    @property
    def on_hold(self) -> bool:
        """The peer does not want to hear us."""
        return self.direction in {"recvonly", "inactive"}

    @property
    def expects_audio(self) -> bool:
        """The peer sends."""
        return self.direction in {"sendrecv", "recvonly"}


# Parsing


def parse_sdp(data: bytes) -> SessionDescription:
    """Read a session description; `SdpError` when it is none. Unknown lines are ignored."""
    text = data.decode("utf-8", "replace")
    lines = [line.strip() for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    if not lines or not lines[0].startswith("v="):
        raise SdpError("the session description does not begin with v=")
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    if len(sections) - 1 > MAX_MEDIA:
        raise SdpError(f"{len(sections) - 1} streams are more than {MAX_MEDIA}")
    session = sections[0]
    connection = _connection(session)
    return SessionDescription(
        media=tuple(_parse_media(section, connection) for section in sections[1:]),
        direction=_direction(_attributes(session)) or "sendrecv",
    )


def _parse_media(lines: list[str], session_connection: str | None) -> Media:
    words = lines[0][2:].split()
    port = _number(words[1].partition("/")[0], 65_535) if len(words) > 3 else None
    if port is None:
        raise SdpError(f"{lines[0][:60]!r} is no media line: expected m=kind port protocol formats")
    return Media(
        kind=words[0].lower(),
        port=port,
        protocol=words[2],
        formats=tuple(words[3:]),
        connection=_connection(lines) or session_connection,
        attributes=_attributes(lines),
    )


def _number(text: str, highest: int) -> int | None:
    """A plain decimal number up to ``highest``, or None."""
    if text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= highest:
        return int(text)
    return None


def _attributes(lines: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = (line[2:].partition(":") for line in lines if line.startswith("a="))
    return tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)


def _connection(lines: list[str]) -> str | None:
    for line in lines:
        words = line[2:].split()
        if line.startswith("c=") and len(words) == 3:
            return words[2].partition("/")[0]
    return None


def _direction(attributes: tuple[tuple[str, str], ...]) -> Direction | None:
    return next((direction for name, _ in attributes for direction in _MIRRORED if direction == name), None)


def _parse_crypto(value: str) -> Crypto | None:
    words = value.split()
    tag = _number(words[0], 999_999_999) if len(words) > 2 else None
    if tag is None or words[1] not in _SUITES:
        return None
    inline = words[2].partition(";")[0]
    if not inline.lower().startswith("inline:"):
        return None
    parts = inline[len("inline:") :].split("|")
    if any(":" in part for part in parts[1:]) or len(words) > 3:
        # A master key index or a session parameter changes the packets; we would not understand them.
        return None
    try:
        key = base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(key) != KEY_AND_SALT_BYTES:
        return None
    return Crypto(tag=tag, suite=_SUITES[words[1]], key_and_salt=key)


# Choosing


def choose_audio(
    description: SessionDescription,
    *,
    codecs: Sequence[Codec] = ("PCMU", "PCMA"),
    srtp: SrtpPolicy = "off",
    default_host: str | None = None,
) -> AudioChoice:
    """Pick the first audio stream we can speak, its first codec in the peer's order among ``codecs``.

    Works on an offer, and on the answer to an offer of ours. SDES keys are used when the policy allows
    them, also within RTP/AVP (RFC 8643). A stream that only offers DTLS keys is taken as plain RTP, as the
    real service was seen to do. ``default_host`` stands in for a missing ``c=`` line. Raises `SdpError`
    when nothing fits: the call is then answered 488.
    """
    reasons: list[str] = []
    for index, media in enumerate(description.media):
        if media.kind != "audio" or media.port == 0 or "RTP/" not in media.protocol.upper():
            continue
        encodings = media.encodings()
        spoken = [
            (number, codec)
            for number, encoding in encodings.items()
            if (codec := _CODECS.get(encoding.removesuffix("/8000"))) in codecs and codec is not None
        ]
        crypto, problem = _choose_crypto(media, srtp)
        host = media.connection or default_host
        if not spoken:
            problem = f"none of {', '.join(codecs)} is offered"
        elif host is None:
            problem = "no c= line names an address"
        if problem is not None or host is None:
            reasons.append(f"stream {index}: {problem}")
            continue
        events = [number for number, encoding in encodings.items() if encoding == "telephone-event/8000"]
        payload_type, codec = spoken[0]
        return AudioChoice(
            index=index,
            codec=codec,
            payload_type=payload_type,
            telephone_event=events[0] if events else None,
            remote_host=host,
            remote_port=media.port,
            direction=_MIRRORED[description.direction_of(media)],
            crypto=crypto,
            protocol="RTP/AVP" if media.protocol.upper().startswith("UDP/TLS/") else media.protocol,
        )
    raise SdpError("; ".join(reasons) or "no audio stream is offered")


def _choose_crypto(media: Media, policy: SrtpPolicy) -> tuple[Crypto | None, str | None]:
    """The key to use, and why the stream cannot be used at all."""
    cryptos = media.cryptos()
    dtls = media.protocol.upper().startswith("UDP/TLS/")
    needs_keys = "SAVP" in media.protocol.upper() and not dtls
    if policy == "off":
        return None, "SRTP is switched off here" if needs_keys else None
    if cryptos and not dtls:
        return cryptos[0], None
    if needs_keys:
        return None, "SRTP is offered without a key we can use"
    return None, "SRTP is required here" if policy == "required" else None


# Writing


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalMedia:
    """Our end of the audio stream, for writing an offer or an answer."""

    host: str
    port: int
    session_id: int
    version: int = 1
    """Grows with every description that differs from the one before (RFC 4566 section 5.2)."""
    direction: Direction = "sendrecv"
    key_and_salt: bytes | None = None
    """Our SRTP key; None for plain RTP."""


def write_answer(offer: SessionDescription, choice: AudioChoice, local: LocalMedia) -> bytes:
    """The answer to ``offer``: its streams in its order, all but the chosen one refused with port 0.

    The answer's direction is that of ``choice``, narrowed by ``local.direction``.
    """
    assert (choice.crypto is None) == (local.key_and_salt is None), "a key for SRTP and none for RTP"
    lines = _session_lines(local)
    for index, media in enumerate(offer.media):
        if index != choice.index:
            lines.append(f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}")
            continue
        crypto = None
        if choice.crypto is not None and local.key_and_salt is not None:
            crypto = Crypto(tag=choice.crypto.tag, suite=choice.crypto.suite, key_and_salt=local.key_and_salt)
        lines += _audio_lines(
            local,
            protocol=choice.protocol,
            codecs=((choice.payload_type, choice.codec),),
            telephone_event=choice.telephone_event,
            direction=_narrowed(choice.direction, local.direction),
            cryptos=() if crypto is None else (crypto,),
        )
    return _joined(lines)


def write_offer(
    local: LocalMedia,
    *,
    codecs: Sequence[Codec] = ("PCMU", "PCMA"),
    telephone_event: int | None = 101,
    suites: Sequence[CryptoSuite] = ("AES_CM_128_HMAC_SHA1_80",),
) -> bytes:
    """An offer of one audio stream, with SRTP (one key, every suite) when ``local.key_and_salt`` is set."""
    key = local.key_and_salt
    return _joined([
        *_session_lines(local),
        *_audio_lines(
            local,
            protocol="RTP/AVP" if key is None else "RTP/SAVP",
            codecs=tuple((STATIC_PAYLOAD_TYPES[codec], codec) for codec in codecs),
            telephone_event=telephone_event,
            direction=local.direction,
            cryptos=() if key is None else tuple(
                Crypto(tag=tag, suite=suite, key_and_salt=key) for tag, suite in enumerate(suites, start=1)
            ),
        ),
    ])  # fmt: skip


def _session_lines(local: LocalMedia) -> list[str]:
    family = "IP6" if ":" in local.host else "IP4"
    return [
        "v=0",
        f"o=- {local.session_id} {local.version} IN {family} {local.host}",
        "s=-",
        f"c=IN {family} {local.host}",
        "t=0 0",
    ]


def _audio_lines(
    local: LocalMedia,
    *,
    protocol: str,
    codecs: tuple[tuple[int, Codec], ...],
    telephone_event: int | None,
    direction: Direction,
    cryptos: tuple[Crypto, ...],
) -> list[str]:
    numbers = [number for number, _ in codecs] + ([] if telephone_event is None else [telephone_event])
    lines = [f"m=audio {local.port} {protocol} {' '.join(map(str, numbers))}"]
    lines += [f"a=rtpmap:{number} {codec}/8000" for number, codec in codecs]
    if telephone_event is not None:
        lines += [f"a=rtpmap:{telephone_event} telephone-event/8000", f"a=fmtp:{telephone_event} 0-16"]
    lines += [f"a=crypto:{crypto}" for crypto in cryptos]
    return [*lines, "a=ptime:20", f"a={direction}"]


def _narrowed(first: Direction, second: Direction) -> Direction:
    sends = first in {"sendrecv", "sendonly"} and second in {"sendrecv", "sendonly"}
    receives = first in {"sendrecv", "recvonly"} and second in {"sendrecv", "recvonly"}
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8")
