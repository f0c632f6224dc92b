"""Types of options that aren't plain numbers or names: how they are typed, and spelled in YAML and JSON.

Imports nothing heavy, so ``segnet --help`` is quick. No postponed annotations: the command line reads them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

MEDIAN_FREQUENCY = "median-frequency"


def _parse_size(type_: object, tokens: Sequence[Token]) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", tokens[0].value)
    if not match:
        raise ValueError(
            f"a size is one number or HEIGHTxWIDTH, such as 128 or 96x128, not {tokens[0].value}"
        )
    return int(match[1]), int(match[2] or match[1])


def _parse_options(type_: object, tokens: Sequence[Token]) -> dict[str, Any]:
    try:
        options = json.loads(tokens[0].value)
    except json.JSONDecodeError:
        options = None
    if not isinstance(options, dict):
        raise ValueError(f"options are a JSON object, such as '{{\"stages\": 5}}', not {tokens[0].value}")
    return options


def _parse_weights(type_: object, tokens: Sequence[Token]) -> str | tuple[float, ...]:
    text = tokens[0].value
    if text == MEDIAN_FREQUENCY:
        return text
    try:
        return tuple(float(weight) for weight in text.split(","))
    except ValueError:
        raise ValueError(
            f"class weights are {MEDIAN_FREQUENCY}, or a number for each class such as 1,1,4, not {text}"
        ) from None


def spell_size(size: Any) -> str:
    """Return ``96x128`` for a list of two numbers, and what else it may be as text."""
    return "x".join(map(str, size)) if isinstance(size, list) else str(size)


def spell_weights(weights: Any) -> str:
    """Return ``1,1,4`` for a list of numbers, and what else it may be as text."""
    return ",".join(map(str, weights)) if isinstance(weights, list) else str(weights)


SizeOption = Annotated[
    tuple[int, int],
    Parameter(
        converter=_parse_size, n_tokens=1, negative=(), show_default=lambda size: "128", metavar="SIZE"
    ),
]
PatchOption = Annotated[
    tuple[int, int] | None,
    Parameter(converter=_parse_size, n_tokens=1, negative=(), show_default=False, metavar="SIZE"),
]
ModelOptions = Annotated[
    Mapping[str, Any],
    Parameter(converter=_parse_options, n_tokens=1, accepts_keys=False, show_default=False),
]
WeightsOption = Annotated[
    str | tuple[float, ...] | None,
    Parameter(converter=_parse_weights, n_tokens=1, negative=(), show_default=False, metavar="WEIGHTS"),
]
