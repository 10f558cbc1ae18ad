"""Carriers as a file names them, for tests."""

from __future__ import annotations

import base64
from pathlib import Path

from sipagent.config import Loaded, load_configuration

ACCOUNT = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "fedcba9876543210" * 2
OLD_AUTH_TOKEN = "0011223344556677" * 2
API_KEY = "KEY0123456789"
PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()
ASTERISK_TOKEN = "asterisk-token-of-the-tests"
VARIABLES = {
    "OPENAI_PROJECT_ID": "proj_demo",
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "TWILIO_AUTH_TOKEN_PREVIOUS": OLD_AUTH_TOKEN,
    "TELNYX_API_KEY": API_KEY,
    "TELNYX_PUBLIC_KEY": PUBLIC_KEY,
    "ASTERISK_TOKEN": ASTERISK_TOKEN,
    "PUBLIC_URL": "https://phone.example.com/desk/",
}
BASE = """\
version: 1
agents: {desk: {instructions: Hi.}}
routes: [{agent: desk}]
"""
TWILIO = '  twilio: {account_sid: "${TWILIO_ACCOUNT_SID}", auth_token: "${TWILIO_AUTH_TOKEN}"}\n'
WHOLE = """\
version: 1
defaults: {recording: This call is recorded.}
agents:
  desk:
    instructions: Hi.
    tools: [transfer]
    transfer: {sales: {to: "tel:+15550100001", description: prices, way: warm}}
  night: {instructions: Hi., recording: false}
routes:
  - {name: office, to: "+15550100000", agent: desk, answer: [stream, {call: "+15550100198", timeout: 30s}]}
  - {to: "+15550100002", agent: night, answer: {say: We are closed., language: en-GB}}
  - {agent: desk}
carriers:
  public_url: https://phone.example.com/
  sip: {project: "${OPENAI_PROJECT_ID}"}
  answer:
    - sip: {timeout: 15s}
    - stream
    - call: sip:desk@pbx.example.com
    - say: Nobody can take your call.
  caller_id: "+15550100100"
  warm: {question: Press 1., sorry: Sorry., language: en-GB}
  twilio:
    account_sid: ${TWILIO_ACCOUNT_SID}
    auth_token: ["${TWILIO_AUTH_TOKEN}", "${TWILIO_AUTH_TOKEN_PREVIOUS}"]
  telnyx: {api_key: "${TELNYX_API_KEY}", public_key: "${TELNYX_PUBLIC_KEY}", connection: "1494404757"}
  asterisk: {listen: "127.0.0.1:9092", token: "${ASTERISK_TOKEN}"}
recordings: {folder: kept, keep: 90d}
"""


def load_text(folder: Path, text: str, **variables: str) -> Loaded:
    """The configuration ``text``, in a file of ``folder``; ``variables`` go over `VARIABLES`."""
    file = folder / "sipagent.yaml"
    file.write_text(text, encoding="utf-8")
    return load_configuration(file, {**VARIABLES, **variables})
