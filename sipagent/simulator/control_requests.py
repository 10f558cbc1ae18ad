"""What the control APIs have in common: the shape of bodies and errors, and waiting for the end of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sipagent.errors import SimulatorError

LONGEST_WAIT_S = 300.0

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Body(BaseModel):
    """What may be asked for; a key that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Digits(Body):
    """Keys that a caller presses."""

    digits: str


class Faults(Body):
    """The faults that are to be on, separated by commas."""

    faults: str


BodyT = TypeVar("BodyT", bound=Body)


@web.middleware
async def explain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answers an error as ``{"error": "what is wrong"}``."""
    try:
        response: web.StreamResponse = await handler(request)
    except SimulatorError as error:
        return web.json_response({"error": str(error)}, status=400)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    return response


async def read_body(request: web.Request, shape: type[BodyT]) -> BodyT:
    """The body in ``shape``; an empty one counts as ``{}``. Raises `SimulatorError`."""
    raw = await request.read()
    try:
        return shape.model_validate(json.loads(raw or b"{}"))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise SimulatorError(problems) from error
    except ValueError as error:
        raise SimulatorError(f"the body is no JSON: {error}") from error


async def wait_as_asked(request: web.Request, end: Callable[[], Awaitable[object]]) -> None:
    """Wait for ``end`` as long as the ``wait_s`` of the address says, and not at all without one.

    Returns as well when the time is over; raises `SimulatorError` when ``wait_s`` is no number.
    """
    wait = request.query.get("wait_s")
    if wait is None:
        return
    try:
        async with asyncio.timeout(min(float(wait), LONGEST_WAIT_S)):
            await end()
    except ValueError:
        raise SimulatorError(f"wait_s is a number of seconds, not {wait!r}") from None
    except TimeoutError:
        pass  # whoever asked is shown what is there
