"""Tables and lists of objects as text. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: As Docker aligns columns: at least ten characters wide, three between the longest cell and the next
#: (docker/cli, formatter.go).
_LEAST_WIDTH, _PADDING = 10, 3
_TABLE = "table"


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns; the last cell of a line is not padded."""
    count = max((len(line) for line in lines), default=0)
    widths = [_width(lines, column) for column in range(count)]
    return "".join(
        "".join(cell.ljust(widths[at]) for at, cell in enumerate(line[:-1]))
        + (line[-1] if line else "")
        + "\n"
        for line in lines
    )


def _width(lines: Sequence[Sequence[str]], column: int) -> int:
    longest = max((len(line[column]) for line in lines if column < len(line) - 1), default=0)
    return max(_LEAST_WIDTH, longest + _PADDING)


def columns(rows: Iterable[Mapping[str, Any]], headers: Mapping[str, str]) -> str:
    """A table of some members of each row, under their headers."""
    return aligned([list(headers.values()), *([str(row[key]) for key in headers] for row in rows)])


def formatted(rows: Sequence[Mapping[str, Any]], template: str, headers: Mapping[str, Any]) -> str:
    """Rows in Docker's --format: "json" (one object a line), a template, or "table" and a template.

    `headers` has a member for each of a row: text, or a function where the row has one. Raises TemplateError.
    """
    from linkspan.cli.output.functions import HEADER_FUNCTIONS
    from linkspan.cli.output.template import Fields, Renderer

    is_table = template.startswith(_TABLE)
    source = "{{json .}}" if template == "json" else template.removeprefix(_TABLE) if is_table else template
    source = source.strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    renderer = Renderer(source)
    lines = [renderer.render(Fields(row)) for row in rows]
    if not is_table:
        return "".join(f"{line}\n" for line in lines)
    lines.insert(0, Renderer(source, HEADER_FUNCTIONS).render(Fields(headers)))
    return aligned([line.split("\t") for line in lines])


def indented_json(value: Any, indent: int = 4) -> str:
    """JSON for people, as `docker inspect` prints it."""
    return json.dumps(value, indent=indent, ensure_ascii=False) + "\n"
