"""Applying a Go template to a value. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from linkspan.cli.output.functions import FUNCTIONS, is_true, text
from linkspan.cli.output.parse import (
    Block,
    Call,
    Literal,
    Node,
    Output,
    Path,
    Pipeline,
    TemplateError,
    Text,
    parse,
)

Functions = Mapping[str, Callable[..., Any]]


class Fields(dict[str, Any]):
    """An object whose members are known: asking for another one is an error that names them.

    The keys of an ordinary dict are data, and an absent one is printed as `<no value>`, as Go does it.
    `aliases` are further names.
    """

    aliases: Mapping[str, str] = {}


def fields(document: Mapping[str, Any], free: frozenset[str], aliases: Mapping[str, str]) -> Fields:
    """`document` as Fields at every depth, except the members named in `free`, whose keys are data."""
    found = Fields({key: _fields(key, value, free, aliases) for key, value in document.items()})
    found.aliases = aliases
    return found


def _fields(key: str, value: Any, free: frozenset[str], aliases: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        if key in free:
            return {name: _fields("", each, free, aliases) for name, each in value.items()}
        return fields(value, free, aliases)
    return [_fields("", each, free, aliases) for each in value] if isinstance(value, list) else value


def render(template: str, value: Any, functions: Functions = FUNCTIONS) -> str:
    """What a template prints for a value. Raises TemplateError."""
    return Renderer(template, functions).render(value)


class Renderer:
    """A template that is parsed once and applied to many values."""

    def __init__(self, template: str, functions: Functions = FUNCTIONS) -> None:
        self._nodes = parse(template)
        self._functions = functions

    def render(self, value: Any) -> str:
        """What the template prints for a value. Raises TemplateError."""
        return "".join(self._all(self._nodes, value, {"$": value}))

    def _all(self, nodes: tuple[Node, ...], dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        for each in nodes:
            if isinstance(each, Text):
                yield each.text
            elif isinstance(each, Block):
                yield from self._block(each, dot, variables)
            elif isinstance(each, Output) and each.variable:
                variables[each.variable] = self._value(each.pipeline, dot, variables)
            else:
                yield text(self._value(each.pipeline, dot, variables))

    def _block(self, block: Block, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        value = self._value(block.pipeline, dot, variables)
        if block.kind == "range":
            yield from self._range(block, value, dot, variables)
            return
        inner = {**variables, **dict.fromkeys(block.variables, value)}
        if is_true(value):
            yield from self._all(block.body, value if block.kind == "with" else dot, inner)
        else:
            yield from self._all(block.otherwise, dot, inner)

    def _range(self, block: Block, value: Any, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        pairs = list(_items(value))
        for key, each in pairs:
            names = block.variables[-2:]
            bound = dict(zip(names, (each,) if len(names) == 1 else (key, each), strict=False))
            yield from self._all(block.body, each, {**variables, **bound})
        if not pairs:
            yield from self._all(block.otherwise, dot, variables)

    def _value(self, pipeline: Pipeline, dot: Any, variables: Mapping[str, Any]) -> Any:
        piped: tuple[Any, ...] = ()
        for command in pipeline.commands:
            piped = (self._command(command, dot, variables, piped),)
        return piped[0]

    def _command(self, command: Any, dot: Any, variables: Mapping[str, Any], piped: tuple[Any, ...]) -> Any:
        if not isinstance(command, Call):
            if piped:
                raise TemplateError("a value that is not a function cannot follow |")
            return _called(self._operand(command, dot, variables), ())
        arguments = (*(self._operand(each, dot, variables) for each in command.arguments), *piped)
        if isinstance(command.function, Path):
            return _called(self._operand(command.function, dot, variables), arguments, command.function)
        if command.function not in self._functions:
            known = ", ".join(sorted(self._functions))
            raise TemplateError(f'function "{command.function}" not defined; one of {known}')
        return _applied(command.function, self._functions[command.function], arguments)

    def _operand(self, operand: Any, dot: Any, variables: Mapping[str, Any]) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Pipeline):
            return self._value(operand, dot, variables)
        if isinstance(operand.base, Pipeline):
            return _follow(self._value(operand.base, dot, variables), operand.fields)
        if operand.base != "." and operand.base not in variables:
            raise TemplateError(f'undefined variable "{operand.base}"')
        return _follow(dot if operand.base == "." else variables[operand.base], operand.fields)


def _follow(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if isinstance(value, Fields):
            known = value.aliases.get(name, name)
            if known not in value:
                raise TemplateError(f"no field {name!r}; one of {', '.join(value)}")
            value = value[known]
        elif isinstance(value, Mapping):
            value = value.get(name)
        elif value is not None:
            raise TemplateError(f"can't evaluate field {name} in {text(value)}")
    return value


def _called(value: Any, arguments: tuple[Any, ...], path: Path | None = None) -> Any:
    """The value of a field, or what it returns if it is a function."""
    if callable(value):
        return _applied(path.fields[-1] if path else "field", value, arguments)
    if arguments and path is not None:
        raise TemplateError(f"{path.fields[-1] if path.fields else '.'} is not a function but has arguments")
    return value


def _applied(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return function(*arguments)
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise TemplateError(f"wrong arguments for {name}: {error}") from None


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    """What `range` goes through: the elements of a list, or of a map in the order of its keys."""
    if value is None:
        return
    if isinstance(value, Mapping):
        yield from sorted(value.items())
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ((each, each) for each in range(value))
    else:
        raise TemplateError(f"range can't iterate over {text(value)}")
