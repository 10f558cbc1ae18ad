"""What the trunk kits say is so: addresses, variables, settings, syntax."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from aiohttp import web

from sipagent.calls.numbers import PRESETS
from sipagent.carrier.asterisk_endpoint import AsteriskEndpoint
from sipagent.carrier.media_endpoint import MediaEndpoint
from sipagent.carrier.telnyx import TelnyxTexml
from sipagent.carrier.telnyx_call_control import CallControl
from sipagent.carrier.tokens import TOKEN_HEADER
from sipagent.carrier.twilio import Twilio
from sipagent.doctor.trunk import TRUNKS
from tests.deploy.terraform import parse_terraform

ROOT = Path(__file__).parents[2]
TRUNK_KITS = ROOT / "deploy" / "trunks"
PAGES = sorted(TRUNK_KITS.rglob("README.md"))
TERRAFORM = sorted(TRUNK_KITS.rglob("*.tf"))
EVERYTHING = sorted(path for path in TRUNK_KITS.rglob("*") if path.is_file())

KNOWN_ARGUMENTS = {
    # docs/resources of the provider twilio/twilio.
    "twilio_trunking_trunks_v1": {
        *("friendly_name", "secure", "transfer_mode", "disaster_recovery_url", "disaster_recovery_method"),
    },
    "twilio_trunking_trunks_origination_urls_v1": {
        *("trunk_sid", "friendly_name", "sip_url", "enabled", "priority", "weight"),
    },
    "twilio_trunking_trunks_phone_numbers_v1": {"trunk_sid", "phone_number_sid"},
    "twilio_api_accounts_incoming_phone_numbers": {
        *("phone_number", "friendly_name", "voice_url", "voice_method", "voice_fallback_url"),
        *("voice_fallback_method", "status_callback", "status_callback_method"),
    },
    # The schemas of the provider team-telnyx/telnyx.
    "telnyx_outbound_voice_profile": {"name"},
    "telnyx_fqdn_connection": {
        *("connection_name", "username", "password", "transport_protocol", "encrypted_media", "dtmf_type"),
        *("inbound", "outbound"),
    },
    "telnyx_fqdn": {"connection_id", "fqdn", "dns_record_type", "port"},
    "telnyx_texml_application": {
        *("friendly_name", "voice_url", "voice_fallback_url", "voice_method", "outbound"),
    },
}


def name_of(path: Path) -> str:
    return str(path.relative_to(TRUNK_KITS))


def read(*parts: str) -> str:
    return TRUNK_KITS.joinpath(*parts).read_text(encoding="utf-8")


def served_paths() -> set[str]:
    """Every path at which a carrier reaches the service."""
    app = web.Application()
    # Only their paths are asked for: nothing of what they work with is touched.
    MediaEndpoint.add_to(object.__new__(MediaEndpoint), app)
    AsteriskEndpoint.add_to(object.__new__(AsteriskEndpoint), app)
    found = {route.resource.canonical for route in app.router.routes() if route.resource is not None}
    for carrier in (Twilio, TelnyxTexml, CallControl):
        for purpose in carrier.purposes:
            found.add(carrier.mount if purpose == "event" else f"{carrier.mount}/{purpose}")
    return found


@pytest.mark.parametrize(
    "path", [*EVERYTHING, ROOT / "deploy" / "kamailio" / "README.md"], ids=lambda one: one.name
)
def test_every_address_of_ours_is_served(path: Path) -> None:
    served = served_paths()
    for found in re.findall(r"/carriers(?:/[a-z-]+)+", path.read_text(encoding="utf-8")):
        assert found in served, found


def test_every_address_of_ours_is_described_somewhere() -> None:
    described = {
        one for path in EVERYTHING for one in re.findall(r"/carriers(?:/[a-z-]+)+", path.read_text())
    }
    asked_by_us = {"next", "offer", "refer"}
    for path in served_paths():
        assert path in described or path.rsplit("/", 1)[1] in asked_by_us, path


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_variable_is_one_that_we_know(path: Path) -> None:
    known = (ROOT / ".env.example").read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    for found in re.findall(r"\b(?:OPENAI|TWILIO|TELNYX|ASTERISK|SIPAGENT)_[A-Z_]+\b", text):
        assert re.search(rf"(?m)^#? ?{found}=", known), found


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    for found in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert "://" in found or (path.parent / found).exists(), found


@pytest.mark.parametrize("path", PAGES[1:], ids=name_of)
def test_every_kit_says_how_it_is_proved_and_what_goes_wrong(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?m)^## (.*)$", text)[-2:] == ["Prove it", "Pitfalls"]
    proof = text.partition("## Prove it")[2].partition("## Pitfalls")[0]
    assert "sipagent doctor --live" in proof
    assert "sipagent calls show" in proof
    for trunk in re.findall(r"--trunk (\w+)", text):
        assert trunk in TRUNKS
    for preset in re.findall(r"preset: (\w+)", text):
        assert preset in PRESETS


def test_nobody_real_is_in_the_kits() -> None:
    for path in EVERYTHING:
        text = path.read_text(encoding="utf-8")
        for number in re.findall(r"\+?\d{10,}", text):
            assert re.fullmatch(r"\+?1555(010)\d{4}", number), f"{number} in {path.name}"
        assert not re.search(r"\b(AC|PN|CA|KEY)[0-9a-f]{16,}\b", text)


# Terraform ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TERRAFORM, ids=name_of)
def test_terraform_files_name_what_their_providers_know(path: Path) -> None:
    blocks = parse_terraform(path.read_text(encoding="utf-8"))
    resources = [block for block in blocks if block.kind == "resource"]
    assert resources
    variables = {block.labels[0] for block in blocks if block.kind == "variable"}
    written = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\bvar\.(\w+)", written)) == variables, "each is used, and each used one is there"
    for block in resources:
        assert block.arguments.keys() <= KNOWN_ARGUMENTS[block.labels[0]], block.labels
    for kind, name in re.findall(r"\b((?:twilio|telnyx)_\w+)\.(\w+)\.", written):
        assert (kind, name) in [block.labels for block in resources]
    for block in blocks:
        if block.kind == "variable":
            assert {"description", "type"} <= block.arguments.keys(), block.labels
    assert "default" not in next(
        (block.arguments for block in blocks if block.labels[:1] == ("password",)), {}
    ), "secrets have none"


@pytest.mark.skipif(shutil.which("terraform") is None, reason="Terraform is not installed")
@pytest.mark.parametrize("path", TERRAFORM, ids=name_of)
def test_terraform_finds_its_files_in_order(path: Path) -> None:
    asked = ["terraform", "fmt", "-check", "-diff", "-no-color", str(path)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_twilio_is_sent_to_tls_and_asked_for_srtp() -> None:
    written = read("twilio-sip", "main.tf")
    assert "sip:${var.project_id}@${var.sip_host};transport=tls" in written
    assert re.search(r"secure += true", written)
    assert TOKEN_HEADER in read("twilio-voice", "README.md")


# Asterisk -------------------------------------------------------------------------------------------------


def pjsip() -> dict[tuple[str, str], dict[str, str]]:
    """Sections by name and type."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    section, options = "", dict[str, str]()
    for line in read("asterisk", "pjsip.conf").splitlines():
        line = re.split(r"(?<!\\);", line)[0].strip()
        if header := re.fullmatch(r"\[([\w-]+)\]", line):
            section, options = header[1], {}
        elif line:
            name, equals, value = line.partition("=")
            assert equals, line
            if name == "type":
                found[section, value] = options
            else:
                options[name] = value.replace("\\;", ";")
    return found


def test_asterisk_calls_by_tls_and_asks_for_srtp() -> None:
    sections = pjsip()
    assert sections.keys() == {("openai-tls", "transport"), ("openai", "endpoint"), ("openai", "aor")}
    assert sections["openai", "aor"]["contact"] == "sip:proj_demo@sip.api.openai.com:5061;transport=tls"
    endpoint = sections["openai", "endpoint"]
    assert endpoint["transport"] == "openai-tls"
    assert endpoint["aors"] == "openai"
    wanted = {
        "allow": "!all,ulaw,alaw",
        "media_encryption": "sdes",
        "direct_media": "no",
        "rtp_symmetric": "yes",
        "dtmf_mode": "rfc4733",
    }
    assert endpoint.items() >= wanted.items()
    transport = sections["openai-tls", "transport"]
    assert transport["protocol"] == "tls"
    assert transport["verify_server"] == "yes"


def dialplan() -> dict[str, list[str]]:
    """Lines by context."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in read("asterisk", "extensions.conf").splitlines():
        line = line.partition(";")[0].rstrip()
        if header := re.fullmatch(r"\[([\w-]+)\]", line):
            lines = found.setdefault(header[1], [])
        elif line:
            assert re.fullmatch(r"exten => [^,]+,1,\w+\(.*\)| same => n(\(\w+\))?,\w+\(.*\)", line), line
            assert line.count("(") == line.count(")")
            assert line.count("{") == line.count("}")
            lines.append(line)
    return found


def test_every_jump_of_the_dialplan_has_a_landing() -> None:
    contexts = dialplan()
    for lines in contexts.values():
        text = "\n".join(lines)
        labels = set(re.findall(r"same => n\((\w+)\)", text))
        for target in re.findall(r"\?(\w+)\)", text):
            assert target in labels
        for target in re.findall(r"Goto\(([\w-]+),", text):
            assert target in contexts
        for target in re.findall(r"\bb\(([\w-]+)\^|TRANSFER_CONTEXT=([\w-]+)", text):
            assert (target[0] or target[1]) in contexts
    assert pjsip()["openai", "endpoint"]["context"] in contexts


def test_the_dialplan_tells_the_number_and_transfers_to_named_targets_only() -> None:
    contexts = dialplan()
    header = PRESETS["asterisk"].dialled_headers[0]
    assert any(f"PJSIP_HEADER(add,{header})" in line for line in contexts["agent-headers"])
    for line in contexts["agent-transfers"]:
        assert not line.startswith("exten => _"), "no pattern: that would be anybody's telephone"


# FreeSWITCH -----------------------------------------------------------------------------------------------


def test_freeswitch_says_tls_once() -> None:
    root = ElementTree.fromstring(read("freeswitch", "gateway.xml"))
    parameters = {one.get("name"): one.get("value") for one in root.iter("param")}
    assert parameters["register"] == "false"
    assert parameters["register-transport"] == "tls"
    assert "contact-params" not in parameters
    assert [value for value in parameters.values() if value and "transport=" in value] == []


def test_freeswitch_encrypts_and_tells_the_number() -> None:
    root = ElementTree.fromstring(read("freeswitch", "dialplan.xml"))
    data = [one.get("data") for one in root.iter("action")]
    assert "nolocal:rtp_secure_media=mandatory:AES_CM_128_HMAC_SHA1_80" in data
    assert f"nolocal:sip_h_{PRESETS['asterisk'].dialled_headers[0]}=$1" in data
    assert len([one for one in root.iter("action") if one.get("application") == "bridge"]) == 2
