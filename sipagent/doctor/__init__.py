"""Examines an installation before a caller does: what is there, what is missing, and what to do about it."""

from sipagent.doctor.checkup import Patient, examine
from sipagent.doctor.finding import Area, Finding, Verdict
from sipagent.doctor.trunk import TRUNKS

__all__ = ["TRUNKS", "Area", "Finding", "Patient", "Verdict", "examine"]
