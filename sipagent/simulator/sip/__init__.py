"""SIP (RFC 3261) for the simulator: the side that is called, and as much of a telephone as it needs."""
