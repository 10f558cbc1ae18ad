"""HTTP for people and machines of the company: what happens now, and what may be done about it."""

from __future__ import annotations

from sipagent.dashboard.admin import AdminSurface, Reloaded
from sipagent.dashboard.guard import Guard
from sipagent.dashboard.probes import Probes, Readiness

__all__ = ["AdminSurface", "Guard", "Probes", "Readiness", "Reloaded"]
