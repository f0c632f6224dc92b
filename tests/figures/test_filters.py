"""The article's Figure 3: what it shows of a model is what the model gives."""

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import create_model
from segnet.data.store.fit_to_size import Fit
from segnet.figures.filters import describe_filters, draw_filters, layers_table, look_inside
from segnet.figures.subjects import ShownModel, drawn_pets, open_model


@pytest.fixture(scope="module")
def pets_lite():
    return open_model("pets-lite", trained=True)


def test_maps_and_kernels_are_the_models(pets_lite):
    pictures = drawn_pets(3)
    figure = look_inside(pets_lite, pictures)
    model = pets_lite.model
    assert torch.equal(figure.kernels.weights, model.encoder[0].units[0][0].weight)
    with torch.no_grad():
        first = model.encoder[0].units[0](model.normalise(pets_lite.batch(pictures[:1])))[0].numpy()
    assert figure.early.maps == pytest.approx(first, abs=1e-5)
    assert figure.early.active == pytest.approx(float((first > 0).mean()))
    assert figure.deep.maps.shape == (256, 8, 8)
    assert len(figure.deep.shown) == 24
    assert figure.sees_px == 450


def test_patches_lie_round_the_strongest_places_strongest_first(pets_lite):
    pictures = drawn_pets(5)
    figure = look_inside(pets_lite, pictures, "encoder.1", 7)
    assert [*figure.patches] == [7]
    patches = figure.patches[7]
    assert [patch.value for patch in patches] == sorted((patch.value for patch in patches), reverse=True)
    assert sorted(patch.image for patch in patches) == [0, 1, 2, 3, 4]
    batch = pets_lite.batch(pictures)
    with torch.no_grad():
        x = pets_lite.model.normalise(batch)
        for stage in pets_lite.model.encoder[:2]:
            x, *_ = stage(x)
    for patch in patches:
        row, column = (at // 8 for at in patch.centre)  # 16 values over 128 px
        assert float(x[patch.image, 7].max()) == pytest.approx(patch.value, abs=1e-4)
        assert float(x[patch.image, 7, row, column]) == pytest.approx(patch.value, abs=1e-4)
        assert patch.pixels.shape == (26, 26, 3), "as much as a value of encoder.1 sees"
        whole = pets_lite.pixels(pictures[patch.image])
        top = min(max(0, patch.centre[0] - 13), 128 - 26)
        left = min(max(0, patch.centre[1] - 13), 128 - 26)
        assert np.array_equal(patch.pixels, whole[top : top + 26, left : left + 26])


def test_the_text_has_the_numbers(pets_lite):
    figure = look_inside(pets_lite, drawn_pets(2), channel=3)
    text = describe_filters(figure)
    assert "first kernels: encoder.0.units.0.0, 32 of 3x4x4" in text
    assert "bottleneck sees 450 px; what excites it most in 2 images:" in text
    assert f"channel 3: {figure.patches[3][0].value:.2f} (image {figure.patches[3][0].image + 1})" in text
    rows = [*zip(*(column.cells for column in layers_table(figure).columns), strict=True)]
    assert rows[0][:3] == ("encoder.0.units.0", "32", "64x64")
    assert rows[1][:3] == ("bottleneck", "256", "8x8")
    assert rows[0][3] == f"{100 * figure.early.active:.1f} %"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("segnet-dsc", {}),
        ("unet", {"width": 4}),
        ("fcn", {"width": 4, "head": 8}),
        pytest.param("vit", {"depth": 1}, marks=pytest.mark.campaign),
    ],
)
def test_every_kind_of_model_is_drawn(tmp_path, name, options):
    torch.manual_seed(0)
    model = create_model(name, **options).eval()
    shown = ShownModel(name, model, Fit((64, 96), "nearest"), is_trained=True)
    draw_filters(look_inside(shown, drawn_pets(2)), tmp_path / "filters.png")
    assert Image.open(tmp_path / "filters.png").width > 1000


def test_a_layer_that_gives_nothing_can_be_drawn(tmp_path):
    model = create_model("segnet", stages=1).eval()
    for unit in model.encoder[0].units:
        torch.nn.init.zeros_(unit[0].weight)
    figure = look_inside(ShownModel("dead", model, Fit((32, 32), "nearest"), is_trained=True), drawn_pets(1))
    assert figure.deep.silent == 64
    draw_filters(figure, tmp_path / "filters.svg")
