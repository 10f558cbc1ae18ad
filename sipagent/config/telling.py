"""What people have to know of carriers: in which words a plan is said, and what each carrier must be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, assert_never

from sipagent.calls.routing import FrontDoor
from sipagent.carrier.settings import (
    AnswerBySip,
    AnswerByStream,
    AnswerPlan,
    CallNumber,
    CarrierSettings,
    SayMessage,
    Step,
)

CarrierName = Literal["twilio", "telnyx", "asterisk"]

CARRIER_TITLES: Mapping[CarrierName, str] = MappingProxyType(
    {"twilio": "Twilio", "telnyx": "Telnyx", "asterisk": "Asterisk"}
)
"""As the carriers write themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToEnter:
    """Something to be entered at a carrier."""

    carrier: CarrierName
    where: str
    """In its console, or its dialplan."""
    value: str


def to_enter(carriers: CarrierSettings) -> tuple[ToEnter, ...]:
    """What is to be entered at each carrier of ``carriers``, in order. Holds no secret."""
    found: list[ToEnter] = []
    base = f"{carriers.public_url or 'http://HOST-OF-SIPAGENT:PORT'}/carriers"
    if carriers.twilio is not None:
        found += [
            ToEnter(
                carrier="twilio",
                where="the number → Voice → A call comes in (webhook, HTTP POST)",
                value=f"{base}/twilio/voice",
            ),
            ToEnter(
                carrier="twilio",
                where="the number → Voice → Call status changes (HTTP POST)",
                value=f"{base}/twilio/status",
            ),
        ]
    if carriers.telnyx is not None:
        found += [
            ToEnter(
                carrier="telnyx",
                where="a TeXML application → Voice method POST, webhook",
                value=f"{base}/telnyx/texml/voice",
            ),
            ToEnter(
                carrier="telnyx",
                where="the TeXML application → Status callback (POST)",
                value=f"{base}/telnyx/texml/status",
            ),
            ToEnter(
                carrier="telnyx",
                where="or, instead of it, a Call Control application → webhook (API v2)",
                value=f"{base}/telnyx/call-control",
            ),
        ]
    if (asterisk := carriers.audio_socket) is not None:
        host = f"[{asterisk.host}]" if ":" in asterisk.host else asterisk.host
        found += [
            ToEnter(
                carrier="asterisk",
                where="dialplan: announce the call (HTTP POST), with the token",
                value=f"{base}/asterisk/call",
            ),
            ToEnter(
                carrier="asterisk",
                where="dialplan: then AudioSocket(UUID, …)",
                value=f"{host}:{asterisk.port}",
            ),
        ]
    return tuple(found)


def describe_plan(plan: AnswerPlan) -> str:
    """``SIP (20 s), else the audio through here, else “We are sorry…”``."""
    return ", else ".join(describe_step(step) for step in plan.steps)


def describe_step(step: Step) -> str:
    """One step, in a few words."""
    match step:
        case AnswerBySip():
            return f"OpenAI over SIP ({step.answer_timeout_s} s)"
        case AnswerByStream():
            return "the audio through here"
        case CallNumber():
            return f"a call to {step.number} ({step.answer_timeout_s} s)"
        case SayMessage():
            return f"“{step.words}”"
        case _:
            assert_never(step)


def recorded_in_part(door: FrontDoor, carriers: CarrierSettings | None) -> tuple[str, ...]:
    """The agents whose calls are recorded where their audio passes through us, while calls of the same
    carriers may be answered over SIP too, of which nothing can be."""
    plans = () if carriers is None else (carriers.plan, *carriers.plans.values())
    if not any(isinstance(step, AnswerBySip) for plan in plans for step in plan.steps):
        return ()
    return tuple(name for name, profile in door.profiles.items() if profile.recording is not None)


def named_route(label: str) -> str:
    """A route in a sentence: ``route office``, and ``route 2`` for one without a name of its own."""
    return label if label.startswith("route ") else f"route {label}"
