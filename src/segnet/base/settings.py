"""What typed settings share: paths that may be strings, whole numbers, plain values for YAML and JSON.

A settings dataclass says by type and metadata what each of its fields is; everything else here follows.
Imports nothing heavy, so ``segnet --help`` is quick.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from cyclopts import Parameter, Token

from segnet.base.errors import SegnetError
from segnet.base.files import expand_home

PATH = {"path": "always"}
"""Metadata of a field that holds a path, or a tuple of paths."""

NAME_OR_PATH = {"path": "where it is there"}
"""Metadata of a text that is a path where there is a file of that name, and else another name.

``"around"`` in it is a function that cuts a text into what stands before the path, the path, and what stands
behind it.
"""


def _parse_whole(type_: object, tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'unable to convert "{tokens[0].value}" into int.') from None


def as_typed(type_: object, tokens: Sequence[Token]) -> str:
    """Return what was typed, for a setting that reads it itself; a converter of cyclopts."""
    return tokens[0].value


Whole = Annotated[int, Parameter(converter=_parse_whole, n_tokens=1, metavar="INT")]
"""A whole number on the command line: 1.5 is refused, where cyclopts would round it."""


def option(name: str) -> str:
    """Return a field's name as it is typed on the command line."""
    return "--" + name.replace("_", "-")


def is_whole(entry: Field[Any]) -> bool:
    """Say whether a field of a settings dataclass takes whole numbers alone."""
    inner = get_args(entry.type)[0] if get_origin(entry.type) is Annotated else entry.type
    return inner is int


def expand_paths(settings: Any) -> None:
    """Turn what a frozen settings dataclass holds as paths into ``Path``, with ``~`` replaced."""
    for entry in _paths(settings):
        value = getattr(settings, entry.name)
        if value is None:
            continue
        if isinstance(entry.default, tuple):
            several = value if isinstance(value, list | tuple) else (value,)
            expanded: object = tuple(_as_path(entry, path) for path in several)
        elif entry.metadata == PATH:
            expanded = _as_path(entry, value)
        else:
            before, path, behind = _cut(entry, str(value))
            expanded = f"{before}{_as_path(entry, path) if path.startswith('~') else path}{behind}"
        object.__setattr__(settings, entry.name, expanded)


def absolute_paths(settings: Any, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fields that hold paths, each holding from any working directory.

    Args:
        settings: a settings dataclass.
        names: texts that stand for something else than a path, also where a file of that name is.
    """
    changed: dict[str, Any] = {}
    for entry in _paths(settings):
        value = getattr(settings, entry.name)
        if isinstance(value, tuple):
            changed[entry.name] = tuple(path.resolve() for path in value)
        elif isinstance(value, Path):
            changed[entry.name] = value.resolve()
        elif value is not None and value not in names:
            before, path, behind = _cut(entry, value)
            if path and Path(path).exists():
                changed[entry.name] = f"{before}{Path(path).resolve()}{behind}"
    return changed


def path_names(settings: Any) -> set[str]:
    """Return the names of the fields that hold paths."""
    return {entry.name for entry in _paths(settings)}


def plain_values(settings: Any) -> dict[str, Any]:
    """Return a settings dataclass as YAML and JSON hold it: paths as text, tuples as lists."""
    return {entry.name: _plain(getattr(settings, entry.name)) for entry in fields(settings)}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return dict(value) if isinstance(value, Mapping) else value


def _paths(settings: Any) -> Iterator[Field[Any]]:
    return (entry for entry in fields(settings) if "path" in entry.metadata)


def _cut(entry: Field[Any], value: str) -> tuple[str, str, str]:
    """Return what of a text stands before its path, the path, and what stands behind it."""
    cut: Callable[[str], tuple[str, str, str]] | None = entry.metadata.get("around")
    return cut(value) if cut else ("", value, "")


def _as_path(entry: Field[Any], value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise SegnetError(f"{option(entry.name)} must be a path, got {value!r}")
    return expand_home(value)
