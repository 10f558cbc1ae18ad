"""The models of OpenAI's API, under the module name that users of the OpenAI Agents SDK know."""

from sipagent.realtime.model import TransportConfig
from sipagent.realtime.sdk_names import DEFAULT_MODEL_SETTINGS, get_api_key
from sipagent.realtime.settings import DEFAULT_REALTIME_MODEL
from sipagent.realtime.sip import OpenAIRealtimeSIPModel
from sipagent.realtime.websocket import OpenAIRealtimeWebSocketModel

__all__ = [
    "DEFAULT_MODEL_SETTINGS",
    "DEFAULT_REALTIME_MODEL",
    "OpenAIRealtimeSIPModel",
    "OpenAIRealtimeWebSocketModel",
    "TransportConfig",
    "get_api_key",
]
