"""Values on the command line. Each function is an argparse ``type``: a mistake becomes exit code 2."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.settings import ListenAddress

_SECONDS_PER_UNIT = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Seconds from ``30s``, ``2m``, ``1h``; a bare number is seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 30s or 2m")
    return float(match[1]) * _SECONDS_PER_UNIT[match[2]]


def port(text: str) -> int:
    """A TCP port; 0 takes a free one."""
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number from 0 to 65535")
    return int(text)


def host_and_port(text: str) -> tuple[str, int]:
    """``127.0.0.1:8080`` or ``[::1]:8080``."""
    host, colon, digits = text.rpartition(":")
    if not colon or not host:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write HOST:PORT, such as 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), port(digits)


def sip_address(text: str) -> ListenAddress:
    """``udp:127.0.0.1:5060``, also ``tcp:`` and ``tls:``."""
    try:
        return ListenAddress.parse(text)
    except SimulatorError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def positive_count(text: str) -> int:
    """A whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write a number above zero")
    return int(text)


def local_moment(text: str) -> datetime:
    """A date, or a date and time, in ISO 8601; without a zone unless it names one."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no moment; write 2026-12-24 or "2026-12-24 10:00"'
        ) from error


def name_and_value(text: str) -> tuple[str, str]:
    """``X-Tenant=acme``; the value may hold anything, another ``=`` too."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not name.isascii() or " " in name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no header; write NAME=VALUE, such as X-Tenant=acme")
    return name.strip(), value


def moment(text: str) -> datetime:
    """A date or a date and time in ISO 8601; UTC unless it names another zone."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment; write 2026-11-30 or 2026-11-30T09:00"
        ) from error
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def add_call_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what describes a call that nobody makes: ``to``, ``caller``, ``at``, ``header``."""
    parser.add_argument("--to", metavar="NUMBER", help="the number that is dialled")
    parser.add_argument(
        "--from", dest="caller", metavar="NUMBER", help="the number that calls, or anonymous (the default)"
    )
    parser.add_argument(
        "--at",
        type=local_moment,
        metavar="TIME",
        help='when: 2026-12-24, "2026-12-24 10:00"; in the business\'s zone unless it names one; now',
    )
    parser.add_argument(
        "--header",
        type=name_and_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a SIP header of the call; repeatable",
    )
