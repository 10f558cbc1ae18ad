"""A program written for the OpenAI Agents SDK, and the server that it talks to in tests."""
