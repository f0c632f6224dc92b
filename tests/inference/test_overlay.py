"""A mask laid over its photo."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.inference import overlay as module
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


@pytest.mark.parametrize("thickness_px", [1, 2, 6])
def test_what_is_too_thin_for_an_outline_is_tinted_and_nothing_beside_it_is_hidden(thickness_px):
    photo = Image.new("RGB", (700, 660), (90, 60, 30))  # whose outlines are 3 px on each side
    mask = np.zeros((660, 700), np.uint8)
    mask[300 : 300 + thickness_px, 50:650] = 1
    result = np.asarray(overlay(photo, mask, TABLE))
    tinted = tuple(round((p + c) / 2) for p, c in zip((90, 60, 30), RED, strict=True))
    assert (result[mask == 1] == tinted).all()
    assert (result[mask == 0] == (90, 60, 30)).all()


# --- in strips, as if the photo were painted at once ---


def painted_at_once(image, mask, classes, alpha, background, line_px):
    """The overlay written out for the whole photo, its outline as the cross grown again and again."""
    photo = np.asarray(image, np.float32)
    coloured = mask < len(classes)
    if background in classes.names:
        coloured &= mask != classes.names.index(background)
    colours = classes.paint(mask).astype(np.float32)
    result = np.where(coloured[..., None], photo * (1 - alpha) + colours * alpha, photo)

    outline = np.zeros(mask.shape, bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    outline[:, 1:] |= across
    outline[:, :-1] |= across
    outline[1:] |= down
    outline[:-1] |= down
    for _ in range(line_px - 1):
        grown = outline.copy()
        grown[1:] |= outline[:-1]
        grown[:-1] |= outline[1:]
        grown[:, 1:] |= outline[:, :-1]
        grown[:, :-1] |= outline[:, 1:]
        outline = grown
    thick, inside = np.zeros(mask.shape, bool), np.argwhere(coloured & ~outline)
    reach = 2 * line_px
    for row, column in inside:
        thick[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = True
    thin = outline & coloured & ~thick
    tint = max(alpha, 0.5)
    result[thin] = photo[thin] * (1 - tint) + colours[thin] * tint
    own = outline & coloured & thick
    result[own] = colours[own]
    white = outline & ~coloured & thick
    result[white] = 0.15 * result[white] + 0.85 * 255
    return result.round().clip(0, 255).astype(np.uint8)


def noise(width: int, height: int, seed: int) -> tuple[Image.Image, np.ndarray]:
    """A photo of noise and a mask of rectangles, ids without a class among them."""
    rng = np.random.default_rng(seed)
    mask = np.full((height, width), 255 * rng.integers(2), np.uint8)
    for _ in range(rng.integers(6)):
        left, top = rng.integers(width), rng.integers(height)
        mask[top : top + rng.integers(1, height + 1), left : left + rng.integers(1, width + 1)] = rng.choice(
            [0, 1, 2, 3, 255]
        )
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)), mask


THREE = ClassTable(("background", "pet", "lead"), (GREEN, RED, (0, 0, 255)))


@settings(deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    line_px=st.integers(1, 20),
    strip_pixels=st.integers(1, 3000),
    alpha=st.sampled_from([0, 0.1, 0.5, 1]),
    background=st.sampled_from([None, "background", "pet"]),
    seed=st.integers(0, 1000),
)
def test_painting_in_strips_gives_the_pixels_of_painting_at_once(
    width, height, line_px, strip_pixels, alpha, background, seed
):
    photo, mask = noise(width, height, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STRIP_PIXELS", strip_pixels)
        patch.setattr(module, "_LINES_ACROSS", min(width, height) / line_px)
        result = overlay(photo, mask, THREE, alpha=alpha, background=background)
    expected = painted_at_once(photo, mask, THREE, alpha, background, line_px)
    np.testing.assert_array_equal(np.asarray(result), expected)


def test_a_photo_of_several_strips_has_no_seam():
    photo, mask = noise(1701, 1323, seed=17)
    assert np.unique(mask).tolist() == [0, 1, 2, 3, 255]
    result = overlay(photo, mask, THREE)
    np.testing.assert_array_equal(
        np.asarray(result), painted_at_once(photo, mask, THREE, 0.5, "background", line_px=6)
    )


@pytest.mark.parametrize("size", [(2000, 1500), (4000, 1500), (3000, 4000)])
def test_a_large_photo_is_painted_in_little_memory(size):
    photo, mask = noise(*size, seed=17)
    tracemalloc.start()
    try:
        overlay(photo, mask, THREE)
        peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak_mib < 30, "of numpy arrays; the smallest of these photos alone would have 34 MiB as floats"
