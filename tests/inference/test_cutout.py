"""Cut-outs: the image's colours, and an alpha that is a formula of the background's probability."""

import numpy as np
import pytest
from PIL import Image

import segnet
from segnet import SegnetError
from segnet.base.classes import ClassTable
from segnet.inference.segmentation import Segmentation
from segnet.inference.write_results import write_segmentation


def found_with(background, names=("cat", "background"), missing=None):
    """A result whose background has these probabilities ``(H, W)``."""
    background = np.asarray(background, np.float32)
    logits = np.log(np.stack([1 - background, background]))
    image = Image.fromarray(np.full((*background.shape, 3), (10, 20, 30), np.uint8))
    classes = ClassTable(names, ((255, 0, 0), (0, 0, 0)), 255)
    return Segmentation(image, classes, logits, missing=missing)


@pytest.mark.parametrize(
    ("background", "alpha"),
    [(0.99, 0), (0.9, 0), (0.7, 64), (0.5, 128), (0.3, 191), (0.1, 255), (0.01, 255)],
)
def test_alpha_is_the_foregrounds_probability_stretched(background, alpha):
    cutout = found_with(np.full((4, 5), background)).cutout()
    assert (cutout.mode, cutout.size) == ("RGBA", (5, 4))
    values = np.asarray(cutout)
    assert (values[..., :3] == (10, 20, 30)).all()
    assert np.abs(values[..., 3].astype(int) - alpha).max() <= 1


def test_half_of_the_alpha_lies_where_the_mask_changes():
    found = found_with(np.linspace(0.01, 0.99, 99)[None].repeat(3, 0))
    is_cat = np.asarray(found.cutout())[..., 3] > 127.5
    assert (is_cat == (found.mask == 0)).mean() > 0.98


def test_without_data_nothing_shows():
    missing = np.zeros((4, 4), bool)
    missing[0] = True
    alpha = np.asarray(found_with(np.full((4, 4), 0.01), missing=missing).cutout())[..., 3]
    assert (alpha == np.where(missing, 0, 255)).all()


def test_a_photo_keeps_its_size_and_its_colours(tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (61, 83, 3), np.uint8))
    found = segnet.load("pets-nano").predict(photo)
    written = write_segmentation(found, tmp_path, "photo", cutout=True)
    assert written["cutout"].name == "photo.cutout.png"
    cutout = np.asarray(Image.open(written["cutout"]))
    np.testing.assert_array_equal(cutout[..., :3], np.asarray(photo))
    kept = (1 - found.probabilities[1] - 0.1) / 0.8
    np.testing.assert_allclose(cutout[..., 3], 255 * kept.clip(0, 1), atol=0.6)


def test_three_classes_without_a_background_say_so():
    found = found_with(np.full((4, 4), 0.5))
    classes = ClassTable(("a", "b", "c"), ((1, 0, 0), (2, 0, 0), (3, 0, 0)), 255)
    logits = np.zeros((3, 4, 4), np.float32)
    with pytest.raises(SegnetError, match="no class of the model is called background"):
        Segmentation(found.image, classes, logits).cutout()
