"""Tests of the SIP endpoint."""
