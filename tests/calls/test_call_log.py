"""What the log says of an ordinary call: who answered, how it ended, and nothing to worry about."""

from __future__ import annotations

import logging

import pytest

from sipagent.calls import EndReason
from sipagent.simulator.caller import CallPlan, Say
from tests.calls.mannered import door_with, one_call


async def test_a_caller_who_hangs_up_is_no_reason_to_worry(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="sipagent.calls")
    plan = CallPlan(steps=(Say(text="Thank you, that is all."),))
    _, record = await one_call(door_with(), "turns: [Goodbye.]", plan)
    assert record.summary.end_reason == EndReason.CALLER_HUNG_UP.value
    said = [entry.getMessage() for entry in caplog.records]
    assert f"{record.summary.agent} answers" in said
    assert [words for words in said if words.startswith("The Realtime socket is closed (code ")]
    assert [words for words in said if words.startswith("The call ended as caller_hung_up: ")]
    assert not [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.WARNING]
