"""The configuration file as types: every key there is, what it may hold, and what it means.

Keys of `defaults` and of an agent are the same; an agent inherits each key it does not write. Where a key
of the Realtime API exists, ours has its name and its unit. The sentence below a field is what editors show.
"""

from sipagent.config.schema.agents import (
    AgentKeys,
    EndingEntry,
    GreetingEntry,
    GuardrailEntry,
    IdleStepEntry,
    ModerationGuard,
    PatternsGuard,
    PhrasesGuard,
    PythonGuard,
    TransferEntry,
    WrapUpEntry,
)
from sipagent.config.schema.asking import CollectDigits, TakeMessage
from sipagent.config.schema.base import Entry, Reading
from sipagent.config.schema.calendars import CalendarEntry, Closure, Holidays
from sipagent.config.schema.carriers import CarriersEntry, RecordingEntry, RecordingsEntry
from sipagent.config.schema.configuration import ApiEntry, Configuration
from sipagent.config.schema.http_tool import HttpTool
from sipagent.config.schema.limits import CallsEntry, LimitsEntry, PricesEntry, SpendEntry
from sipagent.config.schema.mcp_tool import HostedMcp, McpTool
from sipagent.config.schema.plans import CallStep, PlanEntry, SayStep, SipStep, StepEntry
from sipagent.config.schema.routes import (
    Alternative,
    CallersEntry,
    FullAlternative,
    NumbersEntry,
    RouteEntry,
    WhenEntry,
)
from sipagent.config.schema.session import CustomVoice, RetainedContext, SemanticVad, ServerVad, SessionKeys
from sipagent.config.schema.tool_manners import ToolManners
from sipagent.config.schema.tools import (
    CollectDigitsEntry,
    HttpToolEntry,
    McpToolEntry,
    PythonTool,
    TakeMessageEntry,
    ToolEntry,
)
from sipagent.config.schema.variables import BusinessEntry, LookupEntry

__all__ = [
    "AgentKeys",
    "Alternative",
    "FullAlternative",
    "ApiEntry",
    "BusinessEntry",
    "CalendarEntry",
    "CallStep",
    "CallersEntry",
    "CallsEntry",
    "CarriersEntry",
    "Closure",
    "CollectDigits",
    "CollectDigitsEntry",
    "Configuration",
    "CustomVoice",
    "EndingEntry",
    "Entry",
    "GreetingEntry",
    "GuardrailEntry",
    "Holidays",
    "HostedMcp",
    "HttpTool",
    "HttpToolEntry",
    "IdleStepEntry",
    "LimitsEntry",
    "LookupEntry",
    "McpTool",
    "McpToolEntry",
    "ModerationGuard",
    "NumbersEntry",
    "PatternsGuard",
    "PhrasesGuard",
    "PlanEntry",
    "PricesEntry",
    "PythonGuard",
    "PythonTool",
    "Reading",
    "RecordingEntry",
    "RecordingsEntry",
    "RetainedContext",
    "RouteEntry",
    "SayStep",
    "SemanticVad",
    "ServerVad",
    "SessionKeys",
    "SipStep",
    "SpendEntry",
    "StepEntry",
    "TakeMessage",
    "TakeMessageEntry",
    "ToolEntry",
    "ToolManners",
    "TransferEntry",
    "WhenEntry",
    "WrapUpEntry",
]
