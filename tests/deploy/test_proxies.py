"""The proxies to copy let webhooks in, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sipagent.app import WEBHOOK_PATH
from sipagent.calls.connections import IDLE_S
from sipagent.calls.webhook import MAXIMUM_BODY_BYTES

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("Caddyfile", "nginx.conf")
WAYS_IN = {
    "Caddyfile": (
        WEBHOOK_PATH,
        "/carriers/twilio/* /carriers/telnyx/*",
        "/carriers/twilio/media /carriers/telnyx/media",
    ),
    "nginx.conf": (WEBHOOK_PATH, "^/carriers/(twilio|telnyx)/media$", "^/carriers/(twilio|telnyx)/", "/"),
}
"""All that the proxies have a place for; what falls through is answered 404."""


def text(name: str) -> str:
    """The file without its comments."""
    return re.sub(r"(?m)^\s*#.*$", "", (DEPLOY / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_its_braces_close(name: str) -> None:
    depth = 0
    for letter in re.sub(r"\{[a-z_]+\}", "", text(name)):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("name", FILES)
def test_only_webhooks_come_through(name: str) -> None:
    written = text(name)
    assert written.count(WEBHOOK_PATH) == 1
    ways_in = re.findall(r"(?m)^\s*(?:path|location(?: [=~])?) ([/^].*?)(?: \{)?$", written)
    assert sorted(ways_in) == sorted(WAYS_IN[name])
    assert re.search(r"(respond|return) 404", written), "whatever else is asked for is not there"
    assert "POST" in written
    assert not re.search(r"/metrics|/readyz|/admin|/asterisk", written)


def test_audio_of_carriers_comes_through_and_is_not_taken_for_a_webhook() -> None:
    nginx = text("nginx.conf")
    audio, webhooks = WAYS_IN["nginx.conf"][1:3]
    assert nginx.index(audio) < nginx.index(f"~ {webhooks} {{"), "of patterns, the first that fits counts"
    assert re.search(r"Upgrade \$http_upgrade;\s+proxy_set_header Connection \"upgrade\"", nginx)
    assert text("Caddyfile").count("import service") == 3


@pytest.mark.parametrize("name", FILES)
def test_whom_a_stranger_claims_to_be_is_overwritten(name: str) -> None:
    written = text(name)
    assert re.search(r"X-Forwarded-For (\{remote_host\}|\$remote_addr)", written)
    assert "proxy_add_x_forwarded_for" not in written


@pytest.mark.parametrize("name", FILES)
def test_its_bounds_are_ours(name: str) -> None:
    assert re.search(rf"\b{MAXIMUM_BODY_BYTES // 1024}(KB|k)\b", text(name))
    assert "Strict-Transport-Security" in text(name)


def test_a_connection_that_a_proxy_keeps_is_kept_longer_by_us() -> None:
    assert IDLE_S > 120, "Caddy keeps one for two minutes, nginx for one"


@pytest.mark.skipif(shutil.which("caddy") is None, reason="Caddy is not installed")
def test_caddy_understands_it() -> None:
    asked = ["caddy", "adapt", "--config", str(DEPLOY / "Caddyfile")]
    subprocess.run(asked, check=True, capture_output=True, timeout=60)
