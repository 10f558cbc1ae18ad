from __future__ import annotations

import pytest

from sipagent.doctor.finding import Verdict
from sipagent.doctor.trunk import TRUNKS, examine_trunk

BASE = "https://api.openai.com/v1"


def lines(trunk: str | None = None, project: str = "proj_AbC123", base_url: str = BASE) -> list[str]:
    findings = list(examine_trunk(trunk, project=project, base_url=base_url))
    assert {finding.verdict for finding in findings} == {Verdict.HINT}
    return [finding.said for finding in findings]


def test_the_address_of_the_project() -> None:
    assert lines()[0] == "Calls are sent to sip:proj_AbC123@sip.api.openai.com;transport=tls"
    assert "sip:proj_…@" in lines(project="")[0]


@pytest.mark.parametrize(
    ("base_url", "host"),
    [
        ("https://eu.api.openai.com/v1", "@sip-eu.api.openai.com;"),
        ("https://us.api.openai.com/v1", "@sip.api.openai.com;"),
        ("https://desk.openai.azure.com/openai/v1", "REGION.sip.ai.azure.com;"),
    ],
)
def test_the_host_follows_the_api(base_url: str, host: str) -> None:
    assert host in lines(base_url=base_url)[0]


@pytest.mark.parametrize("trunk", TRUNKS)
def test_each_carrier_adds_its_own(trunk: str) -> None:
    everywhere, own = lines(), lines(trunk)
    assert own[: len(everywhere)] == everywhere
    assert len(own) > len(everywhere)
    assert any(f"preset: {trunk}" in line for line in own)
