"""Who is let in, as the file says it."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from sipagent.calls.access import Access, Role
from sipagent.calls.sources import LOCAL_NETWORKS
from sipagent.config import load_configuration
from sipagent.errors import ConfigurationError

ALICE, BOB = "a" * 32, "b" * 32
BASE = """\
version: 1
agents: {desk: {instructions: Hi.}}
routes: [{agent: desk}]
"""


def access(tmp_path: Path, text: str, **variables: str) -> Access:
    file = tmp_path / "sipagent.yaml"
    file.write_text(BASE + text)
    return load_configuration(file, variables).access


def test_nobody_is_let_in_unless_a_token_is_written(tmp_path: Path) -> None:
    found = access(tmp_path, "")
    assert found == Access()
    assert not found.is_open_to_somebody
    assert found.visitor("") is None
    assert tuple(found.trusted_proxies) == LOCAL_NETWORKS


def test_tokens_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "bob").write_text(BOB + "\n")
    text = """\
admin:
  listen: "[::1]:9090"
  tokens:
    - {name: alice, token: "${ALICE}", role: read}
    - {name: bob, token: "${file:bob}", role: admin}
server:
  trusted_proxies: [203.0.113.0/24, "2001:db8::1"]
"""
    found = access(tmp_path, text, ALICE=ALICE)
    assert found.listen == ("::1", 9090)
    assert tuple(found.trusted_proxies) == (ip_network("203.0.113.0/24"), ip_network("2001:db8::1"))
    alice, bob = found.visitor(ALICE), found.visitor(BOB)
    assert alice is not None
    assert bob is not None
    assert (alice.name, alice.role, bob.name, bob.role) == ("alice", Role.READ, "bob", Role.ADMIN)
    assert found.visitor(ALICE + "x") is None
    assert ALICE not in repr(found)


def test_tokens_are_among_the_secrets_that_no_log_may_hold(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(BASE + 'admin: {tokens: [{name: alice, token: "${ALICE}", role: read}]}\n')
    loaded = load_configuration(file, {"ALICE": ALICE})
    assert ALICE in loaded.secrets
    assert ALICE not in loaded.text


def test_two_tokens_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    text = """\
admin:
  tokens:
    - {name: alice, token: "${A}", role: read}
    - {name: alice, token: "${B}", role: read}
"""
    with pytest.raises(ConfigurationError, match="Two tokens are called alice"):
        access(tmp_path, text, A=ALICE, B=BOB)
