"""Real SIP programs call: nothing of ours is on their side of the wire."""
