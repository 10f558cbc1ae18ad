"""Callers who act when the test tells them to: how long a machine takes for the rest is nothing to them."""

from __future__ import annotations

from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.server import Simulator
from tests.support.eventually import eventually


async def say(simulator: Simulator, call: SimulatedCall, text: str) -> None:
    """Let the virtual caller of ``call`` say ``text`` once the agent is silent.

    Returns when the agent has answered, or the call is over. The caller must have no steps left.
    """
    caller = simulator.calls.caller_of(call)
    assert caller is not None, "a real telephone cannot be prompted"
    await call.wait_answered()
    await eventually(lambda: call.conversation is not None and call.conversation.agent_is_idle)
    caller.say(text)
    await eventually(lambda: call.state.is_over or _was_answered(call, text))


async def attached_again(call: SimulatedCall) -> None:
    """Return once another than the first who was attached to ``call`` is attached, and alone."""
    controllers = call.controllers
    await eventually(lambda: len(controllers.attachments) > 1 and len(controllers.sockets) == 1)


def _was_answered(call: SimulatedCall, text: str) -> bool:
    assert call.conversation is not None, "somebody spoke"
    lines = call.conversation.transcript
    heard = any(line.role == "caller" and line.text == text for line in lines)
    return heard and lines[-1].role == "agent" and call.conversation.agent_is_idle
