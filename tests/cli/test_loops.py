from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from sipagent.cli.loops import run_on
from sipagent.errors import UserError


async def module_of_the_loop() -> str:
    return type(asyncio.get_running_loop()).__module__


def test_each_loop_can_be_asked_for() -> None:
    pytest.importorskip("uvloop")
    assert run_on("asyncio", module_of_the_loop).startswith("asyncio")
    assert run_on("uvloop", module_of_the_loop).startswith("uvloop")


def test_auto_takes_uvloop_where_it_is_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("uvloop")
    with caplog.at_level(logging.INFO, logger="sipagent.cli.loops"):
        assert run_on("auto", module_of_the_loop).startswith("uvloop")
    assert caplog.messages == ["The event loop is uvloop"]


def test_without_uvloop_auto_takes_pythons_own(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with caplog.at_level(logging.INFO, logger="sipagent.cli.loops"):
        assert run_on("auto", module_of_the_loop).startswith("asyncio")
    assert caplog.messages == ["The event loop is asyncio's own"]
    with pytest.raises(UserError, match=r"install sipagent\[uvloop\]"):
        run_on("uvloop", module_of_the_loop)


def test_what_the_work_raises_comes_out() -> None:
    async def fail() -> None:
        raise UserError("no")

    with pytest.raises(UserError, match="no"):
        run_on("auto", fail)
