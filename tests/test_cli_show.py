"""``segnet show``: the articles' figures, through the real ``main``."""

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from segnet import ClassTable, create_model
from segnet.data.images.intensity import Intensity
from segnet.data.synthetic import SyntheticSample
from segnet.figures.subjects import drawn_pets, open_model
from segnet.inference.description import Description
from segnet.inference.model_file import write_model_file


@pytest.fixture
def photo(here):
    Image.radial_gradient("L").convert("RGB").resize((300, 200)).save(here / "photo.jpg")
    (here / "text.jpg").write_text("no image")
    unet = create_model("unet", 2, width=4)
    described = Description("unet", ClassTable.named(("a", "b")), (64, 64), "area", options={"width": 4})
    write_model_file(here / "unet.safetensors", unet.state_dict(), described)
    return here / "photo.jpg"


def test_convolution_works_one_window_out_and_draws(segnet, here, photo):
    shown = segnet("show", "convolution")
    assert (shown.code, shown.err) == (0, "")
    assert [line for line in shown.out.splitlines() if line in ("edge", "blur", "sharpen", "emboss")] == [
        "edge", "blur", "sharpen", "emboss",
    ]  # fmt: skip
    drawn = segnet("show", "convolution", "photo.jpg", "--kernel", "-1,0,1,-2,0,2,-1,0,1", "--out", "c.png")
    assert (drawn.code, drawn.err) == (0, "")
    assert "photo.jpg, 171x256" in drawn.out
    assert "drawn in c.png" in drawn.out
    assert Image.open(here / "c.png").width > 900


def test_receptive_field_is_computed_and_of_a_trained_model_measured(segnet, here, photo):
    shown = segnet("show", "receptive-field", "pets-lite", "photo.jpg", "--out", "field.svg")
    assert (shown.code, shown.err) == (0, "")
    last = [line.split() for line in shown.out.splitlines() if "bottleneck.5.depthwise" in line]
    assert last == [["bottleneck.5.depthwise", "depthwise", "conv", "5x5", "16", "450"]]
    assert "mean of 1 image" in shown.out
    assert (here / "field.svg").read_text().startswith("<?xml")
    untrained = segnet("show", "receptive-field", "segnet-basic")
    assert "106" in untrained.out
    assert "measured: nothing, since this model is untrained" in untrained.out


def test_architecture_is_shown_of_a_name_and_of_a_file(segnet, here):
    shown = segnet("show", "architecture", "unet", "--out", "unet.svg")
    assert (shown.code, shown.err) == (0, "")
    assert "7.5 MiB of whole maps" in shown.out
    assert (here / "unet.svg").read_text().startswith("<?xml")
    assert "18 KiB of two-bit codes" in segnet("show", "architecture", "pets-lite").out


def test_filters_shows_a_layer_and_a_channel_of_a_trained_model(segnet, here, photo):
    shown = segnet(
        "show",
        "filters",
        "pets-lite",
        "photo.jpg",
        "--layer",
        "encoder.1",
        "--channel",
        "5",
        "--out",
        "f.png",
    )
    assert (shown.code, shown.err) == (0, "")
    assert "encoder.1 sees 26 px; what excites it most in 1 image:" in shown.out
    assert "channel 5: " in shown.out
    assert Image.open(here / "f.png").width > 1000


def test_activations_are_shown_step_by_step(segnet, here, photo):
    shown = segnet(
        "show", "activations", "pets-lite", "photo.jpg", "--layer", "encoder.1.units.0", "--out", "a.png"
    )
    assert (shown.code, shown.err) == (0, "")
    assert "pets-lite, encoder.1.units.0: 96 channels, 1 image" in shown.out
    assert Image.open(here / "a.png").width > 1000


def test_pooling_shows_digits_and_a_picture(segnet, here, photo):
    assert "2 bytes here, 64 as the int64 indices" in segnet("show", "pooling").out
    shown = segnet("show", "pooling", "photo.jpg", "--out", "p.png")
    assert (shown.code, shown.err) == (0, "")
    assert "photo.jpg, 170x256: 10880 windows" in shown.out
    assert "drawn in p.png" in shown.out
    assert Image.open(here / "p.png").width > 1000
    assert "a drawn pet" in segnet("show", "pooling", "pet").out


@pytest.fixture
def pets(here):
    """A folder with four drawn pets to score on, 48x48."""
    for number in range(4):
        split = "train" if number == 0 else "val"
        image, mask = SyntheticSample(7, number).read()
        for kind, picture in (("images", image), ("masks", Image.fromarray(np.asarray(mask)))):
            (here / "pets" / split / kind).mkdir(parents=True, exist_ok=True)
            picture.resize((48, 48), Image.Resampling.NEAREST).save(
                here / "pets" / split / kind / f"{number}.png"
            )
    (here / "pets" / "dataset.yaml").write_text("classes: [pet, background, border]\n")


def test_pooling_is_broken_in_a_trained_model(segnet, here, pets):
    shown = segnet(
        "show", "pooling", "--break", "bilinear,first-corner", "pets-lite", "--data", "pets", "--out", "b.png"
    )
    assert (shown.code, shown.err) == (0, "")
    assert "pets-lite, 4 images, all of pets" in shown.out
    scores = {line.split()[0]: float(line.split()[1]) for line in shown.out.splitlines()[4:7]}
    assert list(scores) == ["indices", "bilinear", "first-corner"]
    assert scores["indices"] == max(scores.values())
    scored = json.loads(segnet("eval", "pets-lite", "--data", "pets", "--json").out)
    assert f"{scored['mean_iou']:.3f}" == f"{scores['indices']:.3f}"
    assert Image.open(here / "b.png").width > 1000


MISTAKES = {
    "pooling nowhere.jpg": "nowhere.jpg does not exist; check the path",
    "pooling text.jpg": "text.jpg is not an image that can be read",
    "pooling --out p.doc": "p.doc: the file's name must end in .png or .svg",
    "pooling pet --retrain": "are for --break: segnet show pooling --break all",
    "pooling --data pets": "are for --break",
    "pooling --break bilinaer": "there is no way to un-pool 'bilinaer'; did you mean 'bilinear'?",
    "pooling --break all segnet": "segnet by its name alone has learnt nothing that could be shown",
    "pooling --break all pets-lit": "'pets-lit'; did you mean 'pets-lite'?",
    "pooling --break all unet.safetensors": "no pooling indices that could be left out; take a SegNet",
    "pooling --break all pets-lite --retrain": "trains models of its own on drawn pets; it takes no model",
    "learning nowhere": "nowhere",
    "learning --epochs 1": "--epochs must be 2 or more, got 1",
    "learning --out l.jpg": "l.jpg: the file's name must end in .gif or .png or .svg",
    "learning --image 41": "--image is 1 to 21, got 41",
    "learning --image cat": "--image cat: no image of that name is shown",
    "activations segnet": "segnet by its name alone has learnt nothing that could be shown",
    "activations --layer encoder.1.unit": "no unit 'encoder.1.unit' with a batch norm; did you mean",
    "filters segnet": "segnet by its name alone has learnt nothing that could be shown; give a run folder",
    "filters --layer bottlenek": "no layer 'bottlenek' that gives maps; did you mean 'bottleneck'?",
    "filters --channel 256": "bottleneck has channels 0 to 255, got 256",
    "filters pets-lite text.jpg": "text.jpg is not an image that can be read",
    "architecture unett": "there is no run folder, model file or model 'unett'; did you mean 'unet'?",
    "architecture segnet --out a.doc": "a.doc: the file's name must end in .png or .svg",
    "receptive-field segnet-lit": "there is no run folder, model file or model 'segnet-lit'; did you mean",
    "receptive-field pets-lite nowhere.jpg": "nowhere.jpg does not exist; check the path",
    "receptive-field text.jpg": "text.jpg",
    "receptive-field --out f.doc": "f.doc: the file's name must end in .png or .svg",
    "convolution nowhere.jpg": "nowhere.jpg does not exist; check the path",
    "convolution text.jpg": "text.jpg is not an image that can be read",
    "convolution --kernel embos": "there is no kernel 'embos'; did you mean 'emboss'?",
    "convolution --padding 3": "--padding is 0 to 2 for a 3x3 kernel",
    "convolution --padding -1": "--padding is 0 to 2",
    "convolution --stride 0": "--stride is 1 to 145 for this image, got 0",
    "convolution --stride 999": "--stride is 1 to 145",
    "convolution --out c.doc": "c.doc: the file's name must end in .png or .svg",
}


@pytest.mark.parametrize(("arguments", "says"), MISTAKES.items())
def test_a_mistake_is_one_line_that_says_what_would_work(segnet, here, photo, arguments, says):
    ended = segnet("show", *arguments.split())
    ended.is_a_mistake_in_one_line(says)
    assert ended.out == ""


def write_model(path, *, name="segnet-lite", channels=3, ranges=None, classes=3, patch_scale=None, **options):
    torch.manual_seed(0)
    model = create_model(name, classes, channels, **options)
    table = ClassTable.named([f"class {i}" for i in range(classes)])
    intensity = Intensity(channels, ranges and (ranges,) * channels)
    described = Description(
        name, table, (32, 32), "area", patch_scale=patch_scale, intensity=intensity, options=options
    )
    write_model_file(path, model.state_dict(), described)


LITE = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}
OTHER_MODELS = {
    "1 channel, 2 classes": {"channels": 1, "classes": 2, **LITE},
    "2 channels, 12 classes": {"channels": 2, "classes": 12, **LITE},
    "4 channels, patches": {"channels": 4, "patch_scale": 0.5, **LITE},
    "1 deep channel, patches": {"channels": 1, "ranges": (100.0, 4000.0), "patch_scale": 1.0, **LITE},
    "3 deep channels": {"channels": 3, "ranges": (100.0, 4000.0), **LITE},
    "7 deep channels, 2 classes": {"channels": 7, "classes": 2, "ranges": (0.0, 1.5), **LITE},
    "a transformer of 1 channel": {"name": "vit", "channels": 1, "depth": 1, "width": 16, "heads": 2},
    "a transformer of 4 channels": {"name": "vit", "channels": 4, "depth": 1, "width": 16, "heads": 2},
    "a U-Net of 2 channels": {"name": "unet", "channels": 2, "classes": 2, "width": 4},
    "an FCN of 4 channels": {"name": "fcn", "channels": 4, "width": 4, "head": 16},
    "the article's of 1 channel": {"name": "segnet-dsc", "channels": 1, "classes": 12},
}


# More classes than are drawn, no maps.
REPRESENTATIVE = ("2 channels, 12 classes", "a transformer of 4 channels")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(each, id=name, marks=[] if name in REPRESENTATIVE else [pytest.mark.campaign])
        for name, each in OTHER_MODELS.items()
    ],
)
def test_models_of_any_channels_and_classes_are_shown(segnet, here, settings):
    write_model(here / "m.safetensors", **settings)
    channels, deep = settings["channels"], "ranges" in settings
    for command in ("architecture", "filters", "receptive-field", "activations"):
        ended = segnet("show", command, "m.safetensors", "--out", f"{command}.png")
        if command == "activations" and settings.get("name") == "vit":
            ended.is_a_mistake_in_one_line("no batch norm between its layers")
            continue
        assert (ended.code, ended.err) == (0, ""), command
        assert Image.open(here / f"{command}.png").width > 500
        stands_in = f"drawn pets stand in for images of {channels} channels" in ended.out
        assert stands_in == (command != "architecture" and channels not in (1, 3))
    random = np.random.RandomState(0)
    values = random.randint(0, 4096, (48, 40, channels)).astype(np.uint16 if deep else np.uint8)
    tifffile.imwrite(here / "own.tif", values.squeeze(), photometric="minisblack", planarconfig="contig")
    own = segnet("show", "filters", "m.safetensors", "own.tif")
    assert (own.code, own.err) == (0, "")
    assert "in 1 image:" in own.out
    if channels not in (1, 3):
        Image.new("RGB", (40, 40)).save(here / "rgb.png")
        segnet("show", "filters", "m.safetensors", "rgb.png").is_a_mistake_in_one_line("rgb.png")


def test_a_model_of_one_channel_is_shown_the_values_that_it_was_trained_on(here):
    write_model(here / "m.safetensors", channels=1, ranges=(100.0, 4000.0), **LITE)
    values = np.full((32, 32), 2050, np.uint16)
    tifffile.imwrite(here / "own.tif", values)
    shown = open_model("m.safetensors")
    assert np.unique(shown.pixels(shown.open("own.tif"))).tolist() == [128]
    grey = np.asarray(drawn_pets(1)[0].convert("L").resize((32, 32), Image.Resampling.BOX))
    assert np.array_equal(shown.pixels(drawn_pets(1)[0])[..., 0], grey)


def test_an_exported_model_is_shown_by_none_of_the_figures_of_weights(segnet, here, photo):
    (here / "m.onnx").write_bytes(b"")
    for command in ("architecture", "filters", "receptive-field", "activations"):
        segnet("show", command, "m.onnx").is_a_mistake_in_one_line("m.onnx")
