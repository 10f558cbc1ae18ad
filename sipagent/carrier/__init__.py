"""Speaks to the phone companies: their webhooks, their media streams."""
