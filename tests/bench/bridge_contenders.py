"""One media bridge, in a process of its own: carriers' media streams to realtime sessions.

    python -m tests.bench.bridge_contenders NAME API_PORT

Prints one line of JSON: ``stream`` is the URL of its media streams, or ``voice`` that of its voice webhook,
and ``public`` what is signed in its place. The end of its input is its own end.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

INSTRUCTIONS = "You answer the phone of a dental practice. Be brief and kind."
ACCOUNT, TOKEN = "AC" + "0" * 32, "bench-token"
PUBLIC_URL = "https://phone.example.com"

Started = dict[str, str]
Contender = Callable[[str, asyncio.Event], Awaitable[None]]
"""Serves against an API at this origin, such as ``127.0.0.1:1234``, until the event."""


def say(started: Started) -> None:
    """Tell whoever started this process."""
    sys.stdout.write(json.dumps(started) + "\n")
    sys.stdout.flush()


def as_serve_does() -> None:
    """The garbage collector as `sipagent serve` sets it, for everybody."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


# Ours ----------------------------------------------------------------------------------------------------


async def ours(api: str, stop: asyncio.Event) -> None:
    """The whole service, as `sipagent serve` runs it: webhook, front door, supervisor, record, bridge."""
    from sipagent.app import Service, ServiceSettings
    from sipagent.calls import AgentProfile, CallTool, FrontDoor, Route
    from sipagent.carrier.settings import AnswerByStream, AnswerPlan, CarrierSettings, TwilioSettings
    from sipagent.realtime import RealtimeAgent
    from sipagent.store import MemoryCallStore

    profile = AgentProfile(
        name="practice",
        agent=RealtimeAgent(name="practice", instructions=INSTRUCTIONS),
        settings={"model_name": "gpt-realtime-2.1", "turn_detection": {"type": "server_vad"}},
        call_tools=(CallTool.HANG_UP,),
    )
    carriers = CarrierSettings(
        public_url=PUBLIC_URL,
        plan=AnswerPlan(steps=(AnswerByStream(),)),
        twilio=TwilioSettings(account_sid=ACCOUNT, auth_tokens=(TOKEN,)),
    )
    service = Service(
        front_door=FrontDoor(
            profiles={"practice": profile}, routes=(Route(agent="practice"),), fingerprint="bench"
        ),
        api_key="bench",
        base_url=f"http://{api}/v1",
        webhook_secrets=["whsec_" + base64.b64encode(b"bench" * 8).decode()],
        store=MemoryCallStore(),
        settings=ServiceSettings(port=0, drain_timeout_s=0.1),
        carriers=carriers,
    )
    async with service:
        as_serve_does()
        origin = f"127.0.0.1:{service.port}"
        say({"voice": f"http://{origin}/carriers/twilio/voice", "public": PUBLIC_URL, "origin": origin})
        await stop.wait()


# The Agents SDK ------------------------------------------------------------------------------------------


async def sdk(api: str, stop: asyncio.Event) -> None:
    """`openai-agents`, put together as its Twilio example is: audio in pieces of 50 ms to the session, what
    comes at once to the caller with a mark behind it, and its playback tracker told of marks."""
    web = importlib.import_module("aiohttp.web")
    realtime = importlib.import_module("agents.realtime")
    agent = realtime.RealtimeAgent(name="practice", instructions=INSTRUCTIONS)

    async def media(request: Any) -> Any:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        tracker = realtime.RealtimePlaybackTracker()
        settings = {"input_audio_format": "g711_ulaw", "output_audio_format": "g711_ulaw"}
        config = {
            "api_key": "bench",
            "url": f"ws://{api}/v1/realtime?model=bench",
            "playback_tracker": tracker,
            "initial_model_settings": settings,
        }
        session = await realtime.RealtimeRunner(agent).run(model_config=config)
        stream: list[str] = []
        marks: dict[str, tuple[str, int, bytes]] = {}

        async def send(message: dict[str, Any]) -> None:
            await socket.send_str(json.dumps({**message, "streamSid": stream[0]}))

        async def to_caller() -> None:
            count = 0
            async for event in session:
                if event.type == "audio":
                    audio = event.audio.data
                    payload = base64.b64encode(audio).decode()
                    await send({"event": "media", "media": {"payload": payload}})
                    count += 1
                    marks[str(count)] = (event.audio.item_id, event.audio.content_index, audio)
                    await send({"event": "mark", "mark": {"name": str(count)}})
                elif event.type == "audio_interrupted":
                    await send({"event": "clear"})

        async with session:
            reading: asyncio.Task[None] | None = None
            waiting = bytearray()
            try:
                async for packet in socket:
                    message = json.loads(packet.data)
                    match message["event"]:
                        case "start":
                            stream.append(message["start"]["streamSid"])
                            reading = asyncio.create_task(to_caller())
                        case "media":
                            waiting += base64.b64decode(message["media"]["payload"])
                            if len(waiting) >= 400:
                                await session.send_audio(bytes(waiting))
                                waiting.clear()
                        case "mark":
                            if (played := marks.pop(message["mark"]["name"], None)) is not None:
                                tracker.on_play_bytes(*played)
                        case _:
                            pass
            finally:
                if reading is not None:
                    reading.cancel()
        return socket

    app = web.Application()
    app.router.add_get("/media", media)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    as_serve_does()
    say({"stream": f"ws://127.0.0.1:{port}/media"})
    await stop.wait()


# Pipecat -------------------------------------------------------------------------------------------------


async def pipecat(api: str, stop: asyncio.Event) -> None:
    """`pipecat-ai`, as its guide to Twilio puts it together: FastAPI, serializer, realtime service."""
    importlib.import_module("loguru").logger.remove()
    fastapi = importlib.import_module("fastapi")
    uvicorn = importlib.import_module("uvicorn")
    here = importlib.import_module("pipecat.transports.websocket.fastapi")
    pipeline = importlib.import_module("pipecat.pipeline.pipeline")
    worker = importlib.import_module("pipecat.pipeline.task")
    run = importlib.import_module("pipecat.pipeline.runner")
    serializers = importlib.import_module("pipecat.serializers.twilio")
    service = importlib.import_module("pipecat.services.openai.realtime.llm")
    app = fastapi.FastAPI()

    async def media(socket: Any) -> None:
        await socket.accept()
        await socket.receive_text()
        start = json.loads(await socket.receive_text())["start"]
        serializer = serializers.TwilioFrameSerializer(
            stream_sid=start["streamSid"],
            call_sid=start["callSid"],
            params=serializers.TwilioFrameSerializer.InputParams(auto_hang_up=False),
        )
        transport = here.FastAPIWebsocketTransport(
            websocket=socket,
            params=here.FastAPIWebsocketParams(
                audio_in_enabled=True, audio_out_enabled=True, serializer=serializer
            ),
        )
        model = service.OpenAIRealtimeLLMService(api_key="bench", base_url=f"ws://{api}/v1/realtime")
        whole = pipeline.Pipeline([transport.input(), model, transport.output()])
        task = worker.PipelineTask(
            whole, params=worker.PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000)
        )
        await run.PipelineRunner(handle_sigint=False).run(task)

    media.__annotations__["socket"] = fastapi.WebSocket
    app.websocket("/media")(media)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    as_serve_does()
    say({"stream": f"ws://127.0.0.1:{port}/media"})
    await stop.wait()
    server.should_exit = True
    await serving


CONTENDERS: dict[str, Contender] = {
    "sipagent": ours,
    "sipagent, asyncio": ours,
    "SDK": sdk,
    "pipecat": pipecat,
}
NEEDS = {"sipagent": "uvloop", "sipagent, asyncio": "sipagent", "SDK": "agents", "pipecat": "pipecat"}
ON_UVLOOP = "sipagent"
"""As `sipagent serve` runs where uvloop is installed; whoever wants it for the others has to say so."""


async def main() -> None:
    """Serve until the end of the input."""
    name, port = sys.argv[1:]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: None if sys.stdin.readline() else stop.set())
    await CONTENDERS[name](f"127.0.0.1:{port}", stop)


if __name__ == "__main__":
    if sys.argv[1] == ON_UVLOOP:
        importlib.import_module("uvloop").run(main())
    else:
        asyncio.run(main())
