"""The files of the edge say the same as its page; what it does is tested in ``tests/callers``."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import yaml

EDGE = Path(__file__).parents[2] / "deploy" / "kamailio"
CONFIGURATION = (EDGE / "kamailio.cfg").read_text(encoding="utf-8")
PAGE = (EDGE / "README.md").read_text(encoding="utf-8")


def lines(name: str) -> list[list[str]]:
    """The fields of every line that counts."""
    text = (EDGE / name).read_text(encoding="utf-8")
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_the_page_names_the_answers_that_lead_to_the_next_target() -> None:
    found = re.search(r'!t_check_status\("((?:\d{3}\|)+5\[0-9\]\[0-9\])"\)\) \{ exit; \}', CONFIGURATION)
    assert found, "the rule is where it was"
    pattern = re.compile(found[1])
    rows = re.findall(r"(?m)^\| ([0-9][^|]*) \| (next target|passed on) \|", PAGE)
    assert len(rows) >= 9
    for answers, what in rows:
        for status in re.findall(r"\b\d{3}\b", answers):
            assert bool(pattern.fullmatch(status)) == (what == "next target"), status


def test_every_setting_that_is_used_is_there() -> None:
    settings = (EDGE / "settings.cfg").read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)^#!define (\w+) |^#!substdef \"!(\w+)!", settings))
    names = {one or other for one, other in named} | set(re.findall(r"(?m)^##!define (WITH_\w+)$", settings))
    assert names
    for name in names:
        assert re.search(rf"\b{name}\b", CONFIGURATION), f"{name} does nothing"
    for switch in re.findall(r"#!ifdef (\w+)", CONFIGURATION):
        assert switch in names


def test_credentials_never_pass() -> None:
    for header in ("Authorization", "Proxy-Authorization"):
        assert CONFIGURATION.count(f'remove_hf("{header}")') == 2, "at the beginning of a call, and within it"


def test_the_lists_are_examples_that_reach_nobody() -> None:
    for group, address, mask, port, _ in lines("sources.list"):
        assert group in ("1", "2")
        assert ipaddress.ip_network(f"{address}/{mask}").is_private, "an address of a document"
        assert port == "0"
    for one, address, flags, priority, attributes in lines("targets.list"):
        assert one == "1"
        assert re.fullmatch(r"sip:[\w.]+:\d+;transport=(udp|tcp|tls)", address)
        assert flags == ("16" if "openai" in address else "0")
        assert priority.isdigit()
        assert re.fullmatch(r"user=\w+;media=(srtp|rtp)", attributes)


def test_targets_are_asked_for_a_certificate() -> None:
    tls = (EDGE / "tls.cfg").read_text(encoding="utf-8")
    client = tls.partition("[client:default]")[2]
    assert "verify_certificate = yes" in client
    assert "require_certificate = yes" in client
    assert "method = TLSv1.2+" in client


def test_nothing_of_it_runs_as_root() -> None:
    stages = (EDGE / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")[1:]
    assert len(stages) == 2
    for stage in stages:
        assert re.search(r"(?m)^USER (kamailio|media)$", stage)
    for service in yaml.safe_load((EDGE / "compose.yaml").read_text(encoding="utf-8"))["services"].values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
