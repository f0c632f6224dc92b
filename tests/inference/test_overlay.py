"""A mask laid over its photo."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segnet.core.classes import ClassTable
from segnet.core.errors import SegnetError
from segnet.inference.overlay import overlay

RED, GREEN = (201, 3, 5), (7, 202, 9)
TABLE = ClassTable(("background", "pet"), (GREEN, RED))


def square_mask() -> np.ndarray:
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:60] = 1
    return mask


PHOTO = Image.new("RGB", (80, 60), (100, 50, 200))


def test_a_region_is_tinted_and_the_background_is_left_as_it_is():
    result = np.asarray(overlay(PHOTO, square_mask(), TABLE, alpha=0.25))
    tinted = tuple(round(0.75 * p + 0.25 * c) for p, c in zip((100, 50, 200), RED, strict=True))
    assert tuple(map(int, result[30, 45])) == tinted
    assert tuple(map(int, result[5, 5])) == (100, 50, 200)


def test_a_region_is_outlined_in_its_colour_with_a_light_line_around_it():
    result = np.asarray(overlay(PHOTO, square_mask(), TABLE))
    assert tuple(map(int, result[20, 45])) == RED
    assert result[19, 45].min() > 215
    assert tuple(map(int, result[18, 45])) == (100, 50, 200)


@pytest.mark.parametrize("background", [None, "nothing of that name"])
def test_without_a_background_class_every_class_is_tinted(background):
    result = np.asarray(overlay(PHOTO, square_mask(), TABLE, alpha=1, background=background))
    assert tuple(map(int, result[5, 5])) == GREEN


def test_ignored_pixels_are_left_as_they_are():
    result = overlay(PHOTO, np.full((60, 80), 255, np.uint8), TABLE, alpha=1)
    assert result.tobytes() == PHOTO.tobytes()


def test_lines_grow_with_the_photo():
    mask = square_mask().repeat(20, 0).repeat(20, 1)
    result = np.asarray(overlay(PHOTO.resize((1600, 1200)), mask, TABLE, alpha=0))
    assert (result[:, 900] == RED).all(axis=-1).sum() == 2 * round(1200 / 220)


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(SegnetError, match="the mask is 80x59 and the image 80x60"):
        overlay(PHOTO, square_mask()[:-1], TABLE)
