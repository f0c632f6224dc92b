"""The picture of an epoch: tiles, labels, legend."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.report.panel import BACKGROUND, preview_panel

GREY, RED, GREEN = (120, 120, 121), (201, 3, 5), (7, 202, 9)
CLASSES = ClassTable(("pet", "background"), (RED, GREEN))


def panel(count: int, height: int, width: int, **changes) -> Image.Image:
    """Grey images whose truth is all red and whose prediction is all green."""
    arguments = {
        "images": np.full((count, height, width, 3), GREY, np.uint8),
        "truth": np.zeros((count, height, width), np.uint8),
        "predicted": np.ones((count, height, width), np.uint8),
        "classes": CLASSES,
        "title": "Epoch 3 of 20",
        "scores": "pixel accuracy 0.861 · mean IoU 0.652",
    }
    return preview_panel(**(arguments | changes))


def runs(line: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
    return list(zip(edges[::2], edges[1::2], strict=True))


def tiles(picture: Image.Image, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """Filled rectangles of a colour as (left, top, right, bottom), without the legend's 15 px swatch."""
    found = (np.asarray(picture) == colour).all(axis=-1)
    return [
        (left, top, right, bottom)
        for top, bottom in runs(found.any(axis=1))
        for left, right in runs(found[top:bottom].any(axis=0))
        if found[top:bottom, left:right].all() and (bottom - top, right - left) != (15, 15)
    ]


SIZES = [(1, 16, 16), (1, 128, 128), (2, 131, 77), (3, 64, 200), (7, 45, 33), (11, 128, 128), (20, 97, 131)]
SIZES += [(21, 128, 128), (21, 17, 300), (21, 500, 20), (21, 512, 512)]


@pytest.mark.parametrize(("count", "height", "width"), SIZES)
def test_every_image_has_three_tiles_of_one_size_below_each_other(count, height, width):
    picture = panel(count, height, width)
    inputs, truths, predictions = (tiles(picture, colour) for colour in (GREY, RED, GREEN))
    assert len(inputs) == len(truths) == len(predictions) == count
    assert (
        len({(right - left, bottom - top) for left, top, right, bottom in inputs + truths + predictions}) == 1
    )
    for above, middle, below in zip(inputs, truths, predictions, strict=True):
        assert above[0] == middle[0] == below[0]
        assert above[3] < middle[1]
        assert middle[3] < below[1]


@pytest.mark.parametrize(("count", "height", "width"), SIZES)
def test_tiles_keep_the_aspect_of_the_image(count, height, width):
    left, top, right, bottom = tiles(panel(count, height, width), RED)[0]
    assert abs((right - left) - (bottom - top) * width / height) <= max(1, width / height)


def test_twenty_one_square_images_make_a_landscape_picture():
    picture = panel(21, 128, 128)
    assert 1.4 < picture.width / picture.height < 1.8


@pytest.mark.parametrize("count", range(1, 22))
def test_any_number_of_images_stays_legible_and_within_a_screen(count):
    picture = panel(count, 128, 128)
    left, _, right, _ = tiles(picture, RED)[0]
    assert right - left >= 120
    assert picture.width <= 1800
    assert picture.height <= 1100


def test_a_truth_tile_shows_each_mask_pixel_as_a_square_of_exactly_its_class_colour():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (1, 32, 48), np.uint8)
    truth[0, 0, 0] = truth[0, -1, -1] = 255
    flat = tiles(panel(1, 32, 48), RED)[0]
    shown = np.asarray(panel(1, 32, 48, truth=truth).crop(flat))
    scale = shown.shape[0] // 32
    assert scale > 1
    np.testing.assert_array_equal(shown, CLASSES.paint(truth[0]).repeat(scale, 0).repeat(scale, 1))


def test_a_shrunk_truth_tile_has_no_colour_between_the_classes():
    truth = np.random.default_rng(0).integers(0, 2, (21, 300, 300), np.uint8)
    flat = tiles(panel(21, 300, 300), RED)[5]
    shown = np.asarray(panel(21, 300, 300, truth=truth).crop(flat)).reshape(-1, 3)
    assert {tuple(map(int, colour)) for colour in np.unique(shown, axis=0)} == {RED, GREEN}


def test_white_stands_for_ignored_pixels_and_appears_only_where_there_are_some():
    truth = np.zeros((2, 20, 20), np.uint8)
    white = (255, 255, 255)
    assert not (np.asarray(panel(2, 20, 20, truth=truth)) == white).all(axis=-1).any()
    truth[1, :10] = 255
    found = (np.asarray(panel(2, 20, 20, truth=truth)) == white).all(axis=-1)
    assert runs(found.any(axis=1))[-1][1] - runs(found.any(axis=1))[-1][0] == 15, "the swatch of the legend"


def test_the_size_does_not_depend_on_title_scores_or_prediction():
    one = panel(2, 33, 31, title="Epoch 1", scores="", predicted=np.zeros((2, 33, 31), np.uint8))
    assert one.size == panel(2, 33, 31, title="Epoch 1000 of 2000 " * 9, scores="mean IoU 0.5 · " * 40).size


def test_a_long_title_stays_inside_the_margin():
    pixels = np.asarray(panel(1, 20, 20, title="a very long title " * 20, scores="mean IoU 0.5 · " * 40))
    assert (pixels[:, -20:] == BACKGROUND).all()


@pytest.mark.parametrize(
    "names",
    [
        ("a name that is far too long to fit into any legend " * 5, "b"),
        ("line\nbreak", "tab\tbed\x00\x07"),
        ("chien élancé", "猫"),
        tuple(f"a class of some length, number {i}" for i in range(24)),
        tuple(f"class {i}" for i in range(255)),
    ],
    ids=["long", "control characters", "not in the font", "many", "very many"],
)
def test_any_class_names_fit_into_the_legend(names):
    pixels = np.asarray(panel(2, 20, 20, classes=ClassTable.named(names)))
    assert (pixels[:, -20:] == BACKGROUND).all()
    assert (pixels[-20:] == BACKGROUND).all()
    assert len(pixels) < 1400


@pytest.mark.parametrize(("name", "without"), [("élan", "elan"), ("łódź", "lodz"), ("сова", "????")])
def test_letters_with_accents_and_of_other_scripts_are_drawn(name, without):
    drawn, plain = (np.asarray(panel(1, 20, 20, classes=ClassTable.named([n, "b"]))) for n in (name, without))
    assert not np.array_equal(drawn, plain)


def test_the_same_input_gives_the_same_bytes():
    first, second = io.BytesIO(), io.BytesIO()
    panel(5, 40, 50).save(first, "png")
    panel(5, 40, 50).save(second, "png")
    assert first.getvalue() == second.getvalue()
