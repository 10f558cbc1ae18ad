"""Identifiers that cross rooms. All are opaque strings; swapping two of them does not type-check."""

from __future__ import annotations

from typing import NewType

CallId = NewType("CallId", str)
"""A telephone call at the Realtime API (``rtc_…``). Not the call id of a tool."""

ToolCallId = NewType("ToolCallId", str)
"""One function call the model asked for (``call_…``)."""

ItemId = NewType("ItemId", str)
"""One item of a conversation (``item_…``)."""

ResponseId = NewType("ResponseId", str)
"""One response of the model (``resp_…``)."""

E164 = NewType("E164", str)
"""A telephone number in international form, ``+`` and digits (ITU-T E.164)."""

WorkerId = NewType("WorkerId", str)
"""One process that answers calls, from start to end. A process that starts again is another worker."""
