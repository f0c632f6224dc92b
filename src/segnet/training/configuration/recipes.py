"""The recipes: named tables of settings. The article's never changes; anything better is another one."""

from typing import Any

from cyclopts import Group, Parameter

# Every setting that a recipe decides. The article's are those of its notebooks, number by number: Part 2's
# here, what Parts 3 and 4 change for their models below.
RECIPES: dict[str, dict[str, Any]] = {
    "article": {
        "epochs": 20,
        "batch_size": 64,
        "loss": "cross-entropy",
        "resize": "nearest",
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 0.0,
        "schedule": "step",
        "step_epochs": 7,
        "step_gamma": 0.7,
        "warmup_epochs": 0.0,
        "clip_norm": 0.0,
        "ema_decay": 0.0,
        "flip": 0.5,
        "rotate": 0.0,
        "zoom_out": 1.0,
        "crop_scale": 1.0,
        "crop_detail": 1.0,
        "brightness": 0.0,
        "contrast": 0.3,
        "saturation": 0.0,
        "hue": 0.0,
        "grayscale": 0.0,
        "blur": 0.0,
        "progressive": False,
        "holdout": 0.0,
    },
    "modern": {
        "epochs": 60,
        "batch_size": 32,
        "loss": "cross-entropy",
        "resize": "area",
        "optimizer": "adamw",
        "lr": 4e-3,
        "weight_decay": 0.02,
        "schedule": "cosine",
        "step_epochs": 7,
        "step_gamma": 0.7,
        "warmup_epochs": 2.0,
        "clip_norm": 1.0,
        "ema_decay": 0.99,
        "flip": 0.5,
        "rotate": 0.0,
        "zoom_out": 1.0,
        "crop_scale": 0.4,
        "crop_detail": 1.5,
        "brightness": 0.3,
        "contrast": 0.3,
        "saturation": 0.3,
        "hue": 0.05,
        "grayscale": 0.0,
        "blur": 0.0,
        "progressive": True,
        "holdout": 0.1,
    },
}

# What a recipe sets otherwise for one model.
RECIPES_BY_MODEL: dict[tuple[str, str], dict[str, Any]] = {
    ("article", "segnet-dsc"): {"schedule": "constant"},
    ("article", "vit"): {"epochs": 50, "lr": 4e-4, "step_epochs": 12, "step_gamma": 0.8},
}

# What a recipe may fit to the data, where nobody has set it; ``derived.py`` says how.
FITS_TO_DATA: dict[str, tuple[str, ...]] = {"modern": ("batch_size", "epochs", "loss")}

# Stands for "as the recipe says" until the configuration has filled the field in.
FROM_RECIPE: Any = None


def recipe_settings(recipe: str, model: str) -> dict[str, Any]:
    """Return every setting that a recipe decides, with what it sets otherwise for this model."""
    return RECIPES[recipe] | RECIPES_BY_MODEL.get((recipe, model), {})


def says_recipe(name: str, group: Group) -> Parameter:
    """Return what the help shows of a setting that recipes decide: its value in each of them."""
    in_each = {}
    for recipe, settings in RECIPES.items():
        values = [_in_words(settings[name])]
        values += [
            f"{model} {_in_words(changes[name])}"
            for (which, model), changes in RECIPES_BY_MODEL.items()
            if which == recipe and name in changes
        ]
        in_each[recipe] = ", ".join(values)
    same = len(set(in_each.values())) == 1
    shown = (
        in_each["article"] if same else "; ".join(f"{recipe} {values}" for recipe, values in in_each.items())
    )
    return Parameter(group=group, show_default=lambda _: shown)


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
