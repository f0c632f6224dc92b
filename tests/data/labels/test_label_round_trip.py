"""What ``segnet predict`` writes as annotations, ``segnet data convert`` reads back as the same masks."""

import json

import numpy as np
import pytest
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.data.labels.convert import convert
from segnet.inference.annotations import AnnotationWriter
from segnet.inference.predict_files import Page
from segnet.inference.segmentation import Segmentation

from .label_files import masks

NAMES = ("pet", "background", "border")


def blobs(seed, size=(61, 83), classes=3):
    """Regions of several classes that touch, with holes, corners that meet, and single pixels."""
    random = np.random.RandomState(seed)
    coarse = random.randint(0, classes, (size[0] // 6 + 1, size[1] // 6 + 1), np.uint8)
    mask = coarse.repeat(6, 0).repeat(6, 1)[: size[0], : size[1]].copy()
    ys, xs = np.mgrid[: size[0], : size[1]]
    for _ in range(5):
        y, x, radius = random.randint(size[0]), random.randint(size[1]), random.randint(3, 20)
        mask[np.hypot(ys - y, xs - x) < radius] = random.randint(classes)
    noisy = random.random_sample(size) < 0.03
    mask[noisy] = random.randint(0, classes, noisy.sum())
    return mask


def annotated(mask, format_, folder, tolerance, names=NAMES):
    """Write a mask as segnet predict would, for an image that lies in photos/ beside."""
    image = folder / "photos/a.png"
    image.parent.mkdir(parents=True)
    Image.new("RGB", mask.shape[::-1], "green").save(image)
    logits = (mask[None] == np.arange(len(names))[:, None, None]).astype(np.float32)
    result = Segmentation(Image.open(image), ClassTable.named(names), logits)
    writer = AnnotationWriter(format_, folder / "labelled", result.classes, tolerance_px=tolerance)
    writer.keep(writer.describe(result, Page(image, "a")))
    writer.finish()
    return folder / "labelled"


@pytest.mark.parametrize("format_", ["coco", "labelme", "geojson"])
@pytest.mark.parametrize("seed", range(6))
def test_exact_outlines_give_every_pixel_and_class_id_back(format_, seed, tmp_path):
    mask = blobs(seed)
    source = annotated(mask, format_, tmp_path, 0)
    convert(source, tmp_path / "new", images=[tmp_path / "photos"], classes=NAMES)
    (found,) = masks(tmp_path / "new").values()
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("format_", ["coco", "labelme", "geojson"])
@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c"), ("background", "b")])
def test_classes_without_a_background_come_back_too(format_, names, tmp_path):
    mask = blobs(1, classes=len(names))
    source = annotated(mask, format_, tmp_path, 0, names)
    convert(source, tmp_path / "new", images=[tmp_path / "photos"], classes=names)
    (found,) = masks(tmp_path / "new").values()
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("format_", ["coco", "labelme", "geojson"])
def test_an_image_in_which_nothing_was_found_is_background(format_, tmp_path):
    source = annotated(np.ones((20, 30), np.uint8), format_, tmp_path, 0)
    done = convert(source, tmp_path / "new", images=[tmp_path / "photos"], classes=NAMES)
    assert done.tally.empty == 1
    (found,) = masks(tmp_path / "new").values()
    assert (found == 1).all()


def smooth(seed, size=(180, 240)):
    """A pet with a border around it, and a hole."""
    random = np.random.RandomState(seed)
    ys, xs = np.mgrid[: size[0], : size[1]]
    turn = np.arctan2(ys - size[0] / 2, xs - size[1] / 2)
    radius = 55 + 9 * np.sin(3 * turn + random.uniform(0, 6)) + 5 * np.sin(7 * turn + random.uniform(0, 6))
    distance = np.hypot(ys - size[0] / 2, xs - size[1] / 2)
    mask = np.where(distance < radius, 0, np.where(distance < radius + 6, 2, 1)).astype(np.uint8)
    mask[np.hypot(ys - size[0] / 2, xs - size[1] / 2) < 12] = 1
    return mask


@pytest.mark.parametrize("format_", ["coco", "labelme", "geojson"])
@pytest.mark.parametrize("seed", range(4))
def test_simplified_outlines_change_the_area_of_no_class_by_more_than_a_hundredth(format_, seed, tmp_path):
    mask = smooth(seed)
    source = annotated(mask, format_, tmp_path, 1)
    convert(source, tmp_path / "new", images=[tmp_path / "photos"], classes=NAMES)
    (found,) = masks(tmp_path / "new").values()
    before, after = (np.bincount(each.ravel(), minlength=3) for each in (mask, found))
    np.testing.assert_allclose(after, before, rtol=0.01)


@pytest.mark.parametrize("format_", ["coco", "labelme", "geojson"])
@pytest.mark.parametrize("tolerance", [0, 1])
def test_trimaps_of_real_pets_come_back(format_, tolerance, oxford_pets, tmp_path):
    trimaps = sorted((oxford_pets / "annotations/trimaps").glob("*.png"))
    for number, file in enumerate(trimaps[:: len(trimaps) // 10]):
        mask = np.asarray(Image.open(file)) - 1
        source = annotated(mask, format_, tmp_path / str(number), tolerance)
        new = tmp_path / f"new-{number}"
        convert(source, new, images=[tmp_path / f"{number}/photos"], classes=NAMES)
        (found,) = masks(new).values()
        if not tolerance:
            np.testing.assert_array_equal(found, mask)
        before, after = (np.bincount(each.ravel(), minlength=3) for each in (mask, found))
        np.testing.assert_allclose(after, before, rtol=0.01)


def test_the_order_of_the_model_is_kept_on_the_command_line(tmp_path, monkeypatch, segnet):
    mask = blobs(3)
    annotated(mask, "coco", tmp_path, 0)
    monkeypatch.chdir(tmp_path)
    ended = segnet("data", "convert", "labelled", "new", "--images", "photos", "--like", "pets-lite")
    assert ended.code == 0
    (found,) = masks(tmp_path / "new").values()
    np.testing.assert_array_equal(found, mask)
    assert "classes: pet " in ended.out
    ended = segnet(
        "data", "convert", "labelled", "other", "--images", "photos", "--classes", "border,background"
    )
    assert ended.code == 2
    assert "has labels of pet" in ended.err
    content = json.loads((tmp_path / "labelled/annotations.json").read_text())
    assert content["images"][0]["width"] == mask.shape[1]
