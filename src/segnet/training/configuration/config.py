"""What a training run is made of: one dataclass that is the command line, the YAML file and the API.

Imports nothing heavy, so ``segnet --help`` is quick. No postponed annotations: the command line reads them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter

from segnet.base.errors import SegnetError, did_you_mean, require_all
from segnet.base.settings import NAME_OR_PATH, PATH, Whole, as_typed, is_whole, option, plain_values
from segnet.data.options import DATA, IN_DATA, DataOptions
from segnet.training.configuration.option_types import (
    MEDIAN_FREQUENCY,
    ModelOptions,
    PatchOption,
    SizeOption,
    WeightsOption,
    spell_size,
    spell_weights,
)
from segnet.training.configuration.ranges import RANGES
from segnet.training.configuration.recipes import (
    FITS_TO_DATA,
    FROM_RECIPE,
    RECIPES,
    recipe_settings,
    says_recipe,
)
from segnet.training.configuration.save_every import parse_save_every
from segnet.training.losses.loss_sum import WITHOUT_WEIGHTS, parse_loss

_MODEL, _RECIPE, _LOSS, _DEVICE, RUN = (
    Group(name, sort_key=place) for place, name in enumerate(("Model", "Recipe", "Loss", "Device", "Run"), 2)
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions):
    """Everything that decides a run. A setting left out is taken from the recipe when this is built.

    What modern fits to the data is decided when that is opened; ``Run.config`` has it.
    ``dataclasses.replace`` with another recipe, model or patch therefore keeps the old one's settings; build
    anew.

    Raises:
        SegnetError: an unknown recipe, or settings outside their range; names all of them.
    """

    recipe: Annotated[str, Parameter(group=_RECIPE)] = "article"
    """article (the settings of its notebooks, the default) or modern (AdamW, warm-up and cosine, EMA, crops).
    article is Part 2's; segnet-dsc then trains as in Part 3, without a schedule, and vit as in Part 4."""

    model: Annotated[str, Parameter(group=_MODEL)] = "segnet"
    """segnet (the article's, 15,274,892 parameters), segnet-dsc (Part 3's, 1,749,671), vit (Part 4's,
    86,284,806), segnet-nano, segnet-lite and segnet-plus (ours for CPUs and devices, 87,714, 737,938 and
    2,825,490), segnet-vgg16 and segnet-basic (the paper's, 29,436,809 and 1,415,561), unet (31,037,769) or
    fcn (134,290,159). segnet models compares them."""

    model_options: Annotated[ModelOptions, Parameter(group=_MODEL)] = field(
        default_factory=dict, metadata={"spell": json.dumps}
    )
    """What else the model takes, as JSON, such as '{"stages": 5}' for segnet. segnet models NAME lists its
    options."""

    encoder_weights: Annotated[Path | None, Parameter(group=_MODEL)] = field(default=None, metadata=PATH)
    """Weights that the encoder starts from, as .safetensors or as torch saved it: torchvision's vgg16 or
    vgg16_bn for segnet, segnet-vgg16 and fcn, vgg13 or vgg13_bn for unet."""

    start_from: Annotated[str | None, Parameter(group=_MODEL, show_default=False)] = field(
        default=None, metadata=NAME_OR_PATH
    )
    """A model of segnet to start from: pets-lite, a run folder or a .safetensors file of the same --model.
    Classes are matched by name; what the last layer has of others starts anew."""

    freeze_encoder: Annotated[Whole, Parameter(group=_MODEL)] = 0
    """Keep the encoder as it started for so many epochs, while the rest catches up."""

    teacher: Annotated[str | None, Parameter(group=_MODEL, show_default=False)] = field(
        default=None, metadata=NAME_OR_PATH
    )
    """A model of segnet, mostly a larger one, whose answers are learnt beside the masks: a run folder, a
    .safetensors file or a bundled name, of the same classes."""

    size: Annotated[SizeOption, IN_DATA] = field(default=(128, 128), metadata={"spell": spell_size})
    """Pixels that images are resized to, at least 16 each way: one number, or HEIGHTxWIDTH."""

    keep_aspect: Annotated[bool, IN_DATA] = False
    """Keep the proportions of images: fit them into --size, and fill up with mirrored, ignored pixels."""

    patch: Annotated[PatchOption, IN_DATA] = field(default=None, metadata={"spell": spell_size})
    """Train on patches of so many pixels, cut from images at their own size, in place of whole images at
    --size; half of them around a class other than the most frequent. Validates and predicts by overlapping
    patches."""

    patch_scale: Annotated[float, IN_DATA] = 1.0
    """Share of their own height and width that images keep where patches are cut."""

    patches: Annotated[Whole, IN_DATA] = 0
    """Patches in an epoch, 0 = as many as cover the training images once."""

    unlabeled: Annotated[Path | None, IN_DATA] = field(default=None, metadata=PATH)
    """A folder of images without masks to learn from too: --teacher labels them, or else the averaged model,
    whose sure pixels are targets; that takes --ema-decay, as modern has it."""

    resize: Annotated[Literal["nearest", "area", "bilinear"], says_recipe("resize", _RECIPE)] = FROM_RECIPE
    """How images are resized; masks always by nearest."""

    epochs: Annotated[Whole, says_recipe("epochs", _RECIPE)] = FROM_RECIPE
    """Passes over the training images. modern takes more where they are few."""

    batch_size: Annotated[Whole, says_recipe("batch_size", _RECIPE)] = FROM_RECIPE
    """Images in a training batch, over all processes. modern takes fewer where an epoch would have few
    steps."""

    accumulate: Annotated[Whole, Parameter(group=_DEVICE)] = 1
    """Parts that a batch is computed in, one after another, to need less memory; batch norm sees a part."""

    sync_batch_norm: Annotated[bool, Parameter(group=_DEVICE)] = True
    """With many processes: batch norm over the images of all of them. Without, each normalises its own."""

    loss: Annotated[str, says_recipe("loss", _LOSS)] = FROM_RECIPE
    """What training makes small: cross-entropy (article), label-smoothing, boundary (cross-entropy, more near
    edges), focal, iou (the series' -log IoU), dice, tversky, or a sum such as cross-entropy+0.5*dice. modern
    adds dice where a class is rare."""

    class_weights: Annotated[WeightsOption, Parameter(group=_LOSS)] = field(
        default=None, metadata={"spell": spell_weights}
    )
    """A weight for each class in the loss, such as 1,1,4, or median-frequency as the SegNet paper has it."""

    teacher_weight: Annotated[float, Parameter(group=_LOSS)] = 0.5
    """Share of the loss that the teacher's answers have; the masks have the rest."""

    teacher_temperature: Annotated[float, Parameter(group=_LOSS)] = 2.0
    """What the logits of both are divided by where they are compared: higher tells more of the classes that
    the teacher thinks less probable."""

    unlabeled_threshold: Annotated[float, Parameter(group=_LOSS)] = 0.95
    """Probability from which the averaged model's class of a pixel is a target, in images without masks."""

    unlabeled_weight: Annotated[float, Parameter(group=_LOSS)] = 1.0
    """Weight of the loss on images without masks; it rises with the learning rate in the warm-up."""

    optimizer: Annotated[Literal["adam", "adamw", "sgd"], says_recipe("optimizer", _RECIPE)] = FROM_RECIPE
    """sgd has momentum 0.9."""

    lr: Annotated[float, says_recipe("lr", _RECIPE)] = FROM_RECIPE
    """Peak learning rate."""

    weight_decay: Annotated[float, says_recipe("weight_decay", _RECIPE)] = FROM_RECIPE
    """Pulls weights, not norms and biases, to zero."""

    schedule: Annotated[Literal["step", "cosine", "constant"], says_recipe("schedule", _RECIPE)] = FROM_RECIPE
    """step multiplies the learning rate by --step-gamma every --step-epochs; cosine goes down to zero at the
    end."""

    step_epochs: Annotated[Whole, says_recipe("step_epochs", _RECIPE)] = FROM_RECIPE
    """Epochs of a step of the step schedule."""

    step_gamma: Annotated[float, says_recipe("step_gamma", _RECIPE)] = FROM_RECIPE
    """What a step multiplies the learning rate by."""

    warmup_epochs: Annotated[float, says_recipe("warmup_epochs", _RECIPE)] = FROM_RECIPE
    """Epochs in which the learning rate rises from zero."""

    clip_norm: Annotated[float, says_recipe("clip_norm", _RECIPE)] = FROM_RECIPE
    """Longest gradient allowed, 0 = any."""

    ema_decay: Annotated[float, says_recipe("ema_decay", _RECIPE)] = FROM_RECIPE
    """Decay of the averaged weights that are validated and kept, 0 = no averaging."""

    flip: Annotated[float, says_recipe("flip", _RECIPE)] = FROM_RECIPE
    """Chance of a horizontal flip of image and mask."""

    dihedral: Annotated[bool, Parameter(group=_RECIPE)] = False
    """Flip both ways and turn by quarters too, image and mask together (half turns where height and width
    differ): for images without an up and a down, as from a microscope or from above."""

    rotate: Annotated[float, says_recipe("rotate", _RECIPE)] = FROM_RECIPE
    """Largest turn of image and mask in degrees, either way; what comes into view mirrors them."""

    zoom_out: Annotated[float, says_recipe("zoom_out", _RECIPE)] = FROM_RECIPE
    """Smallest scale that image and mask are shrunk to, mirrored at their edges, 1 = never."""

    crop_scale: Annotated[float, says_recipe("crop_scale", _RECIPE)] = FROM_RECIPE
    """Smallest share of the area a random crop keeps, 1 = no crop."""

    crop_detail: Annotated[float, says_recipe("crop_detail", _RECIPE)] = FROM_RECIPE
    """Where there are crops, training images are kept at this multiple of the size and stay sharp."""

    brightness: Annotated[float, says_recipe("brightness", _RECIPE)] = FROM_RECIPE
    """Largest relative change of brightness."""

    contrast: Annotated[float, says_recipe("contrast", _RECIPE)] = FROM_RECIPE
    """Largest relative change of contrast."""

    saturation: Annotated[float, says_recipe("saturation", _RECIPE)] = FROM_RECIPE
    """Largest relative change of saturation."""

    hue: Annotated[float, says_recipe("hue", _RECIPE)] = FROM_RECIPE
    """Largest turn of hue, as a share of the circle."""

    grayscale: Annotated[float, says_recipe("grayscale", _RECIPE)] = FROM_RECIPE
    """Chance that an image loses its colours."""

    blur: Annotated[float, says_recipe("blur", _RECIPE)] = FROM_RECIPE
    """Chance of a slight blur, up to 0.8 pixels wide."""

    progressive: Annotated[bool, says_recipe("progressive", _RECIPE)] = FROM_RECIPE
    """Train small first: half size for 40 % of the epochs, three quarters for 25 %; never in the last."""

    recompute_statistics: Annotated[bool, Parameter(group=_RECIPE)] = False
    """Before each validation take batch norm's statistics anew from training images, as the SegNet paper does
    before testing. Helps where an epoch has few steps."""

    holdout: Annotated[float, says_recipe("holdout", DATA)] = FROM_RECIPE
    """Share of the training images to validate on where the data has no validation split; chosen by their
    content, so a file more or less moves no other. With oxford-pets 0 validates on the official test split as
    the article does, otherwise that is tested once at the end. A folder takes 0.2 for 0."""

    seed: Annotated[Whole, Parameter(group=RUN)] = 0
    """Decides everything random: weights, order, augmentation, the held-out part, drawn images."""

    early_stop: Annotated[Whole, Parameter(group=RUN)] = 0
    """Stop after this many epochs that are not the best so far, 0 = never."""

    save_every: Annotated[int | str, Parameter(converter=as_typed, n_tokens=1, group=RUN)] = 0
    """Save where the run is inside an epoch too, every so many steps or so long, such as 500 or 10min; 0 =
    after each epoch. Ctrl-C saves it anyway. Changes nothing in the result."""

    keep_epochs: Annotated[Whole, Parameter(group=RUN)] = 0
    """Keep the states of the last so many epochs and of the best, from which segnet resume --from can branch;
    0 = only the last two saved. Changes nothing in the result."""

    on_nan: Annotated[Literal["stop", "skip"], Parameter(group=RUN)] = "stop"
    """Where a step's loss isn't finite: stop, or drop that step, count it and go on."""

    device: Annotated[str, Parameter(group=_DEVICE)] = "auto"
    """auto (cuda, then mps, then cpu), or a device by name."""

    precision: Annotated[Literal["auto", "float32", "bfloat16"], Parameter(group=_DEVICE)] = "auto"
    """auto: bfloat16 autocast where the device has instructions for it."""

    compile: Annotated[bool, Parameter(group=_DEVICE)] = False
    """Run the model through torch.compile."""

    out: Annotated[Path | None, Parameter(group=RUN)] = field(default=None, metadata=PATH)
    """The run folder; without it a new one below runs/."""

    track: Annotated[str | None, Parameter(group=RUN, show_default=False)] = None
    """Show the numbers in tensorboard, mlflow, trackio or wandb too, or in several, between commas."""

    undecided: Annotated[tuple[str, ...], Parameter(parse=False)] = ()
    """Settings that nobody gave and that the recipe may still fit to the data, once that is known: what they
    hold until then is for plenty of data. Found by itself; ``dataclasses.replace`` keeps it."""

    derived: Annotated[Mapping[str, str], Parameter(parse=False)] = field(default_factory=dict)
    """The settings that the recipe has fitted to the data, and why. Found by itself."""

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, str) or self.recipe not in RECIPES:
            raise SegnetError(f"there is no recipe {self.recipe!r}{did_you_mean(str(self.recipe), RECIPES)}")
        undecided = []
        for name, value in recipe_settings(self.recipe, self.model).items():
            left_out = getattr(self, name) is None
            if left_out:
                object.__setattr__(self, name, value)
            kept = name in self.undecided and getattr(self, name) == value  # by dataclasses.replace
            if (left_out or kept) and name in FITS_TO_DATA.get(self.recipe, ()):
                undecided.append(name)
        object.__setattr__(self, "undecided", tuple(undecided))
        if self.data == "synthetic" and self.holdout == RECIPES[self.recipe]["holdout"]:
            object.__setattr__(self, "holdout", 0.0)  # the drawn images have a validation split of their own
        for name in ("size", "patch"):
            if isinstance(value := getattr(self, name), int):
                object.__setattr__(self, name, (value, value))
        for name in ("size", "patch", "class_weights"):  # lists, as YAML has them
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if self.patch is not None and self.size == TrainConfig.size:
            object.__setattr__(self, "size", self.patch)
        require_all(
            super().__post_init__, self._require_choices, self._require_ranges, self._require_loss,
            self._require_weights, self._require_size, self._require_patch, self._require_used,
            lambda: parse_save_every(self.save_every),
        )  # fmt: skip

    def _require_choices(self) -> None:
        for entry in fields(self):
            kind = get_args(entry.type)[0] if get_origin(entry.type) is Annotated else entry.type
            choices, value = get_args(kind), getattr(self, entry.name)
            if kind is bool and not isinstance(value, bool):
                raise SegnetError(f"{option(entry.name)} must be true or false, got {value!r}")
            if get_origin(kind) is Literal and value not in choices and entry.name != "border":
                raise SegnetError(
                    f"{option(entry.name)} can't be {value!r}{did_you_mean(str(value), choices)}"
                )

    def _require_ranges(self) -> None:
        whole = {entry.name for entry in fields(self) if is_whole(entry)}
        wrong = []
        for name, (lowest, highest) in RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not lowest <= value <= highest:
                wrong.append(f"{option(name)} must be from {lowest} to {highest}, got {value}")
            elif name in whole and not isinstance(value, int):
                wrong.append(f"{option(name)} must be a whole number, got {value}")
        if wrong:
            raise SegnetError("; ".join(wrong))

    def _require_loss(self) -> None:
        terms = parse_loss(str(self.loss))
        object.__setattr__(self, "loss", "+".join(map(str, terms)))
        refusing = [term.name for term in terms if term.name in WITHOUT_WEIGHTS]
        if refusing and self.class_weights is not None:
            raise SegnetError(f"--loss {refusing[0]} sums over all classes and takes no --class-weights")

    def _require_weights(self) -> None:
        weights = self.class_weights
        if weights is None:
            return
        if isinstance(weights, str):
            if weights != MEDIAN_FREQUENCY:
                raise SegnetError(
                    f"--class-weights can't be {weights!r}{did_you_mean(weights, [MEDIAN_FREQUENCY])}"
                )
            return
        if not isinstance(weights, tuple):
            raise SegnetError(
                f"--class-weights must be a number for each class, such as 1,1,4, got {weights!r}"
            )
        numbers = all(isinstance(weight, int | float) for weight in weights)
        if not numbers or not all(0 <= weight < float("inf") for weight in weights) or not any(weights):
            raise SegnetError(
                f"--class-weights must be numbers of 0 or more, not all 0, got {spell_weights([*weights])}"
            )

    def _require_size(self) -> None:
        name, size = ("size", self.size) if self.patch is None else ("patch", self.patch)
        if not isinstance(size, tuple) or len(size) != 2 or not all(isinstance(side, int) for side in size):
            raise SegnetError(f"--{name} must be (height, width) in whole pixels, got {size!r}")
        if min(size) < 16:
            raise SegnetError(f"--{name} must be at least 16 each way, got {size[0]}x{size[1]}")

    def _require_patch(self) -> None:
        if self.patch is None:
            given = [
                name
                for name, default in (("patch_scale", 1), ("patches", 0))
                if getattr(self, name) != default
            ]
            if given:
                raise SegnetError(f"{option(given[0])} is for patches; give --patch SIZE too")
        elif not isinstance(self.patch, tuple):
            return  # which _require_size says
        elif self.size not in (self.patch, [*self.patch]):
            raise SegnetError(
                f"--size {spell_size([*self.size])} is for whole images and --patch "
                f"{spell_size([*self.patch])} for parts of them; leave one out"
            )
        elif self.keep_aspect:
            raise SegnetError("patches keep the images' proportions anyway; leave --keep-aspect out")

    def _require_used(self) -> None:
        for name, (part, what) in _PART_OF.items():
            if getattr(self, part) is None and getattr(self, name) != getattr(type(self), name):
                raise SegnetError(f"{option(name)} is of {option(part)}; give {option(part)} {what} too")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as YAML holds them; of its own notes those that say something."""
        plain = plain_values(self)
        silent = [name for name in ("undecided", "derived") if not plain[name]]
        return {name: value for name, value in plain.items() if name not in silent}


# Settings of a part of training that is there only where it is asked for, and how that is typed.
_PART_OF = {
    "teacher_weight": ("teacher", "RUN"),
    "teacher_temperature": ("teacher", "RUN"),
    "unlabeled_threshold": ("unlabeled", "DIR"),
    "unlabeled_weight": ("unlabeled", "DIR"),
}
