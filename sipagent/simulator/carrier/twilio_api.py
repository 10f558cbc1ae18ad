"""Who may use Twilio's REST API, and how it refuses ("API responses")."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING

from aiohttp import web

from sipagent.simulator.carrier.document_api import DocumentApi
from sipagent.simulator.carrier.document_forms import ApiError

if TYPE_CHECKING:
    from sipagent.simulator.carrier.pretended import PretendedCarrier


class TwilioApi(DocumentApi):
    """The routes of one Twilio account."""

    def __init__(self, carrier: PretendedCarrier, *, account_sid: str, auth_token: str) -> None:
        super().__init__(carrier, account_sid=account_sid, root=f"/2010-04-01/Accounts/{account_sid}")
        self._auth_token = auth_token

    def _admit(self, request: web.Request) -> None:
        kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            name, _, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            name = secret = ""  # nothing was shown  # nosec B105
        known = name == self._account_sid and hmac.compare_digest(secret.encode(), self._auth_token.encode())
        if kind.lower() != "basic" or not known:
            raise ApiError(401, 20003, "Authenticate")

    def _refusal(self, error: ApiError) -> web.Response:
        return web.json_response(
            {
                "code": error.code,
                "message": str(error),
                "more_info": f"https://www.twilio.com/docs/errors/{error.code}",
                "status": error.status,
            },
            status=error.status,
        )
