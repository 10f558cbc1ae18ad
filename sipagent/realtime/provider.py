"""Where a Realtime API is, and how it wants to be shown a key: OpenAI, its regions, Azure, and whoever
speaks the same.

All of them have a REST base; the socket is ``/realtime`` below it. Sources: API reference "Realtime", guide
"Your data" (regional hosts), and Microsoft's "Use the GPT Realtime API via SIP" and "via WebSockets".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from sipagent.errors import UserError

DEFAULT_BASE_URL = "https://api.openai.com/v1"
AUTHORIZATION = "Authorization"
AZURE_KEY_HEADER = "api-key"

OpenAIRegion = Literal["us", "eu", "au", "ca", "jp", "in", "sg", "kr", "gb", "ae"]
"""The regions in which a project of OpenAI may keep its data; each has a host of its own."""

_SCHEMES = {"https": "wss", "http": "ws", "wss": "wss", "ws": "ws"}
_REST_SCHEMES = {"https": "https", "http": "http", "wss": "https", "ws": "http"}
_AZURE_PATH = "/openai/v1"
_AZURE_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")
"""Of a resource: its own host, the one of its Foundry project, and the older custom domain."""
_RESOURCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeProvider:
    """A Realtime API. Made by `openai_provider`, `azure_provider`, or `provider_of` from a base URL.

    Raises `UserError` for a base that is no URL, and for a header that is none.
    """

    base_url: str = DEFAULT_BASE_URL
    """The REST base: http(s), or ws(s) for the same; what its query says, every request repeats."""
    key_header: str = AUTHORIZATION
    """The header that holds the key: ``Authorization`` after the word Bearer, every other one as it is."""

    def __post_init__(self) -> None:
        _split(self.base_url)
        if not _HEADER_NAME.fullmatch(self.key_header):
            raise UserError(f"key_header {self.key_header!r} is no name of a header; use one such as api-key")

    @property
    def rest_base_url(self) -> str:
        """The base as http(s), without its query and without a slash at the end."""
        parts = _split(self.base_url)
        return f"{_REST_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"

    @property
    def query(self) -> dict[str, str]:
        """What the query of the base says, which every request repeats."""
        return dict(parse_qsl(_split(self.base_url).query, keep_blank_values=True))

    def rest_url(self, path: str) -> str:
        """The URL of the request ``path``, which begins with a slash, with the query of the base."""
        query = _split(self.base_url).query
        return f"{self.rest_base_url}{path}{'?' if query else ''}{query}"

    def socket_url(self, query: Mapping[str, str]) -> str:
        """The URL of the socket, with ``query`` behind the base's own and in place of what that says of the
        same names; values may hold anything."""
        parts = _split(self.base_url)
        words = [word for word in parts.query.split("&") if word and word.partition("=")[0] not in query]
        words += [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items()]
        tail = "?" + "&".join(words) if words else ""
        return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/realtime{tail}"

    def headers(self, key: str) -> dict[str, str]:
        """The headers that show ``key``."""
        if self.key_header.lower() == AUTHORIZATION.lower():
            return {AUTHORIZATION: f"Bearer {key}"}
        return {self.key_header: key}


def openai_provider(region: OpenAIRegion | None = None) -> RealtimeProvider:
    """OpenAI, in ``region`` where the project keeps its data in one. Raises `UserError` for no region.

    A call is known only where it came in: the region's own SIP host belongs to its API.
    """
    if region is None:
        return RealtimeProvider()
    if region not in get_args(OpenAIRegion):
        known = ", ".join(get_args(OpenAIRegion))
        raise UserError(f"region {region!r} is not known; use one of {known}, or give the base_url")
    return RealtimeProvider(base_url=f"https://{region}.api.openai.com/v1")


def azure_provider(resource: str, *, key_header: str = AZURE_KEY_HEADER) -> RealtimeProvider:
    """A resource of Azure OpenAI, by its name or by the URL of its endpoint; models are named by deployment.

    ``key_header`` ``Authorization`` is for an Entra token in place of a key. Raises `UserError` for what is
    neither name nor URL.
    """
    if _RESOURCE.fullmatch(resource):
        resource = f"https://{resource}.openai.azure.com"
    elif "://" not in resource:
        raise UserError(
            f"{resource!r} is no resource of Azure; give its name, or https://NAME.openai.azure.com"
        )
    return RealtimeProvider(base_url=_with_azure_path(resource), key_header=key_header)


def provider_of(base_url: str, *, key_header: str | None = None) -> RealtimeProvider:
    """The API at ``base_url``: a host of Azure is known by its name and has ``/openai/v1`` and ``api-key``
    filled in; everything else is taken as it is and shown the key as OpenAI is.

    Raises `UserError` for a base that is no URL.
    """
    host = _split(base_url).hostname or ""
    if not host.endswith(_AZURE_HOSTS):
        return RealtimeProvider(base_url=base_url, key_header=key_header or AUTHORIZATION)
    return azure_provider(base_url, key_header=key_header or AZURE_KEY_HEADER)


def _with_azure_path(endpoint: str) -> str:
    """``endpoint`` with the path of the API, unless it has one: the portal shows it bare, or whole."""
    parts = _split(endpoint)
    path = parts.path.rstrip("/").removesuffix("/realtime")
    return parts._replace(path=path if path not in ("", "/openai") else _AZURE_PATH).geturl()


@lru_cache(maxsize=64)  # few bases, and every call asks several times
def _split(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # such as a port of letters
        good = False
    if not good or parts.fragment or any(each <= " " for each in base_url):
        raise UserError(f"{base_url!r} is no URL; use one such as {DEFAULT_BASE_URL}")
    return parts
