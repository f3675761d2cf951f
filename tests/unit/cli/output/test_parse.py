"""Templates that cannot be parsed say why."""

from __future__ import annotations

import pytest

from linkspan.cli.output.parse import Block, Output, TemplateError, Text, parse


def test_text_and_actions_are_nodes_in_order() -> None:
    kinds = [type(each) for each in parse("a{{.Name}}b{{if .X}}c{{end}}")]
    assert kinds == [Text, Output, Text, Block]


@pytest.mark.parametrize("template", ["", "plain", "{ {.Name} }", "a}}b"])
def test_text_without_an_action_is_text(template: str) -> None:
    assert "".join(each.text for each in parse(template) if isinstance(each, Text)) == template


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.Name}", "unclosed action"),
        ("{{}}", "missing value"),
        ("{{if .X}}a", "has no {{end}}"),
        ("{{range .X}}{{else}}", "has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{.A | }}", "missing value"),
        ("{{(.A}}", "unclosed parenthesis"),
        ("{{.A)}}", "unexpected ')'"),
        ("{{.A & .B}}", "unexpected '& .B'"),
        ('{{"a" "b"}}', "not a function"),
        ("{{range x := .A}}{{end}}", "before :="),
        (r'{{"\q"}}', "invalid string"),
    ],
)
def test_what_cannot_be_parsed_says_why(template: str, why: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(template)
    assert why in str(caught.value)
