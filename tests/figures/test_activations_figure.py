"""What batch norm and ReLU do: the numbers of the table are those of the maps."""

import pytest
from PIL import Image

from segnet.figures.activations_figure import draw_activations, step_by_step, steps_table
from segnet.figures.subjects import drawn_pets, open_model


@pytest.fixture(scope="module")
def pets_lite():
    return open_model("pets-lite", trained=True)


def test_the_table_has_the_ranges_and_shares_of_each_step(pets_lite):
    figure = step_by_step(pets_lite, drawn_pets(2))
    assert (figure.unit, figure.images) == ("encoder.0.units.0", 2)
    rows = [*zip(*(column.cells for column in steps_table(figure).columns), strict=True)]
    assert [row[0] for row in rows] == ["after the convolution", "after batch norm", "after ReLU"]
    for row, step in zip(rows, figure.steps, strict=True):
        by_channel = [step.values[:, channel] for channel in range(32)]
        means = [float(each.mean()) for each in by_channel]
        assert row[1] == f"{min(means):.2f} to {max(means):.2f}"
        standard_deviations = [float(each.std()) for each in by_channel]
        assert row[2] == f"{min(standard_deviations):.2f} to {max(standard_deviations):.2f}"
    assert rows[1][3] == rows[2][3], "ReLU leaves what is above 0"


def test_a_unit_that_adds_its_input_is_not_called_relu(pets_lite):
    figure = step_by_step(pets_lite, drawn_pets(1), "encoder.2.units.1")
    assert figure.steps[-1].title == "what the unit gives"


def test_the_figure_is_drawn(tmp_path, pets_lite):
    for unit in (None, "bottleneck.5"):
        draw_activations(step_by_step(pets_lite, drawn_pets(1), unit), tmp_path / "steps.png")
        assert Image.open(tmp_path / "steps.png").width > 1000
