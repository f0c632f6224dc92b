"""The article's Figure 4: its numbers are those of the models, and it is drawn for every kind of them."""

import shutil

import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.figures.receptive_field import describe_fields, draw_fields, fields_table, measure_fields
from segnet.figures.subjects import drawn_pets, open_model
from segnet.inference.opening import WEIGHTS


def test_the_table_leaves_out_layers_that_see_no_further():
    figure = measure_fields(open_model("segnet-dsc"), drawn_pets(1))
    table = fields_table(figure)
    assert [*table.columns[3].cells] == [
        "3", "5", "6", "10", "14", "16", "24", "32", "40", "44", "60", "76", "92", "100",
    ]  # fmt: skip
    assert "untrained" in describe_fields(figure)


def test_of_a_trained_model_it_is_also_measured():
    figure = measure_fields(open_model("pets-lite"), drawn_pets(2))
    assert figure.fields[-1].sees_px == 450
    assert figure.effective.shape == (128, 128)
    assert figure.effective.sum() == pytest.approx(1)
    half, most = figure.side_with(0.5), figure.side_with(0.95)
    assert 1 < half < most <= 129
    assert f"half comes from {half}x{half} px round it and 95 % from {most}x{most}" in describe_fields(figure)
    assert "mean of 2 images" in describe_fields(figure)


@pytest.mark.parametrize(
    "name", ["pets-lite", "segnet-basic", pytest.param("vit", marks=pytest.mark.campaign)]
)
def test_the_figure_is_drawn(tmp_path, name):
    figure = measure_fields(open_model(name), drawn_pets(1))
    draw_fields(figure, tmp_path / "fields.png")
    assert Image.open(tmp_path / "fields.png").width > 1000
    draw_fields(figure, tmp_path / "fields.svg")


def test_a_figure_names_a_run_or_a_file_by_its_last_part(tmp_path):
    file = tmp_path / "runs" / "first" / "model.safetensors"
    file.parent.mkdir(parents=True)
    shutil.copy(WEIGHTS / "pets-lite.safetensors", file)
    shutil.copy(file, tmp_path / "mine.safetensors")
    for path, name in ((file, "first"), (file.parent, "first"), (tmp_path / "mine.safetensors", "mine")):
        assert open_model(str(path)).name == name
    assert open_model("pets-lite").name == "pets-lite"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pets-lit", "did you mean 'pets-lite'?"),
        ("segnet-vgg", "did you mean 'segnet-vgg16'?"),
        ("", "the model's name is empty"),
    ],
)
def test_a_model_that_is_not_there_is_refused(name, says):
    with pytest.raises(SegnetError) as refused:
        open_model(name)
    assert says in str(refused.value)


def test_what_must_be_trained_is_not_shown_of_a_name():
    with pytest.raises(SegnetError, match=r"segnet by its name alone has learnt nothing.*or pets-lite"):
        open_model("segnet", trained=True)
