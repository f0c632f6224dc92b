"""Which classes a converted folder has, and what pixels are that no shape covers."""

import json

import numpy as np
import pytest

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from .json_labels import OUTLINE, SQUARE, flat
from .label_files import H, W, box, masks, photo

LEAF, STEM = box(5, 5, 30, 20), box(40, 30, 50, 38)


def labelled(root, *shapes, names=("leaf", "stem")):
    """COCO's labels of one photo: pairs of a class and an outline."""
    photo(root / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": W, "height": H}],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": names.index(name), "segmentation": [flat(outline)]}
            for number, (name, outline) in enumerate(shapes)
        ],
    }
    (root / "labels.json").write_text(json.dumps(content))
    return root / "labels.json"


@pytest.mark.parametrize(
    ("classes", "around"),
    [
        (("stem", "leaf"), 255),
        (("leaf", "stem"), 255),
        (("leaf", "twig", "stem"), 255),
        (("leaf", "background", "stem"), 1),
        (("stem", "leaf", "_background_"), 2),
    ],
)
def test_pixels_that_no_shape_covers_are_never_a_class_that_shapes_have(classes, around, tmp_path):
    source = labelled(tmp_path / "labels", ("leaf", OUTLINE), ("stem", SQUARE))
    done = convert(source, tmp_path / "new", classes=classes)
    expected = np.full((H, W), around, np.uint8)
    expected[LEAF], expected[STEM] = classes.index("leaf"), classes.index("stem")
    np.testing.assert_array_equal(masks(tmp_path / "new")["masks/a.png"], expected)
    assert done.ignored == (expected == 255).sum()
    assert done.around == ("" if around == 255 else classes[around])


def test_what_becomes_of_pixels_that_no_shape_covers_is_said(tmp_path, monkeypatch, segnet):
    monkeypatch.chdir(tmp_path)
    labelled(tmp_path / "labels", ("leaf", OUTLINE))
    ended = segnet("data", "convert", "labels", "two", "--classes", "ground,leaf")
    assert (
        "pixels that no shape covers are of the class ground; where that is wrong, name a class" in ended.out
    )
    ended = segnet("data", "convert", "labels", "three", "--classes", "ground,leaf,stem")
    ignored = H * W - LEAF.sum()
    assert f"{ignored:,} pixels ({ignored / (H * W):.1%}) belong to no class and are ignored" in ended.out
    ended = segnet("data", "convert", "labels", "plain")
    assert "pixels" not in ended.out


def test_of_more_classes_than_a_mask_holds_those_that_are_wanted_can_be_named(tmp_path):
    names = ("leaf", *(f"kind {number}" for number in range(260)))
    source = labelled(tmp_path / "labels", ("leaf", OUTLINE), names=names)
    with pytest.raises(SegnetError, match=r"declares 262 classes .* a mask holds 255; .* --classes a,b,c"):
        convert(source, tmp_path / "new")
    convert(source, tmp_path / "new", classes=("background", "leaf"))
    np.testing.assert_array_equal(masks(tmp_path / "new")["masks/a.png"], LEAF)
