"""Every reason has exactly one owner."""

from __future__ import annotations

from sipagent.calls.endings import FAULT_OWNERS, EndReason, FaultOwner, fault_owner
from tests.calls.endings_page import PAGE, meanings, with_table


def test_every_reason_has_an_owner() -> None:
    assert set(FAULT_OWNERS) == set(EndReason)


def test_owners_are_as_a_person_would_judge() -> None:
    assert fault_owner(EndReason.AGENT_HUNG_UP) is FaultOwner.NONE
    assert fault_owner(EndReason.CALLER_GONE) is FaultOwner.CALLER
    assert fault_owner(EndReason.SESSION_NOT_FOUND) is FaultOwner.UNKNOWN
    assert fault_owner(EndReason.REJECTED_NO_ROUTE) is FaultOwner.OPERATOR
    assert fault_owner(EndReason.INTERNAL_ERROR) is FaultOwner.OURS


def test_every_reason_is_explained() -> None:
    assert set(meanings()) == set(EndReason)
    assert all(words.endswith(".") for words in meanings().values())


def test_the_guide_has_the_table_that_the_code_makes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_table(page), "run `python -m tests.calls.endings_page`"
    for reason, owner in FAULT_OWNERS.items():
        assert f"| `{reason.value}` | {owner.value} | " in page
