"""The article's Figure 6: what it says of a model is the model's, and every model can be drawn."""

import pytest
from PIL import Image

from segnet import MODELS
from segnet.figures.architecture import describe_architecture, draw_architecture, parts_table
from segnet.figures.subjects import open_model
from segnet.models.inspection.structure import describe_structure


def structure_of(name):
    return describe_structure(open_model(name).model)


@pytest.mark.parametrize("name", [*MODELS, "pets-lite"])
def test_every_model_is_drawn(tmp_path, name):
    file = tmp_path / "drawing.png"
    draw_architecture(name, (128, 128), structure_of(name), file)
    assert 700 < Image.open(file).width < 1900  # a level of EfficientNet has 18 layers


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("segnet", "segnet: 15,274,892 parameters; 120 KiB of two-bit codes pass"),
        ("unet", "unet: 31,037,769 parameters; 7.5 MiB of whole maps (float32) pass"),
        ("vit", "vit: 86,284,806 parameters; nothing passes from encoder to decoder but the deepest map"),
        ("segnet-lite", "737,938 parameters; 18 KiB of two-bit codes and 1.12 MiB of whole maps"),
    ],
)
def test_the_text_says_what_passes(name, says):
    assert says in describe_architecture(name, structure_of(name))


def test_the_table_has_a_row_for_each_part_and_the_sum():
    table = parts_table(structure_of("unet"), (128, 128))
    rows = [*zip(*(column.cells for column in table.columns), strict=True)]
    assert rows[1] == (
        "encoder.0", "conv 3x3 → 64, 64", "64 of 128x128", "38,848",
        "64 maps of 128x128: 4 MiB to decoder.3",
    )  # fmt: skip
    assert rows[6] == ("up.0", "transposed conv 2x2 → 512", "512 of 16x16", "2,097,664", "")
    assert sum(int(row[3].replace(",", "")) for row in rows) == 31_037_769
    lite = parts_table(structure_of("segnet-lite"), (128, 128))
    assert "depthwise conv 5x5 → 6 x 256; conv 1x1 → 6 x 256" in [*lite.columns[1].cells]


def test_the_same_drawing_gives_the_same_bytes(tmp_path):
    for name in ("one.svg", "two.svg"):
        draw_architecture("segnet", (128, 128), structure_of("segnet"), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
