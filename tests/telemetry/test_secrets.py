"""No secret reaches the log, by whichever logger, argument, field, traceback or package it comes."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import aiohttp
import openai
import pytest
import websockets
from aiohttp import web

from sipagent.errors import StoreError, UserError
from sipagent.telemetry import configure_logging
from tests.support.web import serving

SECRETS = {
    "api key": "sk-proj-Abc123_def-456ghi",
    "webhook secret": "whsec_" + base64.b64encode(b"a secret of 32 bytes, not less").decode(),
    "password of the database": "p@ss/word:with?signs",
    "token": "0123456789abcdef0123456789abcdef",
    "words": "correct horse battery staple",
    "beginning of another": "correct horse",
    "signs": 'quo"te\\back{brace}%s%(x)s',
}
LOUD = (
    "aiohttp",
    "openai",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "websockets",
    "asyncio",
    "sqlalchemy",
)


@contextmanager
def logged(*, as_json: bool) -> Iterator[io.StringIO]:
    """What is written while everybody is as loud as they can be."""
    names = ("", "sipagent", *LOUD)
    before = {name: logging.getLogger(name).level for name in names}
    stream, root = io.StringIO(), logging.getLogger()
    others, root.handlers = root.handlers, []
    handler = configure_logging(as_json=as_json, level="DEBUG", secrets=list(SECRETS.values()), stream=stream)
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        root.removeHandler(handler)
        root.handlers = others
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def forms(secret: str) -> set[str]:
    """How a secret may be written, and still be known to whoever reads it."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}


def nothing_leaked(written: str) -> None:
    assert written, "something was logged at all"
    leaked = [name for name, secret in SECRETS.items() for form in forms(secret) if form in written]
    assert not leaked


class Thing:
    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __str__(self) -> str:
        return f"a thing of {self.secret}"

    __repr__ = __str__


def fails(secret: str) -> None:
    try:
        raise UserError(f"the first one knew {secret}")
    except UserError as error:
        raise StoreError(f"so did the second: {secret}") from error


def by_message(logger: logging.Logger, secret: str) -> None:
    logger.warning(f"it is {secret}!")  # noqa: G004 - as others do


def by_argument(logger: logging.Logger, secret: str) -> None:
    logger.info("it is %s, or %r", secret, secret)


def by_misfit(logger: logging.Logger, secret: str) -> None:
    logger.error("too many: %s", secret, secret)


def by_object(logger: logging.Logger, secret: str) -> None:
    logger.info("it is in %s and in %r", Thing(secret), [Thing(secret)])


def by_field(logger: logging.Logger, secret: str) -> None:
    fields = {
        "url": f"https://host/?key={quote(secret, safe='')}",
        "deep": [{"er": {"x": secret}}],
        secret: 1,
    }
    logger.info("fields", extra={"fields": fields})


def by_telling_field(logger: logging.Logger, secret: str) -> None:
    logger.info("fields", extra={"fields": {"password": secret[:3], "Authorization": secret}})


def by_exception(logger: logging.Logger, secret: str) -> None:
    try:
        fails(secret)
    except StoreError:
        logger.exception("it failed with %s", secret)


def by_group(logger: logging.Logger, secret: str) -> None:
    logger.error("a group", exc_info=ExceptionGroup("all", [ValueError(secret), KeyError(secret)]))


def by_stack(logger: logging.Logger, secret: str) -> None:
    logger.warning("%s", secret, stack_info=True)


def by_call_id(logger: logging.Logger, secret: str) -> None:
    logger.info("a call", extra={"call_id": secret})


WAYS: tuple[Callable[[logging.Logger, str], None], ...] = (
    by_message, by_argument, by_misfit, by_object, by_field, by_telling_field, by_exception, by_group,
    by_stack, by_call_id,
)  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True], ids=["sentences", "json"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=list(SECRETS))
def test_a_secret_is_not_logged(
    secret: str, way: Callable[[logging.Logger, str], None], *, as_json: bool
) -> None:
    with logged(as_json=as_json) as stream:
        for name in ("sipagent.calls.client", "some.package", *LOUD):
            way(logging.getLogger(name), secret)
    nothing_leaked(stream.getvalue())


@pytest.mark.parametrize("as_json", [False, True], ids=["sentences", "json"])
async def test_packages_that_log_what_they_send_log_no_secret(*, as_json: bool) -> None:
    key = SECRETS["api key"]
    headers = {"Authorization": f"Bearer {key}", "X-Token": SECRETS["token"], "Cookie": SECRETS["words"]}

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": f"Incorrect API key: {key}"}}, status=401)

    async def crash(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            raise RuntimeError(f"no handler for {message!r}")

    with logged(as_json=as_json) as stream:
        async with serving(refuse) as url, asyncio.timeout(30):
            client = openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=1, default_headers=headers)
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
            await client.close()
            async with (
                aiohttp.ClientSession(headers=headers) as http,
                http.get(f"{url}/?k={key}") as response,
            ):
                logging.getLogger("aiohttp.client").debug(
                    "%s %s", response.request_info, await response.text()
                )
        async with (
            websockets.serve(crash, "127.0.0.1", 0) as server,
            asyncio.timeout(30),
        ):
            port = next(iter(server.sockets)).getsockname()[1]
            uri = f"ws://127.0.0.1:{port}/?k={SECRETS['token']}"
            async with websockets.connect(uri, additional_headers=headers) as socket:
                await socket.send(json.dumps({"type": "session.update", "secret": SECRETS["token"]}))
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
    written = stream.getvalue()
    assert "websockets" in written or "session.update" in written, "it was loud indeed"
    nothing_leaked(written)
