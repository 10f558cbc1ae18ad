"""Every reason has exactly one owner."""

from __future__ import annotations

import re

from sipagent.calls.endings import FAULT_OWNERS, EndReason, FaultOwner, fault_owner
from sipagent.guide import read_page


def test_every_reason_has_an_owner() -> None:
    assert set(FAULT_OWNERS) == set(EndReason)


def test_owners_are_as_a_person_would_judge() -> None:
    assert fault_owner(EndReason.AGENT_HUNG_UP) is FaultOwner.NONE
    assert fault_owner(EndReason.CALLER_GONE) is FaultOwner.CALLER
    assert fault_owner(EndReason.SESSION_NOT_FOUND) is FaultOwner.OPENAI
    assert fault_owner(EndReason.REJECTED_NO_ROUTE) is FaultOwner.OPERATOR
    assert fault_owner(EndReason.INTERNAL_ERROR) is FaultOwner.OURS


def test_the_guide_lists_every_reason_with_its_owner() -> None:
    page = read_page("calls") or ""
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", page.split("## Why a call ended")[1], re.MULTILINE)
    table = {(reason.value, owner.value) for reason, owner in FAULT_OWNERS.items()}
    assert {row for row in listed if row[0] in set(EndReason)} == table
