"""One phone call from ringing to its last record, and many at once."""

from sipagent.calls.call import PhoneCall
from sipagent.calls.client import CallsClient, CallsClientSettings
from sipagent.calls.clients import CallsClients
from sipagent.calls.context import CallContext, CallControls
from sipagent.calls.endings import Ending, EndReason, FaultOwner, fault_owner
from sipagent.calls.endpoint import WebhookEndpoint
from sipagent.calls.furnishing import Furnishing
from sipagent.calls.generation import Generation, prepare_generation
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lifecycle import CallLifecycle, CallState
from sipagent.calls.manners import GOOD_MANNERS, IdleStep, LoopLimits, Manners, WrapUp
from sipagent.calls.preparation import PreparedProfile, prepare_all
from sipagent.calls.profile import AgentProfile, CallTool, Greeting, TransferTarget
from sipagent.calls.recorder import Recorder
from sipagent.calls.routing import FrontDoor, Route
from sipagent.calls.services import CallObserver, CallServices, CallSettings
from sipagent.calls.spill import Spill
from sipagent.calls.supervisor import Supervisor
from sipagent.calls.tools.mcp_servers import McpServers
from sipagent.calls.watch import CallLimits, CallWatch
from sipagent.calls.webhook import OtherWebhook, SeenWebhooks, Webhook, WebhookVerifier, parse_webhook

__all__ = [
    "GOOD_MANNERS",
    "AgentProfile",
    "CallContext",
    "CallControls",
    "CallJournal",
    "CallLifecycle",
    "CallLimits",
    "CallObserver",
    "CallServices",
    "CallSettings",
    "CallState",
    "CallTool",
    "CallWatch",
    "CallsClient",
    "CallsClientSettings",
    "CallsClients",
    "EndReason",
    "Ending",
    "FaultOwner",
    "FrontDoor",
    "Furnishing",
    "Generation",
    "Greeting",
    "IdleStep",
    "IncomingCall",
    "LoopLimits",
    "Manners",
    "McpServers",
    "OtherWebhook",
    "PhoneCall",
    "PreparedProfile",
    "Recorder",
    "Route",
    "SeenWebhooks",
    "Spill",
    "Supervisor",
    "TransferTarget",
    "Webhook",
    "WebhookEndpoint",
    "WebhookVerifier",
    "WrapUp",
    "fault_owner",
    "parse_webhook",
    "prepare_all",
    "prepare_generation",
]
