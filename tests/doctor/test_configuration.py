"""What the examination says of who is let in."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipagent.doctor.configuration import examine_configuration
from sipagent.doctor.finding import Verdict

BASE = "version: 1\nagents: {desk: {instructions: Hi.}}\nroutes: [{agent: desk}]\n"
TOKEN = "0123456789abcdef0123456789abcdef"


def test_without_a_token_it_is_said_what_is_closed_and_what_is_open(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(BASE)
    access = examine_configuration(file, base_url=None).access
    assert access is not None
    assert access.verdict is Verdict.HINT
    assert "/metrics open" in access.said


def test_with_tokens_their_names_are_said_and_nothing_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANA", TOKEN)
    file = tmp_path / "sipagent.yaml"
    file.write_text(BASE + 'admin: {tokens: [{name: dana, token: "${DANA}", role: operate}]}\n')
    access = examine_configuration(file, base_url=None).access
    assert access is not None
    assert access.verdict is Verdict.OK
    assert "dana" in access.said
    assert TOKEN not in access.said


def test_a_file_that_cannot_be_served_says_nothing_of_it(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(BASE + 'admin: {tokens: [{name: dana, token: "${NONE_OF_OURS}", role: operate}]}\n')
    plan = examine_configuration(file, base_url=None)
    assert plan.finding.verdict is Verdict.FAIL
    assert plan.access is None
