from __future__ import annotations

from typing import Any

import pytest

from sipagent.calls.tools.mcp_spec import McpServerSpec, McpTools
from sipagent.errors import UserError

SECRET = "s3cret-of-the-shop"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"command": ("x",), "url": "http://x.test/"},
        {"url": "x.test"},
        {"url": "http://x.test/", "env": {"A": "b"}},
        {"url": "http://x.test/", "headers": {"A": "b\nc"}},
        {"command": ("x",), "headers": {"A": "b"}},
        {"command": ("x",), "start_timeout_s": 0},
    ],
)
def test_a_server_that_could_not_be_reached_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        McpServerSpec(name="shop", **changes)


def test_a_call_takes_some_time() -> None:
    with pytest.raises(UserError, match="above 0 s"):
        McpTools(server=McpServerSpec(name="shop", command=("x",)), timeout_s=0.0)


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(McpServerSpec(name="x", command=("x",), env={"KEY": SECRET}))
    over_http = McpServerSpec(name="x", url=f"http://x.test/{SECRET}", headers={"A": SECRET})
    assert SECRET not in repr(McpTools(server=over_http))


def test_servers_that_are_said_to_be_the_same_are_the_same() -> None:
    one = McpServerSpec(name="x", command=("x",), env={"A": "b"})
    assert one == McpServerSpec(name="x", command=("x",), env={"A": "b"})
    assert one != McpServerSpec(name="x", command=("x",), env={"A": "c"})
    assert McpTools(server=one, place=("a", 1)) == McpTools(server=one, place=("b", 2))
