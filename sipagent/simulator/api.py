"""The HTTP side of the pretended service: Calls API and Realtime socket, as the real ones answer.

Paths, statuses and error bodies follow the API reference of ``/v1/realtime/calls`` and ``/v1/realtime``;
session objects are checked against the types of the `openai` package.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, assert_never

from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.call_table import CallTable
from sipagent.simulator.call_values import Verdict
from sipagent.simulator.calls import CallSurroundings, SimulatedCall
from sipagent.simulator.conversation import Conversation
from sipagent.simulator.faults import FAULT_HEADER, Fault, FaultSet
from sipagent.simulator.parameters import check_session
from sipagent.simulator.realtime_socket import MAX_MESSAGE_BYTES, RealtimeSocket

MAX_BODY_BYTES = 1024 * 1024
REJECT_STATUSES = range(300, 700)
MODELS = (
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime-mini",
)
"""What ``GET /models`` lists; sessions take any name."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CallDirectory(Protocol):
    """What the API needs of a simulator (`sipagent.simulator.server`; here it breaks a cycle)."""

    faults: FaultSet
    """The faults of sessions without a call."""
    calls: CallTable

    @property
    def surroundings(self) -> CallSurroundings:
        """What sessions without a call are made of."""


def error_response(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> web.Response:
    """An error in the documented shape; the type follows from the status."""
    kind = "invalid_request_error"
    if status >= 500:
        kind = "server_error"
    elif status == 429:
        kind = "rate_limit_error"
    return web.json_response(
        {"error": {"message": message, "type": kind, "param": param, "code": code}}, status=status
    )


def _call_not_found() -> web.Response:
    return error_response(404, "No session found for the given call_id.", code="call_id_not_found")


class RealtimeApi:
    """The routes below ``/v1``."""

    def __init__(self, directory: CallDirectory, *, api_key: str | None, project: str | None = None) -> None:
        """With ``api_key`` of None any bearer token is good, but there must be one. It belongs to
        ``project``, of which requests may name no other."""
        self._directory = directory
        self._api_key = api_key
        self._project = project
        self._sockets: set[RealtimeSocket] = set()

    def application(self) -> web.Application:
        """The routes, to be mounted at ``/v1``."""
        app = web.Application(middlewares=[self._authorize], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/realtime", self._connect)
        app.router.add_get("/models", self._models)
        app.router.add_post("/realtime/calls/{call_id}/accept", self._accept)
        app.router.add_post("/realtime/calls/{call_id}/reject", self._reject)
        app.router.add_post("/realtime/calls/{call_id}/refer", self._refer)
        app.router.add_post("/realtime/calls/{call_id}/hangup", self._hang_up)
        return app

    def abort_sockets(self) -> None:
        """Break every connection; for the end of the simulator."""
        for socket in self._sockets:
            socket.abort()

    async def _models(self, request: web.Request) -> web.StreamResponse:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "system"} for name in MODELS]
        return web.json_response({"object": "list", "data": models})

    # Calls

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        call = self._directory.calls.find(request.match_info["call_id"])
        if call is None or call.strikes(Fault.ACCEPT_404):
            return _call_not_found()
        if call.strikes(Fault.ACCEPT_429):
            return error_response(
                429, "Rate limit reached for requests. Please try again later.", code="rate_limit_exceeded"
            )
        if call.strikes(Fault.ACCEPT_500):
            return _server_error()
        session = await _json_object(request)
        if isinstance(session, web.Response):
            return session
        if (problem := check_session(session)) is not None:
            return error_response(400, problem.message, code=problem.code, param=problem.param)
        await asyncio.sleep(call.faults.seconds(Fault.ACCEPT_SLOW))
        return _answer(call.note_request("accept", call.accept(session)))

    async def _reject(self, request: web.Request) -> web.StreamResponse:
        call = self._directory.calls.find(request.match_info["call_id"])
        if call is None:
            return _call_not_found()
        body = await _json_object(request)
        if isinstance(body, web.Response):
            return body
        if (unknown := _unknown_parameter(body, {"status_code"})) is not None:
            return unknown
        status = body.get("status_code")
        if status is not None and (type(status) is not int or status not in REJECT_STATUSES):
            return error_response(
                400,
                f"Invalid value: {status!r}. Expected an integer from 300 to 699.",
                code="invalid_value",
                param="status_code",
            )
        return _answer(call.note_request("reject", call.reject(status)))

    async def _refer(self, request: web.Request) -> web.StreamResponse:
        call = self._directory.calls.find(request.match_info["call_id"])
        if call is None:
            return _call_not_found()
        if call.strikes(Fault.REFER_500):
            return _server_error()
        body = await _json_object(request)
        if isinstance(body, web.Response):
            return body
        if (unknown := _unknown_parameter(body, {"target_uri"})) is not None:
            return unknown
        target = body.get("target_uri")
        if target is None:
            return error_response(
                400,
                "Missing required parameter: 'target_uri'.",
                code="missing_required_parameter",
                param="target_uri",
            )
        if not isinstance(target, str) or not _is_target(target):
            return error_response(
                400,
                f"Invalid value: {target!r}. Expected a tel: or sip: URI.",
                code="invalid_value",
                param="target_uri",
            )
        return _answer(call.note_request("refer", await call.refer(target)))

    async def _hang_up(self, request: web.Request) -> web.StreamResponse:
        call = self._directory.calls.find(request.match_info["call_id"])
        if call is None:
            return _call_not_found()
        return _answer(call.note_request("hangup", call.hang_up()))

    # The socket

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if (call_id := request.query.get("call_id")) is not None:
            call = self._directory.calls.find(call_id)
            if call is None or not call.is_attachable or call.strikes(Fault.SOCKET_404):
                return _call_not_found()
            return await self._serve_call(request, call)
        if (model := request.query.get("model")) is not None:
            return await self._serve_model(request, model)
        return error_response(
            400,
            "You must provide a model or a call_id parameter.",
            code="missing_required_parameter",
            param="model",
        )

    async def _serve_call(self, request: web.Request, call: SimulatedCall) -> web.StreamResponse:
        websocket, socket = await self._upgrade(request)
        if not call.attach(socket):  # it ended during the handshake
            socket.abort()
            return websocket
        self._sockets.add(socket)
        try:
            await socket.serve(lambda text: call.receive(socket, text))
        finally:
            self._sockets.discard(socket)
            call.detach(socket)
        return websocket

    async def _serve_model(self, request: web.Request, model: str) -> web.StreamResponse:
        """A session without a telephone: audio goes over the socket, and the session ends with it."""
        try:
            asked = FaultSet.parse_all(request.headers.getall(FAULT_HEADER, []))
        except SimulatorError as error:
            return error_response(400, str(error), code="invalid_value", param=FAULT_HEADER)
        faults = self._directory.faults | asked
        if Fault.SOCKET_404 in faults:
            return _call_not_found()
        websocket, socket = await self._upgrade(request)
        surroundings = self._directory.surroundings
        conversation = Conversation(
            session={"type": "realtime", "model": model},
            leg=None,
            script=surroundings.script,
            voice=surroundings.voice,
            faults=faults,
            call_label=f"socket {secrets.token_hex(4)}",
            host=_SocketHost(socket),
        )
        self._sockets.add(socket)
        try:
            conversation.attach(socket.send)
            await socket.serve(conversation.receive)
        finally:
            self._sockets.discard(socket)
            conversation.detach()
            await conversation.aclose()
        return websocket

    async def _upgrade(self, request: web.Request) -> tuple[web.WebSocketResponse, RealtimeSocket]:
        websocket = web.WebSocketResponse(
            protocols=("realtime",), compress=False, max_msg_size=MAX_MESSAGE_BYTES
        )
        await websocket.prepare(request)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the peer left during the handshake")
        return websocket, RealtimeSocket(websocket, transport)

    # Around every request

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return error_response(
                401, "You didn't provide an API key in an Authorization header (Bearer YOUR_KEY)."
            )
        if self._api_key is not None and not secrets.compare_digest(token.encode(), self._api_key.encode()):
            return error_response(401, "Incorrect API key provided.", code="invalid_api_key")
        if (
            self._project is not None
            and request.headers.get("OpenAI-Project", self._project) != self._project
        ):
            message = "OpenAI-Project header should match project for API key"
            return error_response(401, message, code="mismatched_project")
        try:
            response = await handler(request)
        except web.HTTPException as error:  # no such path, no such method, body too large
            message = f"{error.reason} ({request.method} {request.path})"
            response = error_response(error.status, message)
        if not response.prepared:
            response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
            if self._project is not None:
                response.headers["openai-project"] = self._project
        return response


class _SocketHost:
    """`ConversationHost` of a session without a call: the caller is the socket."""

    def __init__(self, socket: RealtimeSocket) -> None:
        self._socket = socket

    def drop_socket(self) -> None:
        self._socket.abort()

    def hang_up_as_caller(self) -> None:
        self._socket.abort()

    def agent_finished(self) -> None:
        return


async def _json_object(request: web.Request) -> Mapping[str, Any] | web.Response:
    """The body as an object, ``{}`` when there is none; or the answer to one that is neither."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        body: object = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return error_response(
            400, "We could not parse the JSON body of your request: expected a JSON object."
        )
    return body


def _unknown_parameter(body: Mapping[str, Any], known: set[str]) -> web.Response | None:
    for name in body:
        if name not in known:
            return error_response(400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)
    return None


def _is_target(uri: str) -> bool:
    scheme, _, rest = uri.partition(":")
    return scheme.lower() in {"tel", "sip", "sips"} and bool(rest) and uri.isprintable() and " " not in uri


def _server_error() -> web.Response:
    return error_response(500, "The server had an error while processing your request. Sorry about that!")


def _answer(verdict: Verdict) -> web.Response:
    """The HTTP answer to what became of a request. Success has no body."""
    match verdict:
        case Verdict.DONE:
            return web.Response(status=200)
        case Verdict.GONE:
            return _call_not_found()
        case Verdict.ALREADY_DECIDED:
            return error_response(
                400, "The call has already been accepted or rejected.", code="decision_already_made"
            )
        case Verdict.NOT_ANSWERED:
            return error_response(400, "The call is not answered yet.", code="call_not_answered")
        case Verdict.REFUSED:
            return error_response(500, "The other side of the call did not take the REFER.")
        case never:
            assert_never(never)
