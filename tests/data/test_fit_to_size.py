"""How images are brought to their size: squeezed as the article does, or with their proportions kept."""

import numpy as np
import pytest
from PIL import Image

from segnet.base.classes import IGNORE_INDEX
from segnet.data.store.fit_to_size import Fit, window

RANDOM = np.random.RandomState(0)
PICTURE = Image.fromarray(RANDOM.randint(0, 256, (60, 90, 3)).astype(np.uint8))
MASK = RANDOM.randint(0, 3, (60, 90)).astype(np.uint8)


def test_without_more_ado_an_image_is_squeezed():
    fit = Fit((32, 32), "area")
    assert np.array_equal(fit.image(PICTURE), PICTURE.resize((32, 32), Image.Resampling.BOX))
    small = Image.fromarray(MASK).resize((32, 32), Image.Resampling.NEAREST)
    assert np.array_equal(fit.mask(MASK, beyond=IGNORE_INDEX), small)


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        ((60, 90), (32, 48)),
        ((90, 60), (32, 21)),
        ((32, 48), (32, 48)),
        ((5, 1000), (1, 48)),
        ((1, 1), (32, 32)),
    ],
)
def test_kept_proportions_fit_in_with_one_side_as_long_as_can_be(size, inner):
    fit = Fit((32, 48), "area", keep_aspect=True)
    assert fit.inner_size(size) == inner
    picture = Image.new("RGB", size[::-1], (1, 2, 3))
    assert fit.image(picture).shape == (32, 48, 3)
    mask = fit.mask(np.zeros(size, np.uint8), beyond=IGNORE_INDEX)
    assert (mask == 0).sum() == inner[0] * inner[1]
    assert (mask[: inner[0], : inner[1]] == 0).all()


def test_beyond_the_edge_the_image_is_mirrored():
    fit = Fit((32, 32), "area", keep_aspect=True)
    inner = np.asarray(PICTURE.resize((32, 21), Image.Resampling.BOX))
    assert np.array_equal(fit.image(PICTURE)[:21], inner)
    assert np.array_equal(fit.image(PICTURE)[21:], inner[::-1][:11])


def test_a_window_far_larger_than_the_image_is_mirrored_again_and_again():
    pixels = np.arange(3, dtype=np.uint8)[:, None] + np.zeros((3, 1), np.uint8)
    assert window(pixels, 0, 0, (8, 1))[:, 0].tolist() == [0, 1, 2, 2, 1, 0, 0, 1]
