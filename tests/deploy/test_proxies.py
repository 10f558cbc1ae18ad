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
    assert len(re.findall(r"proxy_pass |reverse_proxy ", written)) == 1
    assert re.search(r"(respond|return) 404", written), "whatever else is asked for is not there"
    assert "POST" in written
    assert not re.search(r"/metrics|/readyz|/admin", written)


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
