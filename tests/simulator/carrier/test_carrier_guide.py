"""What the guide page *simulator* says of carriers is true."""

from __future__ import annotations

import argparse
import json
import re
from importlib import resources

import pytest

from sipagent.cli import simulator as command
from sipagent.simulator.carrier import CarrierFault, PretendedTwilio, TwilioOptions
from sipagent.simulator.carrier.control import CarrierControlApi, NewCarrierCall
from sipagent.simulator.phone.settings import HangUp, Pause, Press, Say

PAGE = (resources.files("sipagent.guide") / "simulator.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Pretend to be the carrier")[1]


def test_every_fault_has_its_row_and_no_row_is_invented() -> None:
    named = set(re.findall(r"^\| `(carrier\.[a-z0-9_]+)", SECTION, re.MULTILINE))
    assert named == set(CarrierFault)


def test_the_example_call_can_be_placed() -> None:
    (example,) = re.findall(r"control/carrier/calls -d '(.*?)'\n", SECTION, re.DOTALL)
    wanted = NewCarrierCall.model_validate(json.loads(example))
    kinds = [type(act) for act in wanted.acts()]
    assert kinds == [Say, Press, Pause, HangUp]


def test_every_route_of_the_control_api_is_described() -> None:
    routes = CarrierControlApi(PretendedTwilio(TwilioOptions())).application().router.routes()
    for route in routes:
        if route.method == "HEAD" or route.resource is None:
            continue
        path = "/control/carrier" + route.resource.canonical.replace("{call_id}", "ID")
        assert f"`{route.method} {path}`" in SECTION


def test_every_option_is_described() -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    options = re.findall(r"--carrier[a-z-]*|--audio-socket", parser.format_help())
    assert len(set(options)) > 8
    for option in set(options):
        assert f"`{option} " in SECTION


@pytest.mark.parametrize("fault", CarrierFault)
def test_faults_are_named_after_the_carrier(fault: CarrierFault) -> None:
    assert fault.value.startswith("carrier.")
