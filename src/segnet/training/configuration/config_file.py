"""Configurations in YAML: read back whole, or as options of which those on the command line win."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from segnet.base.errors import SegnetError, did_you_mean
from segnet.base.files import expand_home
from segnet.data.options import TAKES, source_of
from segnet.training.configuration.config import RECIPES, TrainConfig, recipe_settings

_PATCHES = {
    entry.name for entry in fields(TrainConfig) if "patch" in (entry.name, *entry.metadata.get("part_of", ()))
}

# What else changes how many steps a run has, or what a class is: what was derived for it then goes.
_STEPS = {"recipe", "model", "data", "border", "channels", "holdout", "fold", "val_list", "size", *_PATCHES}
_HOLD_OUT = {"holdout", "fold", "val_list"}


def read_config(path: Path) -> TrainConfig:
    """Read a configuration, such as a run has saved.

    Raises:
        SegnetError: no such file, no YAML mapping, an unknown setting, or values outside their range.
    """
    values = _read_yaml(path)
    try:
        return TrainConfig(**values)
    except SegnetError as error:
        raise SegnetError(f"{path}: {error}") from None
    except (TypeError, ValueError) as error:
        raise SegnetError(f"the configuration {path} is damaged: {error}") from error


def read_options(path: Path, typed: Mapping[str, str]) -> dict[str, Any]:
    """Read settings as the command line spells them, for the options that were not typed there.

    Another recipe or model on the command line brings settings of its own. What the file only repeats of its
    own recipe then gives way to them; what differs from that was chosen by hand, and stays. Other data leaves
    behind what is only for the file's, and one way to hold images out the others. What the recipe has fitted
    to the file's data is fitted anew to other data, and for another recipe or model.

    Args:
        path: the YAML file.
        typed: fields of ``TrainConfig`` that the command line gives, as they are spelled there.

    Raises:
        SegnetError: no such file, no YAML mapping, or a setting that doesn't exist.
    """
    values = {name: value for name, value in _read_yaml(path).items() if value is not None}
    if "recipe" in typed or "model" in typed:
        own_recipe = str(values.get("recipe", TrainConfig.recipe))
        own = recipe_settings(own_recipe, str(values.get("model", ""))) if own_recipe in RECIPES else {}
        values = {name: value for name, value in values.items() if name not in own or value != own[name]}
    taken = {name for names in TAKES.values() for name in names}
    dropped = {*typed, "undecided", "derived", *values.get("undecided", ())}
    for is_so, names in (
        # 0 whatever its recipe says: drawn images have a split of their own
        (values.get("data") == "synthetic", {"holdout"}),
        # it only repeats what the patches say
        (values.get("size") == values.get("patch"), {"size"}),
        ("size" in typed and "patch" not in typed, _PATCHES),
        (_STEPS & typed.keys(), {*values.get("derived", {})}),
        ("data" in typed, taken - {*TAKES[source_of(typed.get("data", TrainConfig.data))]}),
    ):
        dropped |= names if is_so else set()
    if dropped & _HOLD_OUT:
        dropped |= _HOLD_OUT
    for name in dropped:
        values.pop(name, None)
    spellings = {entry.name: entry.metadata.get("spell") for entry in fields(TrainConfig)}
    return {name: spell(value) if (spell := spellings[name]) else value for name, value in values.items()}


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(expand_home(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SegnetError(f"can't read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that there isn't is a ValueError
        raise SegnetError(f"the configuration {path} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise SegnetError(f"the configuration {path} must hold lines such as 'epochs: 20'")
    known = [entry.name for entry in fields(TrainConfig)]
    for name in values:
        if name not in known:
            raise SegnetError(f"{path}: there is no setting {name!r}{did_you_mean(str(name), known)}")
    for name, kind in (("undecided", list), ("derived", dict)):
        if not isinstance(value := values.get(name, kind()), kind) or not all(
            isinstance(each, str) for each in value
        ):
            raise SegnetError(
                f"{path}: {name} is what segnet itself notes there, not {value!r}; leave it out"
            )
    return values
