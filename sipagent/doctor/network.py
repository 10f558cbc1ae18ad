"""Why something could not be reached, in words, with the remedy. Pure but for the types it looks at."""

from __future__ import annotations

import ssl

import aiohttp


def why_unreachable(error: Exception, *, timeout_s: float) -> tuple[str, str]:
    """The reason, to stand behind a colon, and what to do.

    ``error`` came out of `aiohttp`, or is a `TimeoutError` or an `OSError`.
    """
    match error:
        case TimeoutError():
            return (
                f"there was no answer within {timeout_s:g} s",
                "A firewall may drop the packets: let this machine out to it, and others in.",
            )
        case aiohttp.ClientConnectorDNSError():
            return f"there is no address for {error.host}", "Compare the name; then ask your DNS for it."
        case aiohttp.ClientConnectorCertificateError():
            return (
                f"its certificate does not hold ({_said(error.certificate_error)})",
                "Serve a certificate of a public authority, with its chain, for exactly this name.",
            )
        case aiohttp.ClientSSLError():
            return (
                "TLS could not be agreed on",
                "Let the port speak TLS 1.2 or newer; or it speaks plain HTTP.",
            )
        case aiohttp.ClientConnectorError() if isinstance(error.os_error, ConnectionRefusedError):
            return (
                f"nothing listens on port {error.port}",
                "Start what should listen there, or open the port to it.",
            )
        case aiohttp.ClientConnectorError():
            return _said(error.os_error), "Compare address and network."
        case aiohttp.ServerDisconnectedError() | ConnectionError():
            return "it closed the connection without an answer", "Look into the log of what listens there."
        case _:
            return _said(error), "Compare the address."


def _said(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:200].rstrip(". ") or type(error).__name__
