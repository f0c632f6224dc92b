"""``segnet show``: the articles' figures, through the real ``main``."""

import pytest
from PIL import Image


@pytest.fixture
def photo(here):
    Image.radial_gradient("L").convert("RGB").resize((300, 200)).save(here / "photo.jpg")
    (here / "text.jpg").write_text("no image")
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
    assert last == [["bottleneck.5.depthwise", "depthwise", "conv", "5x5", "16", "458"]]
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
    assert "48 KiB of two-bit codes" in segnet("show", "architecture", "pets-lite").out


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
    assert "encoder.1 sees 14 px; what excites it most in 1 image:" in shown.out
    assert "channel 5: " in shown.out
    assert Image.open(here / "f.png").width > 1000


def test_activations_are_shown_step_by_step(segnet, here, photo):
    shown = segnet(
        "show", "activations", "pets-lite", "photo.jpg", "--layer", "encoder.1.units.0", "--out", "a.png"
    )
    assert (shown.code, shown.err) == (0, "")
    assert "pets-lite, encoder.1.units.0: 48 channels, 1 image" in shown.out
    assert Image.open(here / "a.png").width > 1000


MISTAKES = {
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
