"""The other side of every wire: OpenAI's end of a phone call, and callers, without the internet.

A stranger to the service: it shares no wire code with it, so that a wrong field name cannot be wrong on
both sides and pass.
"""
