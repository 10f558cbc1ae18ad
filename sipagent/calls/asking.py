"""Has the agent of a session say something that neither its caller nor a tool asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from sipagent.errors import SipAgentError
from sipagent.realtime import RealtimeModelRequestResponse, RealtimeSession

logger = logging.getLogger(__name__)

ASKING_TIMEOUT_S = 5.0
"""Longest wait for a command to be sent; a socket that takes longer is being re-attached."""


async def ask_for_words(session: RealtimeSession, instructions: str) -> bool:
    """Have the agent speak by ``instructions``, which hold for this response alone and keep it from using
    tools. False when that could not be asked for. Cancel-safe as `RealtimeSession.say`."""
    request = RealtimeModelRequestResponse(response={"instructions": instructions, "tool_choice": "none"})
    return await ask(session.model.send_event(request))


async def tell_agent(session: RealtimeSession, text: str, *, respond: bool) -> bool:
    """Tell the agent ``text`` and, with ``respond``, have it speak. False when that could not be asked for.
    Cancel-safe as `RealtimeSession.say`."""
    told = await ask(session.add_system_message(text))
    return told and (not respond or await ask(session.request_response()))


async def ask(request: Awaitable[None]) -> bool:
    """Await ``request`` to a session; False when it failed, or took too long. Cancel-safe as it is."""
    try:
        async with asyncio.timeout(ASKING_TIMEOUT_S):
            await request
    except (SipAgentError, TimeoutError) as error:
        logger.info("The agent could not be asked to speak: %s %s", type(error).__name__, error)
        return False
    return True
