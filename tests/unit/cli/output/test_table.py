"""Tables are aligned as Docker's, to the byte."""

from __future__ import annotations

import pytest

from linkspan.cli.output.parse import TemplateError
from linkspan.cli.output.table import aligned, columns, formatted, indented_json

ROWS = [{"ID": "ce20377e3f10", "Name": "bridge"}, {"ID": "af392e4739d8", "Name": "custom"}]
HEADERS = {"ID": "NETWORK ID", "Name": "NAME"}


def test_a_column_is_at_least_ten_wide_and_three_wider_than_its_cells() -> None:
    # docker network ls, Docker 29
    assert aligned(
        [["NETWORK ID", "NAME", "DRIVER", "SCOPE"], ["ce20377e3f10", "bridge", "bridge", "local"]]
    ) == ("NETWORK ID     NAME      DRIVER    SCOPE\nce20377e3f10   bridge    bridge    local\n")


def test_columns_are_those_of_the_headers() -> None:
    assert columns(ROWS[:1], {"Name": "NAME"}) == "NAME\nbridge\n"


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("json", '{"ID":"ce20377e3f10","Name":"bridge"}\n{"ID":"af392e4739d8","Name":"custom"}\n'),
        ("{{.Name}}", "bridge\ncustom\n"),
        (r"{{.ID}}\t{{.Name}}", "ce20377e3f10\tbridge\naf392e4739d8\tcustom\n"),
        (
            r"table {{.Name}}\t{{upper .ID}}",
            "NAME      NETWORK ID\nbridge    CE20377E3F10\ncustom    AF392E4739D8\n",
        ),
    ],
)
def test_rows_are_printed_in_dockers_formats(template: str, printed: str) -> None:
    assert formatted(ROWS, template, HEADERS) == printed


def test_a_table_without_rows_is_its_header() -> None:
    assert formatted([], "table {{.Name}}", HEADERS) == "NAME\n"


def test_an_unknown_column_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(TemplateError, match="one of ID, Name"):
        formatted(ROWS, "{{.Nme}}", HEADERS)


def test_json_for_people_is_indented_by_four() -> None:
    assert indented_json([{"a": "ü"}]) == '[\n    {\n        "a": "ü"\n    }\n]\n'
