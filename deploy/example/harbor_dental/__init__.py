"""What the practice's agent can do, as Python functions."""
