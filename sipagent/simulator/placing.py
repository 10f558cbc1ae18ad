"""From a plan to a virtual call: the headers of its pretended INVITE, its faults, and what is said."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from urllib.parse import unquote

from sipagent.identifiers import CallId
from sipagent.simulator.caller import CallPlan, HangUp, Say, Step
from sipagent.simulator.faults import FAULT_HEADER, FaultSet

CALLER_SAYS_HEADER = "X-Sipagent-Caller-Says"
"""Carries one line of the caller, percent-encoded UTF-8; repeated for more."""


def new_call_id() -> CallId:
    """A call id in the form the real service was seen to use."""
    return CallId(f"rtc_u1_{secrets.token_hex(16)}")


def faults_of(headers: Sequence[tuple[str, str]]) -> FaultSet:
    """The faults an INVITE asks for. Raises `SimulatorError` for one that is not on the menu."""
    return FaultSet.parse_all(value for name, value in headers if name.lower() == FAULT_HEADER.lower())


def invite_headers(plan: CallPlan) -> tuple[tuple[str, str], ...]:
    """What the INVITE of this call would have carried; a header of the plan replaces the usual ones."""
    given = {name.lower() for name, _ in plan.headers}
    tag = secrets.token_hex(4)
    usual = [
        ("Via", f"SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK{tag}"),
        ("Max-Forwards", "70"),
        ("From", f"<sip:{plan.caller}@virtual.invalid>;tag={tag}"),
        ("To", f"<sip:{plan.dialled}@sip.api.openai.com;transport=tls>"),
        ("Call-ID", f"{secrets.token_hex(8)}@virtual.invalid"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:virtual@127.0.0.1:5061;transport=tls>"),
    ]
    return (*(header for header in usual if header[0].lower() not in given), *plan.headers)


def planned_steps(
    plan: CallPlan, headers: Sequence[tuple[str, str]], *, script_lines: Sequence[str]
) -> tuple[Step, ...]:
    """What the caller does: the plan's steps, else the lines of the headers, else those of the script."""
    steps = plan.steps
    if steps is None:
        said = [unquote(value) for name, value in headers if name.lower() == CALLER_SAYS_HEADER.lower()]
        steps = tuple(Say(text=line) for line in said or script_lines)
    return (*steps, HangUp()) if plan.hangs_up else steps
