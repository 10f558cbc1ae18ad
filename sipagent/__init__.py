"""Answers phone calls with an AI agent, over SIP, on OpenAI's Realtime API."""

__version__ = "0.1.0"
