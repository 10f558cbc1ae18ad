"""Reading the commands of Call Control: what they need, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.verbs import ConferenceTarget

Body: TypeAlias = Mapping[str, Any]


class CommandError(SimulatorError):
    """A command that is refused."""

    def __init__(self, status: int, detail: str, *, code: tuple[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


def membership(name: str, body: Body, *, starts: bool) -> ConferenceTarget:
    """How somebody takes part in the conference called ``name``."""
    return ConferenceTarget(
        name=name,
        starts_on_enter=starts,
        ends_on_exit=body.get("end_conference_on_exit") is True,
        muted=body.get("mute") is True,
        beep=body.get("beep_enabled", "never") not in ("never", "on_exit"),
    )


def address_of(to: str, body: Body) -> str:
    """A target with what belongs to its INVITE, as `SipAddress` reads it."""
    if not to.lower().startswith(("sip:", "sips:")):
        return to
    transport = str(body.get("sip_transport_protocol") or "").lower()
    if transport and ";transport=" not in to.lower():
        to += f";transport={transport}"
    if body.get("media_encryption") in ("SRTP", "SDES"):
        to += ";secure=true"
    headers = [
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs_of(body, "custom_headers")
    ]
    return f"{to}?{'&'.join(headers)}" if headers else to


def pairs_of(body: Body, name: str) -> list[tuple[str, str]]:
    """A list of ``name`` and ``value``, in order. Raises `CommandError` for anything else."""
    entries = body.get(name) or []
    pairs = []
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, dict) or "name" not in entry or "value" not in entry:
            raise CommandError(422, f"{name} is no list of names and values")
        pairs.append((str(entry["name"]), str(entry["value"])))
    return pairs


def remember(leg: Leg, body: Body) -> None:
    """Keep what a command wants to be kept with its leg."""
    if isinstance(body.get("client_state"), str):
        leg.extra["client_state"] = body["client_state"]


def needed(body: Body, name: str) -> str:
    """A text that must be there. Raises `CommandError` without it."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise missing(name)
    return value


def missing(name: str) -> CommandError:
    """The refusal of a command that lacks ``name``."""
    code = ("10004", "Missing required parameter")
    return CommandError(422, f"The parameter {name!r} is needed.", code=code)


def number_of(body: Body, name: str, usual: float) -> float:
    """A number, ``usual`` where none is given. Raises `CommandError` for anything else."""
    value = body.get(name, usual)
    if isinstance(value, str) and value.isdigit():
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 86_400_000:
        raise CommandError(422, f"{name} is no number that can be")
    return float(value)


def require_answered(leg: Leg) -> None:
    """Raises `CommandError` for a leg that has not been answered."""
    if not leg.is_answered:
        raise CommandError(422, "This call has not been answered.", code=("90034", "Call not answered"))


async def body_of(request: web.Request) -> Body:
    """The JSON object of a request; empty for a GET. Raises `CommandError` for anything else."""
    if request.method != "POST":
        return {}
    raw = await request.read()
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        raise CommandError(400, f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise CommandError(400, "the body is no JSON object")
    return body
