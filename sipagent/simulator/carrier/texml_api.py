"""Who may use Telnyx' REST API, and how it refuses ("API errors")."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from sipagent.simulator.carrier.document_api import DocumentApi
from sipagent.simulator.carrier.document_forms import ApiError

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier

_CODES: Mapping[int, tuple[str, str]] = {
    401: ("10009", "Authentication failed"),
    404: ("10005", "Resource not found"),
    429: ("10011", "Too many requests"),
    500: ("10007", "Unexpected error"),
}
CALL_ENDED = ("90018", "Call has already ended")


def admits(request: web.Request, api_key: str) -> bool:
    """Whether a request shows the key."""
    kind, _, shown = request.headers.get("Authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(shown.encode(), api_key.encode())


def telnyx_refusal(status: int, detail: str, *, code: tuple[str, str] | None = None) -> web.Response:
    """An error in Telnyx' shape."""
    number, title = code or _CODES.get(status, ("10015", "Bad Request"))
    return web.json_response({"errors": [{"code": number, "title": title, "detail": detail}]}, status=status)


class TexmlApi(DocumentApi):
    """The TeXML routes of one Telnyx account."""

    def __init__(self, carrier: PretendedCarrier, *, account_sid: str, api_key: str) -> None:
        super().__init__(carrier, account_sid=account_sid, root=f"/v2/texml/Accounts/{account_sid}")
        self._api_key = api_key

    def _admit(self, request: web.Request) -> None:
        if not admits(request, self._api_key):
            raise ApiError(401, 20003, "The API key is not known.")

    def _refusal(self, error: ApiError) -> web.Response:
        ended = error.code == 21220
        return telnyx_refusal(422 if ended else error.status, str(error), code=CALL_ENDED if ended else None)
