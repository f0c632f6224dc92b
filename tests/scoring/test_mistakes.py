"""Pictures of mistakes: four tiles in a row, and wrong pixels by how sure the model was."""

import numpy as np
import pytest
import torch

from segnet import ClassTable
from segnet.data.store.split import Split
from segnet.scoring.mistakes import SURE, UNSURE, draw_mistakes

CLASSES = ClassTable.named(("a", "b"))
CPU = torch.device("cpu")


def split_of(count, height=96, width=192):
    images = np.full((count, height, width, 3), 100, np.uint8)
    masks = np.zeros((count, height, width), np.uint8)
    for index in range(count):
        images[index, ..., 0] = index
        masks[index, :, 1::2] = 1
    masks[:, :, 0] = 255
    return Split(images, masks, tuple(map(str, range(count))))


def all_of_class_a(images):
    """Says a everywhere: sure of it in the upper half, undecided in the lower."""
    logits = torch.zeros(len(images), 2, *images.shape[2:])
    logits[:, 0, : images.shape[2] // 2] = 50
    logits[:, 0, images.shape[2] // 2 :] = 1e-4
    return logits


def test_tiles_are_image_truth_prediction_and_differences():
    (picture,) = draw_mistakes(all_of_class_a, split_of(1), CLASSES, CPU, [0])
    pixels = np.array(picture)
    assert pixels.shape == (96, 4 * 192 + 3 * 4, 3)
    truth, found, differences = (pixels[:, start : start + 192] for start in (196, 392, 588))
    assert (truth[:, 0] == 255).all(), "ignored pixels are white"
    assert (truth[5, 1] == CLASSES.colours[1]).all()
    assert (found == CLASSES.colours[0]).all()
    assert tuple(differences[5, 1]) == SURE
    halfway = (np.array(UNSURE) + SURE) / 2
    assert differences[90, 1] == pytest.approx(halfway, abs=1)
    assert len({tuple(differences[5, 0]), tuple(differences[90, 2])}) == 1, (
        "right and ignored pixels are grey"
    )
    assert np.ptp(differences[5, 0]) == 0


def test_the_chosen_images_come_in_their_order_over_batches():
    chosen = [39, 0, 7, *range(10, 45)]
    pictures = list(draw_mistakes(all_of_class_a, split_of(45, 16, 16), CLASSES, CPU, chosen))
    assert [np.array(each)[96, 96, 0] for each in pictures] == chosen
    assert all(each.size == (4 * 192 + 3 * 4, 192) for each in pictures)
    assert not list(draw_mistakes(all_of_class_a, split_of(1), CLASSES, CPU, []))
