from __future__ import annotations

import platform
from importlib import metadata

import pytest

from sipagent.doctor.finding import Verdict
from sipagent.doctor.machine import examine_machine, parse_requirement, satisfies


@pytest.mark.parametrize(
    ("have", "wanted", "right"),
    [
        ("3.11.7", ">=3.11,<3.15", True),
        ("3.15", ">=3.11,<3.15", False),
        ("3.15.0", "<3.15,>=3.11", False),
        ("3.9.19", ">=3.11", False),
        ("15.0.1", "<18,>=15.0", True),
        ("15", ">=15.0", True),
        ("2.0", ">2", False),
        ("2.0.1", ">2", True),
        ("2.0", "<=2", True),
        ("2.1", "==2.1", True),
        ("2.2", "==2.1", False),
        ("2.2", "!=2.1", True),
        ("2.5.3", "~=2.5", True),
        ("3.0", "~=2.5", False),
        ("2.5.9", "~=2.5.3", True),
        ("2.6.0", "~=2.5.3", False),
        ("3.0.0rc1", ">=3", True),
        ("0.22.post1", "<0.23,>=0.20", True),
        ("1.0", "", True),
    ],
)
def test_a_version_lies_within_its_bounds(have: str, wanted: str, right: bool) -> None:
    assert satisfies(have, wanted) is right


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        ("aiohttp<4,>=3.11", ("aiohttp", "<4,>=3.11")),
        ("sqlalchemy[asyncio]<2.2,>=2.0.36", ("sqlalchemy", "<2.2,>=2.0.36")),
        ("pytest<10,>=9; extra == 'dev'", None),
        ("old<2; python_version < '3.0'", None),
        ('new<2,>=1; python_version >= "3.11"', ("new", "<2,>=1")),
        ("bare", ("bare", "")),
    ],
)
def test_what_the_package_needs_here(line: str, parsed: tuple[str, str] | None) -> None:
    assert parse_requirement(line) == parsed


def test_this_machine_runs_these_tests() -> None:
    findings = examine_machine()
    assert not [finding for finding in findings if finding.verdict in (Verdict.FAIL, Verdict.WARN)]
    assert platform.python_version() in findings[0].said
    assert f"aiohttp {metadata.version('aiohttp')}" in findings[1].said


def test_a_wrong_or_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["aiohttp<4,>=3.11", "no-such-package-anywhere>=1"]
    monkeypatch.setattr("sipagent.doctor.machine.requires", lambda _: wanted)
    old = metadata.version
    monkeypatch.setattr(
        "sipagent.doctor.machine.version", lambda name: "3.0" if name == "aiohttp" else old(name)
    )
    said = [
        (finding.said, finding.remedy) for finding in examine_machine() if finding.verdict is Verdict.FAIL
    ]
    assert said == [
        ("aiohttp is 3.0; needed is <4,>=3.11.", "pip install 'aiohttp<4,>=3.11'"),
        ("no-such-package-anywhere is not installed.", "pip install 'no-such-package-anywhere>=1'"),
    ]


def test_another_python_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.2")
    assert examine_machine()[0].verdict is Verdict.FAIL
