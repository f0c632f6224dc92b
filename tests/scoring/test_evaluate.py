"""Scores of a split, against counting pixel by pixel."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from segnet import ClassTable, Dataset, SegnetError, evaluate
from segnet.runs.identity import image_id
from segnet.runs.scores import Scores
from segnet.scoring.evaluate import score_model

from ..inference.conftest import describe, segmenter_of

CLASSES = ClassTable.named(("pet", "background", "border"))


@dataclass(frozen=True)
class Drawn:
    """A sample of noise; about one pixel in seven is ignored."""

    name: str
    seed: int
    height: int = 128
    width: int = 128

    def image_ids(self):
        return (image_id(self.fingerprint()),)

    def fingerprint(self):
        return repr(self).encode()

    def read(self):
        random = np.random.RandomState(self.seed)
        pixels = random.randint(0, 256, (self.height, self.width, 3), dtype=np.uint8)
        mask = random.choice(
            np.array([0, 1, 2, 255], np.uint8), (self.height, self.width), p=[3 / 7, 2 / 7, 1 / 7, 1 / 7]
        )
        return Image.fromarray(pixels), mask


def dataset(**splits):
    return Dataset("drawn", CLASSES, **({"train": [], "val": []} | splits))


def samples(count, **size):
    return [Drawn(f"{index:03d}", index, **size) for index in range(count)]


def test_the_confusion_matrix_counts_every_pixel_that_is_not_ignored(tiny_model):
    val = samples(35)  # more than one batch, and a last one that isn't full
    counted = np.zeros((3, 3), int)
    for sample in val:
        image, mask = sample.read()
        with torch.no_grad():
            batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
            predicted = tiny_model(batch)[0].argmax(0).numpy()
        for truth in range(3):
            for guess in range(3):
                counted[truth, guess] += int(((mask == truth) & (predicted == guess)).sum())
    scores = evaluate(segmenter_of(tiny_model), dataset(val=val))
    # Sums in another order may turn a pixel where two classes tie.
    assert np.abs(np.array(scores.confusion) - counted).sum() <= 2
    assert scores.pixel_accuracy == pytest.approx(counted.trace() / counted.sum(), abs=1e-5)
    iou = counted.diagonal() / (counted.sum(0) + counted.sum(1) - counted.diagonal())
    assert scores.mean_iou == pytest.approx(iou.mean(), abs=1e-5)
    assert counted.min() > 0


@pytest.mark.parametrize("resize", ["nearest", "area"])
def test_images_are_scored_at_the_models_size_with_its_resizing(tiny_model, resize):
    description = describe(size=(48, 64), resize=resize)
    val = samples(3, height=100, width=90)
    counted = np.zeros((3, 3), int)
    methods = {"nearest": Image.Resampling.NEAREST, "area": Image.Resampling.BOX}
    for sample in val:
        image, mask = sample.read()
        small = np.array(image.resize((64, 48), methods[resize]))
        truth = np.array(Image.fromarray(mask).resize((64, 48), Image.Resampling.NEAREST))
        predicted = segmenter_of(tiny_model, description).predict(small).mask
        scored = truth != 255
        np.add.at(counted, (truth[scored], predicted[scored]), 1)
    scores = evaluate(segmenter_of(tiny_model, description), dataset(val=val))
    assert np.abs(np.array(scores.confusion) - counted).sum() <= 2
    assert np.array(scores.confusion).sum() == counted.sum()


def test_by_default_the_test_split_is_scored_and_val_where_there_is_none(tiny_model):
    segmenter = segmenter_of(tiny_model)
    both = dataset(val=samples(2), test=samples(3)[2:])
    assert evaluate(segmenter, both).scored_on.split == "test"
    assert evaluate(segmenter, both) == evaluate(segmenter, both, split="test")
    assert evaluate(segmenter, both) != evaluate(segmenter, both, split="val")
    assert evaluate(segmenter, replace(both, test=())) == evaluate(segmenter, both, split="val")


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ("validation", "there is no split 'validation'; there is all, test, train, unseen, val"),
        ("tests", "there is no split 'tests'; did you mean 'test'"),
        ("test", r"drawn has no test split; there is val \(1\)"),
    ],
)
def test_a_split_that_is_not_there_is_named(tiny_model, split, says):
    with pytest.raises(SegnetError, match=says):
        evaluate(segmenter_of(tiny_model), dataset(val=samples(1)), split=split)


@dataclass(frozen=True)
class Renumbered:
    """A sample whose mask has other ids for the same classes."""

    sample: Drawn
    ids: tuple[int, ...]

    @property
    def name(self):
        return self.sample.name

    def image_ids(self):
        return self.sample.image_ids()

    def fingerprint(self):
        return repr(self).encode()

    def read(self):
        image, mask = self.sample.read()
        table = np.full(256, 255, np.uint8)
        table[: len(self.ids)] = self.ids
        return image, table[mask]


@pytest.mark.parametrize(
    ("names", "ids", "said"),
    [
        (("background", "border", "pet"), (2, 0, 1), "background, border, pet"),
        (("Border", "pet", "BACKGROUND"), (1, 2, 0), "Border as border, pet, BACKGROUND as background"),
    ],
)
def test_classes_in_another_order_are_matched_by_name_and_give_the_same_scores(tiny_model, names, ids, said):
    segmenter, val = segmenter_of(tiny_model), samples(3)
    expected = evaluate(segmenter, dataset(val=val))
    other = Dataset("leaves", ClassTable.named(names), [], [Renumbered(sample, ids) for sample in val])
    found = evaluate(segmenter, other)
    assert found.confusion == expected.confusion
    assert found.per_class == expected.per_class
    assert [*found.per_class] == [*CLASSES.names]
    assert found.boundary_f1 == expected.boundary_f1
    note = f"classes of leaves are matched by name, in its order: {said}"
    assert found.scored_on.note == found.to_dict()["scored_on"]["note"] == note
    assert expected.scored_on.note == ""
    assert Scores.from_dict(found.to_dict()) == found


def test_a_class_that_the_data_lacks_is_absent_in_the_truth_and_said_to_be(tiny_model):
    two = [Renumbered(sample, (0, 1, 255)) for sample in samples(3)]
    found = evaluate(
        segmenter_of(tiny_model), Dataset("cats", ClassTable.named(("pet", "background")), [], two)
    )
    assert sum(found.confusion[2]) == 0
    assert found.per_class["border"].share == 0
    assert found.scored_on.note.endswith(
        "it has no border: pixels that are given such a class count as wrong"
    )


def test_a_class_that_the_model_does_not_know_is_named_with_the_way_out(tiny_model):
    other = Dataset("cats", ClassTable.named(("pet", "background", "whiskers", "sofa")), [], samples(1))
    with pytest.raises(
        SegnetError,
        match="the model knows pet, background, border, but cats has whiskers, sofa; "
        r"give classes the model's names in its dataset\.yaml",
    ):
        evaluate(segmenter_of(tiny_model), other)


def test_outlines_of_padded_pictures_are_scored_by_the_pictures_own_diagonal(tiny_model):
    description = describe(size=(48, 64), keep_aspect=True)
    val = samples(2, height=100, width=90) + samples(2, height=30, width=120)
    scores = evaluate(segmenter_of(tiny_model, description), dataset(val=val))
    sizes = [(48, 43), (16, 64)]  # 100x90 and 30x120, as they fit
    low, high = sorted(0.0075 * np.hypot(*size) for size in sizes)
    assert scores.boundary_tolerance_px == (pytest.approx(low), pytest.approx(high))
    assert scores.per_class["pet"].boundary_tolerance_px == pytest.approx((low + high) / 2)
    whole = evaluate(segmenter_of(tiny_model, describe(size=(48, 64))), dataset(val=val))
    assert whole.boundary_tolerance_px == (0.6, 0.6)


def test_all_of_an_evaluation_is_there_in_python(tiny_model, tmp_path):
    """What ``segnet eval`` prints and draws: mirrored predictions, each image, groups and mistakes."""
    val, begun = samples(4), []
    (tmp_path / "groups.csv").write_text("image,side\n000,left\n001,left\n002,right\n003,right\n")
    found = score_model(
        segmenter_of(tiny_model),
        dataset(val=val),
        flip=True,
        group_by="side",
        group_table=tmp_path / "groups.csv",
        begin=begun.append,
    )
    counted = np.zeros((3, 3), int)
    for sample in val:
        image, mask = sample.read()
        batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            both = tiny_model(batch).softmax(1) + tiny_model(batch.flip(-1)).softmax(1).flip(-1)
        seen = mask != 255
        np.add.at(counted, (mask[seen], both[0].argmax(0).numpy()[seen]), 1)
    assert np.abs(np.array(found.scores.confusion) - counted).sum() <= 2
    assert begun == [found.scores.scored_on]
    assert [image.image for image in found.images] == [sample.name for sample in val]
    assert [(group.group, group.images) for group in found.groups] == [("left", 2), ("right", 2)]
    (picture,) = found.draw([2])
    assert picture.width > 3 * picture.height
