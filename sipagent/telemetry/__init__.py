"""Watches calls, and tells people and machines what happened: latencies, metrics, logs."""

from __future__ import annotations

from sipagent.telemetry.carrier_metrics import CarrierMetrics
from sipagent.telemetry.latency import CallTimeline, Latency, LatencyName, Point
from sipagent.telemetry.logs import bind_call, configure_logging
from sipagent.telemetry.metrics import Metrics
from sipagent.telemetry.redact import Redactor
from sipagent.telemetry.store_metrics import StoreMetrics

__all__ = [
    "CallTimeline",
    "CarrierMetrics",
    "Latency",
    "LatencyName",
    "Metrics",
    "Point",
    "Redactor",
    "StoreMetrics",
    "bind_call",
    "configure_logging",
]
