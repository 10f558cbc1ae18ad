"""The first route that matches wins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipagent.calls import AgentProfile, FrontDoor, IncomingCall, Route
from sipagent.realtime import RealtimeAgent
from tests.calls.test_journal import CALL


def door(*routes: Route) -> FrontDoor:
    names = {route.agent for route in routes}
    profiles = {name: AgentProfile(name=name, agent=RealtimeAgent(name=name), settings={}) for name in names}
    return FrontDoor(profiles=profiles, routes=routes, fingerprint="x")


def answered_by(door: FrontDoor, dialled: str | None) -> str | None:
    call: IncomingCall = replace(CALL, dialled=dialled)
    profile = door.choose(call)
    return None if profile is None else profile.name


@pytest.mark.parametrize(
    ("dialled", "agent"), [("+15550100000", "front"), ("+15550100001", "billing"), ("+15550100002", "all")]
)
def test_first_match_wins(dialled: str, agent: str) -> None:
    routes = (
        Route(to="+15550100000", agent="front"),
        Route(to="+15550100001", agent="billing"),
        Route(agent="all"),
        Route(to="+15550100002", agent="never"),
    )
    assert answered_by(door(*routes), dialled) == agent


def test_without_a_default_some_calls_match_nothing() -> None:
    only = door(Route(to="+15550100000", agent="front"))
    assert answered_by(only, "+15550100009") is None
    assert answered_by(only, None) is None
