from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sipagent.clock import utc_now
from sipagent.config import see_account
from sipagent.doctor import Area, Finding, Patient, Verdict, examine
from tests.support.practice import API_KEY, Practice, practice

RIGHT = """\
version: 1
agents:
  front-desk: {instructions: You answer the phone.}
routes:
  - {agent: front-desk}
"""


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def patient(folder: Path, desk: Practice, **variables: str) -> Patient:
    file = folder / "sipagent.yaml"
    file.write_text(RIGHT, encoding="utf-8")
    account = see_account(
        {
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_WEBHOOK_SECRET": desk.simulator.webhook_secret,
            "OPENAI_PROJECT_ID": "proj_AbC123",
            "OPENAI_BASE_URL": desk.simulator.base_url,
            "SIPAGENT_DATABASE_URL": f"sqlite:///{folder}/calls.db",
            **variables,
        }
    )
    return Patient(configuration=file, account=account, webhook_url=desk.service.webhook_url, timeout_s=5)


def bad(findings: tuple[Finding, ...]) -> list[tuple[Area, str]]:
    wrong = (Verdict.WARN, Verdict.FAIL)
    return [(finding.area, finding.said) for finding in findings if finding.verdict in wrong]


async def test_everything_is_there(tmp_path: Path) -> None:
    async with practice() as desk:
        findings = await examine(patient(tmp_path, desk), utc_now=utc_now)
    assert bad(findings) == []
    areas = [finding.area for finding in findings]
    assert list(dict.fromkeys(areas)) == list(Area)
    assert areas == sorted(areas, key=list(Area).index)


async def test_servers_that_the_service_will_start_are_named_and_not_started(tmp_path: Path) -> None:
    async with practice() as desk:
        sick = patient(tmp_path, desk)
        tools = "tools: [{mcp: {command: [touch, started], name: shelf}}]"
        written = RIGHT.replace("the phone.}", f"the phone., {tools}}}")
        (tmp_path / "sipagent.yaml").write_text(written, encoding="utf-8")
        findings = await examine(sick, utc_now=utc_now)
    assert bad(findings) == []
    [finding] = [each for each in findings if "MCP" in each.said]
    assert (finding.area, finding.verdict) == (Area.CONFIGURATION, Verdict.HINT)
    assert "shelf" in finding.said
    assert "sipagent check" in finding.remedy
    assert not (tmp_path / "started").exists()


async def test_everything_is_wrong_at_once_and_no_secret_is_shown(tmp_path: Path) -> None:
    async with practice() as desk:
        sick = patient(tmp_path, desk, OPENAI_API_KEY="sk-other-0123456789", OPENAI_PROJECT_ID="org-1")
        sick.configuration.write_text("version: 1\nagents: {}\nroutes: []\n", encoding="utf-8")
        findings = await examine(replace(sick, live=True), utc_now=utc_now)
    areas = {area for area, _ in bad(findings)}
    assert areas == {Area.CONFIGURATION, Area.ACCOUNT, Area.API, Area.WEBHOOK}
    secrets = (sick.account.api_key, *dict(sick.account.webhook_secrets).values())
    assert all(secrets)
    assert not [secret for secret in secrets if secret in str(findings)]


async def test_a_simulator_is_no_place_for_real_calls(tmp_path: Path) -> None:
    async with practice() as desk:
        findings = await examine(replace(patient(tmp_path, desk), live=True), utc_now=utc_now)
    assert any("where a simulator may be" in said for _, said in bad(findings))


async def test_nothing_at_all(tmp_path: Path) -> None:
    nothing = Patient(configuration=tmp_path / "none.yaml", account=see_account({}), timeout_s=5)
    findings = await examine(nothing, utc_now=utc_now)
    assert [area for area, _ in bad(findings)] == [
        Area.CONFIGURATION,
        Area.ACCOUNT,
        Area.ACCOUNT,
        Area.ACCOUNT,
        Area.API,
    ]


async def test_a_project_that_the_configuration_names_is_known(tmp_path: Path) -> None:
    async with practice() as desk:
        sick = patient(tmp_path, desk, OPENAI_PROJECT_ID="")
        sick.configuration.write_text(
            f"{RIGHT}carriers:\n  sip: {{project: proj_Other9}}\n  public_url: http://127.0.0.1:8080\n"
            f'  twilio: {{account_sid: AC{"0" * 32}, auth_token: "${{file:token}}"}}\n',
            encoding="utf-8",
        )
        (tmp_path / "token").write_text("0" * 32, encoding="utf-8")
        findings = await examine(sick, utc_now=utc_now)
    assert bad(findings) == []
    said = [finding.said for finding in findings]
    assert "The project is proj_Other9." in said
    assert any("sip:proj_Other9@" in each for each in said)


async def test_an_address_of_the_api_that_is_none(tmp_path: Path) -> None:
    account = see_account({"OPENAI_BASE_URL": "api.openai.com"})
    findings = await examine(
        Patient(configuration=tmp_path / "none.yaml", account=account, timeout_s=5), utc_now=utc_now
    )
    assert (Area.API, "OPENAI_BASE_URL is 'api.openai.com', which is no URL.") in bad(findings)
