"""The reader of Terraform finds what is wrong."""

from __future__ import annotations

import pytest

from tests.deploy.terraform import NoTerraformError, parse_terraform


def test_blocks_arguments_and_objects_are_read() -> None:
    text = 'resource "a_b" "c" {\n x = "y" # z\n inner {\n n = 1\n }\n o = {\n p = ["q", "r"]\n }\n}\n'
    (block,) = parse_terraform(text)
    assert (block.kind, block.labels) == ("resource", ("a_b", "c"))
    assert block.arguments == {"x": '"y"', "o": '{p=["q","r"]}'}
    assert block.blocks[0].arguments == {"n": "1"}


@pytest.mark.parametrize(
    "text", ["a {", "a = 1", 'a { b = "c }', "a { b = (1] }", "a { b = \n}", "a { b = 1 ] }", "a ! {}"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(NoTerraformError):
        parse_terraform(text)
