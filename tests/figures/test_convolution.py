"""The article's Figure 2: what it shows is what a convolution is, by SciPy and by sums written out."""

import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate2d

from segnet.base.errors import SegnetError
from segnet.figures.convolution import (
    KERNELS,
    Convolved,
    convolution_example,
    describe_convolution,
    draw_convolution,
    parse_kernel,
)

NOISE = Image.fromarray(np.random.RandomState(0).randint(0, 256, (21, 30), np.uint8))


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (1, 0), (2, 1), (3, 2)])
def test_a_map_is_what_scipy_computes(name, stride, padding):
    kernel = KERNELS[name]
    (result,) = convolution_example("noise", NOISE, [kernel], stride=stride, padding=padding).results
    padded = np.pad(np.asarray(NOISE, float), padding)
    expected = correlate2d(padded, np.array(kernel.weights) / kernel.divisor, "valid")[::stride, ::stride]
    assert result.values == pytest.approx(expected)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 0), (3, 2)])
def test_the_window_that_is_worked_out_becomes_its_pixel_of_each_map(stride, padding):
    example = convolution_example("noise", NOISE, [*KERNELS.values()], stride=stride, padding=padding)
    row, column = example.corner
    pixels = np.asarray(NOISE)[row : row + 3, column : column + 3]
    assert np.array_equal(example.window, pixels), "inside the picture, where its square is drawn"
    for result in example.results:
        by_hand = sum(int(pixels[y, x]) * result.kernel.weights[y][x] for y in range(3) for x in range(3))
        assert result.total == pytest.approx(by_hand / result.kernel.divisor)
        assert result.values[example.place] == pytest.approx(result.total)


def test_results_of_the_window_can_be_shown_where_there_is_such_a_window():
    soft = Image.fromarray(np.tile(np.arange(60, 180, 2, dtype=np.uint8), (40, 1)))
    for result in convolution_example("ramp", soft, [*KERNELS.values()]).results:
        assert 0 <= abs(result.total) <= 255


def test_an_even_picture_keeps_its_brightness_and_has_no_edges():
    grey = Image.new("L", (8, 8), 100)
    values = {
        each.kernel.name: each.values
        for each in convolution_example("g", grey, [*KERNELS.values()], padding=0).results
    }
    assert {name: set(np.round(map_, 9).ravel()) for name, map_ in values.items()} == {
        "edge": {0.0}, "blur": {100.0}, "sharpen": {100.0}, "emboss": {100.0},
    }  # fmt: skip


def test_what_is_shown_is_cut_off_and_an_edge_has_no_sign():
    values = np.array([[-300.0, -40.0, 0.0, 99.6, 300.0]])
    assert Convolved(KERNELS["blur"], values, values).shown().tolist() == [[0, 0, 0, 100, 255]]
    assert Convolved(KERNELS["edge"], values, values).shown().tolist() == [[255, 40, 0, 100, 255]]


def test_the_text_has_the_sizes_and_the_sums():
    example = convolution_example("noise", NOISE, [*KERNELS.values()], stride=2, padding=0)
    text = describe_convolution(example)
    assert "(21 + 2·0 - 3) / 2 + 1 = 10 rows, (30 + 2·0 - 3) / 2 + 1 = 14 columns" in text
    blur = next(each for each in example.results if each.kernel.name == "blur")
    assert f"sum / 9 = {blur.total:.2f}" in text or f"sum / 9 = {blur.total:.0f}" in text


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_without_a_padding_maps_keep_the_pictures_size(side):
    kernel = parse_kernel(",".join(["1"] * side**2))
    assert convolution_example("noise", NOISE, [kernel]).results[0].values.shape == (21, 30)


def test_a_kernel_of_ones_own_is_read_row_by_row():
    assert parse_kernel("1,0,-1,2,0,-2,1,0,-1").weights == ((1, 0, -1), (2, 0, -2), (1, 0, -1))
    assert len(parse_kernel(",".join(["0.04"] * 25)).weights) == 5
    assert parse_kernel("-1").weights == ((-1,),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blurr", "did you mean 'blur'?"),
        ("1,2,3", "takes 1, 9, 25 or 49 numbers"),
        ("1,2,x", "not all of these are numbers"),
        (",".join(["nan"] * 9), "numbers between"),
        ("1e9", "there is no kernel"),
        ("", "there is no kernel ''"),
    ],
)
def test_what_is_no_kernel_is_refused(text, says):
    with pytest.raises(SegnetError, match="kernel") as refused:
        parse_kernel(text)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "kernels", [[*KERNELS.values()], [KERNELS["edge"]], [parse_kernel(",".join("1" * 49))]]
)
@pytest.mark.parametrize("suffix", [".png", pytest.param(".svg", marks=pytest.mark.campaign)])
def test_the_figure_is_drawn(tmp_path, kernels, suffix):
    example = convolution_example("noise", NOISE, kernels)
    for name in ("one", "two"):
        draw_convolution(example, (tmp_path / name).with_suffix(suffix))
    one, two = ((tmp_path / name).with_suffix(suffix).read_bytes() for name in ("one", "two"))
    assert one == two
    if suffix == ".png":
        assert Image.open(tmp_path / "one.png").width > 900
