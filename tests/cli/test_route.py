from __future__ import annotations

import json
from pathlib import Path

import pytest

from sipagent.cli import main
from tests.config.carriers import VARIABLES, WHOLE
from tests.config.test_question import COMPANY


@pytest.fixture(autouse=True)
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sipagent.yaml").write_text(COMPANY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def test_who_answers_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "--to", "+15550100001", "--at", "2026-12-24 10:00"]) == 0
    assert (
        capsys.readouterr().out
        == """\
A call from a withheld number to +15550100001, Thursday 24 December 2026, 10:00 (CET)
  office is open until Thu 24 Dec, 12:00

  · vip: it wants a call from +15550100123, and a hidden number calls.
  · route 2: the SIP header X-Tenant does not hold acme.
  · open: day answers.

day answers, by open.
When there is no place: night answers.
"""
    )


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "--from", "+19001234567"]) == 1
    shown = capsys.readouterr().out
    assert "Nobody answers: SIP status 603 (rejected_denied)." in shown
    assert main(["route", "--header", "X-Tenant=acme"]) == 1
    assert "SIP status 480 (rejected_by_route)" in capsys.readouterr().out


def test_a_moment_may_name_its_own_zone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "--at", "2026-11-20T23:30+00:00", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["at"], answer["agent"]) == ("2026-11-21T00:30:00+01:00", "night")
    assert answer["ok"] is True
    assert answer["calendars"]["office"]["open"] is False


@pytest.mark.parametrize(
    ("expected", "words", "code"),
    [
        ("day", ["--at", "2026-11-20 10:00"], 0),
        ("night", ["--at", "2026-11-20 10:00"], 1),
        ("603", ["--from", "+1900555"], 0),
        ("486", ["--from", "+1900555"], 1),
        ("day", ["--from", "+1900555"], 1),
        ("603", ["--at", "2026-11-20 10:00"], 1),
    ],
)
def test_what_was_expected(
    expected: str, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["route", *words, "--expect", expected]) == code
    assert (f"Expected was {expected}." in capsys.readouterr().out) is (code == 1)


def test_an_expectation_that_cannot_come_true(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", "--expect", "dya"]) == 1
    assert "there is no agent 'dya'; there are: day, night" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "christmas"], "'christmas' is no moment"),
        (["--header", "X-Tenant"], "write NAME=VALUE"),
        (["--header", "=x"], "write NAME=VALUE"),
        (["--header", "X Tenant=x"], "write NAME=VALUE"),
    ],
)
def test_misuse(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["route", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_broken_file_is_told_as_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sipagent.yaml").write_text(
        COMPANY.replace("agent: night}", "agent: nihgt}"), encoding="utf-8"
    )
    assert main(["route"]) == 1
    assert "Did you mean `night`?" in capsys.readouterr().err


def test_a_carrier_s_plan_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "sipagent.yaml").write_text(WHOLE, encoding="utf-8")
    assert main(["route", "--to", "+15550100002"]) == 0
    assert "A call of a carrier: “We are closed.”\n" in capsys.readouterr().out
    assert main(["route", "--to", "+15550100002", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"] == "“We are closed.”"
