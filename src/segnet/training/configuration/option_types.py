"""Types of options that aren't plain numbers or names: how they are typed, checked, and spelled in YAML.

Imports nothing heavy, so ``segnet --help`` is quick. No postponed annotations: the command line reads them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter, Token

from segnet.base.errors import SegnetError, did_you_mean, refuse

MEDIAN_FREQUENCY = "median-frequency"


def _parse_size(type_: object, tokens: Sequence[Token]) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", tokens[0].value)
    if not match:
        raise ValueError(
            f"a size is one number or HEIGHTxWIDTH, such as 128 or 96x128, not {tokens[0].value}"
        )
    return int(match[1]), int(match[2] or match[1])


def _parse_options(type_: object, tokens: Sequence[Token]) -> dict[str, Any]:
    text = tokens[0].value
    if re.fullmatch(r"\w+=[^,]+(,\w+=[^,]+)*", text):
        return {name: _value(value) for name, _, value in (each.partition("=") for each in text.split(","))}
    options = _value(text)
    if not isinstance(options, dict):
        raise ValueError(f"options are such as width=0.5, or a JSON object, not {text}")
    return options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


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


def require_sizes(size: Any, patch: Any, keep_aspect: bool) -> None:
    """Raise SegnetError where images, or patches of them, have no size that a network could take."""
    name, wanted = ("size", size) if patch is None else ("patch", patch)
    if not isinstance(wanted, tuple) or len(wanted) != 2 or not all(isinstance(side, int) for side in wanted):
        raise SegnetError(f"--{name} must be (height, width) in whole pixels, got {wanted!r}")
    if min(wanted) < 16:
        raise SegnetError(f"--{name} must be at least 16 each way, got {wanted[0]}x{wanted[1]}")
    if patch is not None:
        refuse(
            (
                size not in (patch, [*patch]),
                f"--size {spell_size([*size])} is for whole images and --patch {spell_size([*patch])} for "
                "parts of them; leave one out",
            ),
            (keep_aspect, "patches keep the images' proportions anyway; leave --keep-aspect out"),
        )


def require_weights(weights: Any) -> None:
    """Raise SegnetError where class weights are neither numbers nor a way to count them."""
    if weights is None or weights == MEDIAN_FREQUENCY:
        return
    refuse(
        (
            isinstance(weights, str),
            f"--class-weights can't be {weights!r}{did_you_mean(str(weights), [MEDIAN_FREQUENCY])}",
        ),
        (
            not isinstance(weights, tuple),
            f"--class-weights must be a number for each class, such as 1,1,4, got {weights!r}",
        ),
    )
    numbers = all(isinstance(weight, int | float) for weight in weights)
    if not numbers or not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        raise SegnetError(
            f"--class-weights must be numbers of 0 or more, not all 0, got {spell_weights([*weights])}"
        )


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

_SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class SaveEvery:
    """One of the two is 0, or both, where only whole epochs are saved."""

    steps: int = 0
    """Optimizer steps, counted from the beginning of the epoch."""
    seconds: int = 0

    def is_due(self, step: int, waited: float) -> bool:
        """Say whether it is time: ``step`` steps into the epoch, ``waited`` seconds after the last save."""
        return bool(self.steps and step % self.steps == 0) or bool(self.seconds and waited >= self.seconds)


def parse_save_every(value: int | str) -> SaveEvery:
    """Return what 500, "500", "90s", "10min" or "2h" say.

    Raises:
        SegnetError: something else.
    """
    match = re.fullmatch(r"(\d+) *(s|min|h)?", str(value).strip())
    if not match:
        raise SegnetError(
            f"--save-every takes steps or a time, such as 500, 90s, 10min or 2h; 0 = after each epoch; "
            f"not {value!r}"
        )
    number, unit = int(match[1]), match[2]
    return SaveEvery(steps=number) if unit is None else SaveEvery(seconds=number * _SECONDS[unit])
