"""Values that make no sense are refused where they are made."""

from __future__ import annotations

import pytest

from sipagent.calls.manners import GOOD_MANNERS, IdleStep, LoopLimits, Manners, WrapUp
from sipagent.calls.profile import TransferTarget
from sipagent.calls.template import Template
from sipagent.errors import UserError

WORDS = Template("Hello?")


@pytest.mark.parametrize("after_s", [0.0, -1.0, float("nan")])
def test_a_step_comes_after_some_time(after_s: float) -> None:
    with pytest.raises(UserError, match="after some time"):
        IdleStep(after_s=after_s, say=WORDS)


def test_a_step_says_something_or_hangs_up() -> None:
    with pytest.raises(UserError, match="either says something or hangs up"):
        IdleStep(after_s=5)
    with pytest.raises(UserError, match="either says something or hangs up"):
        IdleStep(after_s=5, say=WORDS, hang_up=WORDS)


def test_wrapping_up_takes_some_time() -> None:
    with pytest.raises(UserError, match="takes some time"):
        WrapUp(before_s=0)


def test_a_target_has_an_address_and_a_name_to_speak_of() -> None:
    with pytest.raises(UserError, match="no address"):
        TransferTarget(name="sales", uris=())
    target = TransferTarget(name="sales", uris=("tel:+15550100001",))
    assert target.spoken_name == "sales"
    assert TransferTarget(name="s", uris=target.uris, label="our sales team").spoken_name == "our sales team"


def test_nothing_is_minded_unless_it_is_asked_for() -> None:
    assert Manners() == Manners(idle=(), maximum_duration_s=None, wrap_up=None, loops=None)
    assert GOOD_MANNERS.wrap_up == WrapUp()
    assert GOOD_MANNERS.loops == LoopLimits()
