"""Typed settings: the type and the metadata of a field say all that there is to know of it.

The command line, its help, checks of ranges, recipes and plain values for YAML and JSON follow from that.
Imports nothing heavy, so ``segnet --help`` is quick.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from cyclopts import Group, Parameter, Token

from segnet.base.errors import SegnetError, did_you_mean, refuse
from segnet.base.files import expand_home

Settings = TypeVar("Settings")


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


def setting(default: Any = None, *, help: str, group: Group | None = None, **facts: Any) -> Any:  # noqa: A002
    """Return a field of a settings dataclass that says all that there is to know of it.

    Args:
        default: its value where nobody gives one, or the type that makes it; None where recipes decide.
        help: what the command line says of it.
        group: under which heading that lists it; without one it is no option.
        facts: ``at_least`` and ``at_most``, the range of a number; ``recipes``, its value in each recipe, as
            in ``{"article": 20, "article vit": 50}``, where one model has another; ``part_of``, the setting
            without which it means nothing, and how that is typed; ``path``, "always" of a path or a tuple of
            them, "where it is there" of a text that may be another name; ``around``, which cuts such a text
            into what stands before the path, the path, and what stands behind it; ``spell``, which returns a
            plain value as text for the command line; and whatever the code that uses it looks for.
    """
    parameter = Parameter(parse=False) if group is None else Parameter(group=group)
    if "recipes" in facts:
        shown = in_words(facts["recipes"])
        parameter = Parameter(group=group, show_default=lambda _: shown)
    elif default is None:
        parameter = Parameter(group=group, show_default=False)
    metadata = facts | {"help": help, "parameter": parameter}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def on_command_line(settings: type[Settings]) -> type[Settings]:
    """Let the command line know of each field of a dataclass what ``setting`` says of it; a decorator."""
    own = settings.__annotations__
    for entry in fields(settings):  # type: ignore[arg-type]
        if entry.name in own and "parameter" in entry.metadata:
            own[entry.name] = Annotated[entry.type, entry.metadata["parameter"]]
    return settings


def in_words(recipes: Mapping[str, Any]) -> str:
    """Return what a setting is in each recipe, as in "article 20, vit 50; modern 60"."""
    texts = {recipe: value_in_words(value) for recipe, value in recipes.items()}
    if len({*texts.values()}) == 1:
        return texts.popitem()[1]
    lines: dict[str, str] = {}
    for recipe, text in texts.items():
        name, _, model = recipe.partition(" ")
        lines[name] = f"{lines[name]}, {model} {text}" if model else f"{name} {text}"
    return "; ".join(lines.values())


def value_in_words(value: Any) -> str:
    """Return a value as the help has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def type_of(entry: Field[Any]) -> Any:
    """Return the type of a field without what the command line is told of it."""
    return get_args(entry.type)[0] if get_origin(entry.type) is Annotated else entry.type


def require_choices(settings: Any) -> None:
    """Check the fields that are true or false, or one of a few names.

    Raises:
        SegnetError: another value.
    """
    for entry in fields(settings):
        kind, value = type_of(entry), getattr(settings, entry.name)
        choices = get_args(kind) if get_origin(kind) is Literal else (value,)
        known = "" if value in choices else did_you_mean(str(value), choices)
        refuse(
            (
                kind is bool and not isinstance(value, bool),
                f"{option(entry.name)} must be true or false, got {value!r}",
            ),
            (value not in choices, f"{option(entry.name)} can't be {value!r}{known}"),
        )


def require_ranges(settings: Any) -> None:
    """Check the fields that have a range.

    Raises:
        SegnetError: values beyond it, or a fraction where whole numbers are; names all of them.
    """
    wrong = []
    for entry in fields(settings):
        if "at_most" not in entry.metadata:
            continue
        lowest, highest = entry.metadata["at_least"], entry.metadata["at_most"]
        value = getattr(settings, entry.name)
        if not isinstance(value, int | float) or not lowest <= value <= highest:
            wrong.append(f"{option(entry.name)} must be from {lowest} to {highest}, got {value}")
        elif type_of(entry) is int and not isinstance(value, int):
            wrong.append(f"{option(entry.name)} must be a whole number, got {value}")
    if wrong:
        raise SegnetError("; ".join(wrong))


def require_parts(settings: Any) -> None:
    """Check that no field is given that is part of another which is not.

    Raises:
        SegnetError: one is; says which other must be given too.
    """
    for entry in fields(settings):
        part, typed = entry.metadata.get("part_of", (entry.name, ""))
        if getattr(settings, part) is None and getattr(settings, entry.name) != entry.default:
            raise SegnetError(
                f"{option(entry.name)} goes with {option(part)}; give {option(part)} {typed} too"
            )


def expand_paths(settings: Any) -> None:
    """Turn what a frozen settings dataclass holds as paths into ``Path``, with ``~`` replaced."""
    for entry in _paths(settings):
        value = getattr(settings, entry.name)
        if value is None:
            continue
        if isinstance(entry.default, tuple):
            several = value if isinstance(value, list | tuple) else (value,)
            expanded: object = tuple(_as_path(entry, path) for path in several)
        elif entry.metadata["path"] == "always":
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
