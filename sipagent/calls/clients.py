"""A client of the Calls API for each address in use: a reload may name another one while calls are up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import TracebackType
from typing import Self

from sipagent.calls.client import CallsClient


class CallsClients:
    """The clients of one service, with one key. Used as an async context manager: leaving closes them."""

    def __init__(self, *, api_key: str) -> None:
        self._api_key = api_key
        self._open: dict[str, CallsClient] = {}
        self._closing = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._closing.__aenter__()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.keep_only(())
        # What went wrong around the clients is none of theirs.
        await self._closing.__aexit__(None, None, None)

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, base_url: str) -> CallsClient:
        """The client of ``base_url``, which is open until `keep_only` is called without it.

        Raises `UserError` for what is no URL. Cancel-safe.
        """
        if base_url not in self._open:
            client = CallsClient(api_key=self._api_key, base_url=base_url)
            self._open[base_url] = await client.__aenter__()
        return self._open[base_url]

    def keep_only(self, base_urls: Collection[str]) -> None:
        """Close the clients of all other addresses; nobody may use them any more."""
        for base_url in tuple(self._open):
            if base_url not in base_urls:
                client = self._open.pop(base_url)
                self._closing.create_task(client.__aexit__(None, None, None), name="Calls API: closing")
