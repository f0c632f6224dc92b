"""What a training run is made of: one dataclass that is the command line, the YAML file and the API.

Imports nothing heavy, so ``segnet --help`` is quick.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from cyclopts import Parameter, Token

from segnet.core.errors import SegnetError, did_you_mean
from segnet.core.files import expand_home
from segnet.data.options import DataOptions

MEDIAN_FREQUENCY = "median-frequency"

# Every setting that a recipe decides. The article's are those of its notebooks, number by number: Part 2's
# here, what Parts 3 and 4 change for their models below.
RECIPES: dict[str, dict[str, Any]] = {
    "article": {
        "epochs": 20,
        "batch_size": 64,
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
        "crop_scale": 1.0,
        "crop_detail": 1.0,
        "brightness": 0.0,
        "contrast": 0.3,
        "saturation": 0.0,
        "hue": 0.0,
        "progressive": False,
        "holdout": 0.0,
    },
    "modern": {
        "epochs": 60,
        "batch_size": 32,
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
        "crop_scale": 0.4,
        "crop_detail": 1.5,
        "brightness": 0.3,
        "contrast": 0.3,
        "saturation": 0.3,
        "hue": 0.05,
        "progressive": True,
        "holdout": 0.1,
    },
}

# What a recipe sets otherwise for one model.
RECIPES_BY_MODEL: dict[tuple[str, str], dict[str, Any]] = {
    ("article", "segnet-dsc"): {"schedule": "constant"},
    ("article", "vit"): {"epochs": 50, "lr": 4e-4, "step_epochs": 12, "step_gamma": 0.8},
}


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


# Options that more than one command takes.
SizeOption = Annotated[
    tuple[int, int],
    Parameter(
        converter=_parse_size, n_tokens=1, negative=(), show_default=lambda size: "128", metavar="SIZE"
    ),
]
ModelOptions = Annotated[
    Mapping[str, Any],
    Parameter(converter=_parse_options, n_tokens=1, accepts_keys=False, show_default=False),
]

# Stands for "as the recipe says" until __post_init__ has filled the field in.
FROM_RECIPE: Any = None


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions):
    """Everything that decides a run. A setting left out is taken from the recipe when this is built.

    ``dataclasses.replace`` with another recipe or model therefore keeps the old one's settings; build anew.

    Raises:
        SegnetError: an unknown recipe, or a setting outside its range.
    """

    recipe: str = "article"
    """article (the settings of its notebooks, the default) or modern (AdamW, warm-up and cosine, EMA, crops).
    article is Part 2's; segnet-dsc then trains as in Part 3, without a schedule, and vit as in Part 4."""

    model: str = "segnet"
    """segnet (the article's, 15,274,892 parameters), segnet-dsc (Part 3's, 1,749,671), vit (Part 4's,
    86,284,806), segnet-lite (ours for CPUs, 701,337), segnet-vgg16 and segnet-basic (the paper's, 29,436,809
    and 1,415,561), unet (31,037,769) or fcn (134,290,159). segnet models compares them."""

    model_options: ModelOptions = field(default_factory=dict)
    """What else the model takes, as JSON, such as '{"stages": 5}' for segnet. segnet models NAME lists its
    options."""

    encoder_weights: Path | None = None
    """Weights that segnet-vgg16's encoder starts from: torchvision's vgg16 or vgg16_bn, as .safetensors or as
    torch saved it."""

    size: SizeOption = (128, 128)
    """Pixels that images are resized to, at least 16 each way: one number, or HEIGHTxWIDTH."""

    resize: Literal["nearest", "area", "bilinear"] = FROM_RECIPE
    """How images are resized (article: nearest, modern: area); masks always by nearest."""

    epochs: int = FROM_RECIPE
    """Passes over the training images (article: 20, for vit 50; modern: 60)."""

    batch_size: int = FROM_RECIPE
    """Images in a training batch (article: 64, modern: 32)."""

    loss: Literal["cross-entropy", "focal", "iou", "dice"] = "cross-entropy"
    """What training makes small: cross-entropy (article), focal, iou (the series' -log IoU) or dice."""

    class_weights: Annotated[
        str | tuple[float, ...] | None,
        Parameter(converter=_parse_weights, n_tokens=1, negative=(), show_default=False, metavar="WEIGHTS"),
    ] = None
    """A weight for each class in the loss, such as 1,1,4, or median-frequency as the SegNet paper has it."""

    optimizer: Literal["adam", "adamw", "sgd"] = FROM_RECIPE
    """article: adam, modern: adamw; sgd has momentum 0.9."""

    lr: float = FROM_RECIPE
    """Peak learning rate (article: 0.001, for vit 0.0004; modern: 0.004)."""

    weight_decay: float = FROM_RECIPE
    """Pulls weights, not norms and biases, to zero (article: 0, modern: 0.02)."""

    schedule: Literal["step", "cosine", "constant"] = FROM_RECIPE
    """step: times 0.7 every 7 epochs (article); cosine: down to zero at the end (modern); constant
    (article for segnet-dsc)."""

    step_epochs: int = FROM_RECIPE
    """Epochs of a step of the step schedule (7; article for vit: 12)."""

    step_gamma: float = FROM_RECIPE
    """What a step multiplies the learning rate by (0.7; article for vit: 0.8)."""

    warmup_epochs: float = FROM_RECIPE
    """Epochs in which the learning rate rises from zero (article: 0, modern: 2)."""

    clip_norm: float = FROM_RECIPE
    """Longest gradient allowed, 0 = any (article: 0, modern: 1)."""

    ema_decay: float = FROM_RECIPE
    """Decay of the averaged weights that are validated and kept, 0 = no averaging (modern: 0.99)."""

    flip: float = FROM_RECIPE
    """Chance of a horizontal flip of image and mask (both recipes: 0.5)."""

    crop_scale: float = FROM_RECIPE
    """Smallest share of the area a random crop keeps, 1 = no crop (article: 1, modern: 0.4)."""

    crop_detail: float = FROM_RECIPE
    """Training images are kept at this multiple of the size, so that crops stay sharp (modern: 1.5)."""

    brightness: float = FROM_RECIPE
    """Largest relative change of brightness (article: 0, modern: 0.3)."""

    contrast: float = FROM_RECIPE
    """Largest relative change of contrast (both recipes: 0.3)."""

    saturation: float = FROM_RECIPE
    """Largest relative change of saturation (article: 0, modern: 0.3)."""

    hue: float = FROM_RECIPE
    """Largest turn of hue, as a share of the circle (article: 0, modern: 0.05)."""

    progressive: bool = FROM_RECIPE
    """Train small first: half size for 40 % of the epochs, three quarters for 25 % (modern)."""

    recompute_statistics: bool = False
    """Before each validation take batch norm's statistics anew from training images, as the SegNet paper does
    before testing. Helps where an epoch has few steps."""

    holdout: float = FROM_RECIPE
    """Share of the training images to validate on where the data has no validation split. With oxford-pets
    0 validates on the official test split as the article does; modern holds out 0.1 and tests once. A
    folder without splits takes 0.2 for 0."""

    seed: int = 0
    """Decides everything random: weights, order, augmentation, the held-out part, drawn images."""

    early_stop: int = 0
    """Stop after this many epochs without a better mean IoU, 0 = never."""

    device: str = "auto"
    """auto (cuda, then mps, then cpu), or a device by name."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 autocast where the device has instructions for it."""

    compile: bool = False
    """Run the model through torch.compile."""

    out: Path | None = None
    """The run folder; without it a new one below runs/."""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise SegnetError(f"there is no recipe {self.recipe!r}{did_you_mean(self.recipe, RECIPES)}")
        settings = RECIPES[self.recipe] | RECIPES_BY_MODEL.get((self.recipe, self.model), {})
        for name, value in settings.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "data", str(self.data))
        if self.encoder_weights is not None:
            object.__setattr__(self, "encoder_weights", expand_home(self.encoder_weights))
        if isinstance(self.size, int):
            object.__setattr__(self, "size", (self.size, self.size))
        for entry in fields(self):
            choices, value = get_args(entry.type), getattr(self, entry.name)
            if get_origin(entry.type) is Literal and value not in choices:
                raise SegnetError(
                    f"{_option(entry.name)} can't be {value!r}{did_you_mean(str(value), choices)}"
                )
        for name, (lowest, highest) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not lowest <= value <= highest:
                raise SegnetError(f"{_option(name)} must be from {lowest} to {highest}, got {value}")
        if isinstance(self.class_weights, list):
            object.__setattr__(self, "class_weights", tuple(self.class_weights))
        _check_weights(self.class_weights, self.loss)
        if not isinstance(self.size, tuple) or len(self.size) != 2:
            raise SegnetError(f"size must be (height, width), got {self.size!r}")
        if min(self.size) < 16:
            raise SegnetError(f"--size must be at least 16 each way, got {self.size[0]}x{self.size[1]}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as YAML holds them."""
        plain = asdict(self)
        plain["size"] = list(self.size)
        if isinstance(self.class_weights, tuple):
            plain["class_weights"] = list(self.class_weights)
        plain["archive"] = [str(path) for path in self.archive]
        for name in ("data_root", "encoder_weights", "out"):
            plain[name] = None if plain[name] is None else str(plain[name])
        return plain

    def with_absolute_paths(self) -> Self:
        """Return the same settings, with paths that hold from any working directory."""
        from segnet.data.sources import DATASETS  # heavier than this module may be

        return replace(
            self,
            # a dataset's name stays one, also where a folder of that name stands
            data=self.data if self.data in DATASETS else _absolute(self.data),
            extra_list=self.extra_list and _absolute(self.extra_list),
            data_root=self.data_root and self.data_root.resolve(),
            encoder_weights=self.encoder_weights and self.encoder_weights.resolve(),
            archive=tuple(path.resolve() for path in self.archive),
        )


def read_config(path: Path) -> TrainConfig:
    """Read the configuration that a run has saved.

    Raises:
        SegnetError: as ``read_settings``, or a setting outside its range.
    """
    values = _read_yaml(path)
    try:
        for name, convert in _FROM_YAML.items():
            if values.get(name) is not None:
                values[name] = convert(values[name])
        return TrainConfig(**values)
    except (TypeError, ValueError) as error:
        raise SegnetError(f"the configuration {path} is damaged: {error}") from error


def read_settings(path: Path) -> dict[str, Any]:
    """Read settings from a YAML file, spelled as on the command line; those that are null are left out.

    Raises:
        SegnetError: no such file, no YAML mapping, or a setting that doesn't exist.
    """
    spelled = {name: value for name, value in _read_yaml(path).items() if value is not None}
    if isinstance(spelled.get("size"), list):
        spelled["size"] = "x".join(str(side) for side in spelled["size"])
    if isinstance(spelled.get("class_weights"), list):
        spelled["class_weights"] = ",".join(str(weight) for weight in spelled["class_weights"])
    if "model_options" in spelled:
        spelled["model_options"] = json.dumps(spelled["model_options"])
    return spelled


_FROM_YAML: dict[str, Callable[[Any], Any]] = {
    "size": tuple,
    "archive": lambda paths: tuple(Path(path) for path in paths),
    "data_root": Path,
    "encoder_weights": Path,
    "out": Path,
}


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SegnetError(f"can't read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SegnetError(f"the configuration {path} is no YAML: {error}") from error
    if not isinstance(values, dict):
        raise SegnetError(f"the configuration {path} must hold lines such as 'epochs: 20'")
    known = [entry.name for entry in fields(TrainConfig)]
    for name in values:
        if name not in known:
            raise SegnetError(f"{path}: there is no setting {name!r}{did_you_mean(str(name), known)}")
    return values


_MANY = 1_000_000
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, _MANY),
    "batch_size": (1, _MANY),
    "lr": (0, 1000),
    "step_epochs": (1, _MANY),
    "step_gamma": (0, 1),
    "weight_decay": (0, 1000),
    "warmup_epochs": (0, _MANY),
    "clip_norm": (0, float("inf")),
    "ema_decay": (0, 0.99999),
    "flip": (0, 1),
    "crop_scale": (0.01, 1),
    "crop_detail": (1, 4),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "saturation": (0, 1),
    "hue": (0, 0.5),
    "holdout": (0, 0.9),
    "early_stop": (0, _MANY),
    "seed": (0, 2**31 - 1),
}


def _check_weights(weights: str | tuple[float, ...] | None, loss: str) -> None:
    if weights is None:
        return
    if loss == "iou":
        raise SegnetError("--loss iou sums over all classes and takes no --class-weights")
    if isinstance(weights, str):
        if weights != MEDIAN_FREQUENCY:
            raise SegnetError(
                f"--class-weights can't be {weights!r}{did_you_mean(weights, [MEDIAN_FREQUENCY])}"
            )
        return
    if not isinstance(weights, tuple):
        raise SegnetError(f"--class-weights must be a number for each class, such as 1,1,4, got {weights!r}")
    numbers = all(isinstance(weight, int | float) for weight in weights)
    if not numbers or not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
        shown = ",".join(str(weight) for weight in weights)
        raise SegnetError(f"--class-weights must be numbers of 0 or more, not all 0, got {shown}")


def _absolute(path: str) -> str:
    """Return the absolute path of what is there, anything else as it is."""
    return str(Path(path).resolve()) if Path(path).exists() else path


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
