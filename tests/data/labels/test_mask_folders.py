"""Cityscapes, Roboflow's masks, and one mask file an object: which pixels get which class."""

import itertools

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from .label_files import H, W, box, counted, masks, photo


def save(file, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(file)
    return file


# Cityscapes: https://github.com/mcordts/cityscapesScripts, helpers/labels.py: name, id, train id
TRAIN_IDS = {
    0: 255, 1: 255, 2: 255, 3: 255, 4: 255, 5: 255, 6: 255, 7: 0, 8: 1, 9: 255, 10: 255, 11: 2, 12: 3, 13: 4,
    14: 255, 15: 255, 16: 255, 17: 5, 18: 255, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13,
    27: 14, 28: 15, 29: 255, 30: 255, 31: 16, 32: 17, 33: 18, 255: 255,
}  # fmt: skip


def frame(root, split, name, values=None, kind="gtFine", coding="labelIds", suffix=".png"):
    if values is not None:
        save(root / kind / split / f"{name}_{kind}_{coding}.png", values)
    photo(root / "leftImg8bit" / split / f"{name}_leftImg8bit{suffix}")


EVERY_ID = np.resize(np.array([*TRAIN_IDS], np.uint8), (H, W))
EXPECTED_IDS = np.vectorize(TRAIN_IDS.get)(EVERY_ID).astype(np.uint8)


def test_every_label_id_of_cityscapes_is_its_train_id(tmp_path):
    frame(tmp_path / "city", "train", "ulm/ulm_0", EVERY_ID)
    frame(tmp_path / "city", "val", "bonn/bonn_0", EXPECTED_IDS, coding="labelTrainIds", suffix=".jpg")
    done = convert(tmp_path / "city", tmp_path / "new")
    found = masks(tmp_path / "new")
    assert [*found] == ["train/masks/ulm/ulm_0.png", "val/masks/bonn/bonn_0.png"]
    for mask in found.values():
        np.testing.assert_array_equal(mask, EXPECTED_IDS)
    assert len(done.pixels) == 19


def test_coarse_masks_count_where_there_are_no_fine_ones(tmp_path):
    root = tmp_path / "city"
    frame(root, "train", "ulm/ulm_0", EVERY_ID)
    frame(root, "train", "ulm/ulm_0", np.full((H, W), 7, np.uint8), "gtCoarse")
    frame(root, "train_extra", "bern/bern_0", np.full((H, W), 8, np.uint8), "gtCoarse")
    assert convert(root, tmp_path / "new").images == {"train": 2}
    found = masks(tmp_path / "new")
    np.testing.assert_array_equal(found["train/masks/ulm/ulm_0.png"], EXPECTED_IDS)
    assert (found["train/masks/bern/bern_0.png"] == 1).all()


def test_what_cityscapes_has_no_labels_of_is_counted(tmp_path):
    root = tmp_path / "city"
    frame(root, "train", "ulm/ulm_0", EVERY_ID)
    frame(root, "train", "ulm/ulm_1")
    frame(root, "test", "rome/rome_0", EVERY_ID)
    frame(root, "test", "rome/rome_1")
    done = convert(root, tmp_path / "new")
    assert counted(done)[2] == {"split test, without labels": 2, "not annotated": 1}
    (root / "leftImg8bit/train/ulm/ulm_0_leftImg8bit.png").unlink()
    with pytest.raises(
        SegnetError, match=r"ulm_0_gtFine_labelIds.png has no image leftImg8bit/train/ulm/ulm_0_"
    ):
        convert(root, tmp_path / "again")


def test_a_value_that_is_no_label_of_cityscapes_is_named(tmp_path):
    frame(tmp_path / "city", "train", "ulm/ulm_0", np.full((H, W), 40, np.uint8))
    with pytest.raises(
        SegnetError, match=r"holds the value 40 \(2,400 pixels\), which Cityscapes doesn't name"
    ):
        convert(tmp_path / "city", tmp_path / "new")


# Roboflow's semantic segmentation masks


def exported(
    root, splits=("train", "valid"), table="Pixel Value, Class\r\n0, background\r\n1, leaf\r\n2, stem\r\n"
):
    values = np.zeros((H, W), np.uint8)
    values[box(5, 5, 25, 20)], values[box(30, 10, 48, 30)] = 1, 2
    for split in splits:
        photo(root / split / f"{split}_jpg.rf.1a2b.jpg")
        save(root / split / f"{split}_jpg.rf.1a2b_mask.png", values)
        (root / split / "_classes.csv").write_text(table)
    return values


def test_roboflows_masks_are_read_by_their_table(tmp_path):
    values = exported(tmp_path / "rf")
    photo(tmp_path / "rf/train/unmasked.jpg")
    done = convert(tmp_path / "rf", tmp_path / "new")
    assert done.images == {"train": 1, "val": 1}
    assert [*done.pixels] == ["background", "leaf", "stem"]
    for mask in masks(tmp_path / "new").values():
        np.testing.assert_array_equal(mask, values)
    assert counted(done)[2] == {"not annotated": 1}


def test_a_value_stands_for_the_class_of_its_line(tmp_path):
    values = exported(
        tmp_path / "rf", ("train",), '\ufeffPixel Value, Class\n2, leaf\n1, "stem, dry"\n0, background'
    )
    done = convert(tmp_path / "rf", tmp_path / "new")
    (mask,) = masks(tmp_path / "new").values()
    assert [*done.pixels] == ["background", "stem, dry", "leaf"]
    np.testing.assert_array_equal(mask, values)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("Pixel Value, Class\n0, background\n1, leaf", "holds the value 2 .*_classes.csv doesn't name"),
        ("Pixel Value, Class\n0, background\nx, leaf", "the line 'x,leaf', where a value and a class belong"),
        ("Pixel Value, Class\n", "names no classes"),
    ],
)
def test_a_table_that_does_not_name_a_value_is_refused(table, said, tmp_path):
    exported(tmp_path / "rf", ("train",), table)
    with pytest.raises(SegnetError, match=said):
        convert(tmp_path / "rf", tmp_path / "new")


def test_tables_that_contradict_each_other_are_refused(tmp_path):
    exported(tmp_path / "rf")
    (tmp_path / "rf/valid/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, stem\n2, leaf")
    with pytest.raises(SegnetError, match=r"calls the value 1 stem, another table leaf"):
        convert(tmp_path / "rf", tmp_path / "new")


# One mask file an object

OBJECTS = [box(2, 2, 10, 10), box(20, 5, 40, 25), box(50, 30, 60, 40)]


def with_objects(root, name, objects=OBJECTS, flat=False, white=255):
    photo(root / (f"images/{name}.png" if flat else f"{name}/images/{name.rpartition('/')[2]}.png"))
    for number, pixels in enumerate(objects):
        folder = root / (f"masks/{name}" if flat else f"{name}/masks")
        save(folder / f"{number}.png", np.where(pixels, white, 0).astype(np.uint8))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("white", [1, 255])
def test_one_mask_file_an_object_becomes_one_mask_an_image(flat, white, tmp_path):
    with_objects(tmp_path / "dsb", "a1", flat=flat, white=white)
    with_objects(tmp_path / "dsb", "b2", OBJECTS[:1], flat=flat, white=white)
    with_objects(tmp_path / "dsb", "c3", [], flat=flat)
    done = convert(tmp_path / "dsb", tmp_path / "new")
    found = masks(tmp_path / "new")
    np.testing.assert_array_equal(found["masks/a1.png"], np.any(OBJECTS, 0))
    np.testing.assert_array_equal(found["masks/b2.png"], OBJECTS[0])
    assert [*done.pixels] == ["background", "object"]
    assert counted(done) == ({"mask file": 4}, {}, {"not annotated": 1})
    assert done.warnings == ()


def test_splits_are_the_folders_above_and_the_class_may_have_a_name(tmp_path):
    for split, name in (("stage1_train", "a1"), ("stage1_test", "b2")):
        with_objects(tmp_path / "dsb", f"{split}/{name}")
    done = convert(tmp_path / "dsb", tmp_path / "new", classes=["background", "nucleus"])
    assert [*masks(tmp_path / "new")] == ["test/masks/b2.png", "train/masks/a1.png"]
    assert [*done.pixels] == ["background", "nucleus"]


def test_objects_that_share_pixels_are_said(tmp_path):
    with_objects(tmp_path / "dsb", "a1", [box(0, 0, 10, 10), box(5, 5, 15, 15)])
    done = convert(tmp_path / "dsb", tmp_path / "new")
    assert "has 25 pixels of several objects" in done.warnings[0]
    assert done.pixels["object"] == 175


def test_an_object_of_another_size_or_a_damaged_one_leaves_its_image_out(tmp_path):
    for name in ("a1", "b2", "c3"):
        with_objects(tmp_path / "dsb", name)
    save(tmp_path / "dsb/a1/masks/1.png", np.zeros((9, 9), np.uint8))
    (tmp_path / "dsb/b2/masks/1.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    with pytest.raises(SegnetError, match=r"a1/masks/1.png is 9×9 but its image"):
        convert(tmp_path / "dsb", tmp_path / "new")
    done = convert(tmp_path / "dsb", tmp_path / "new", skip=True)
    assert [*masks(tmp_path / "new")] == ["masks/c3.png"]
    assert done.tally.read.total() == 9
    assert counted(done)[0] == {"mask file": 3}


def test_an_object_without_pixels_is_left_out(tmp_path):
    with_objects(tmp_path / "dsb", "a1", [OBJECTS[0], np.zeros((H, W), bool)])
    done = convert(tmp_path / "dsb", tmp_path / "new")
    assert counted(done)[:2] == ({"mask file": 1}, {("mask file", "covers no pixel of its image"): 1})


def test_what_systems_leave_behind_is_no_object(tmp_path):
    with_objects(tmp_path / "dsb", "a1")
    for number, name in itertools.product((0,), ("._0.png", ".ipynb_checkpoints/0.png", "__MACOSX/0.png")):
        save(tmp_path / "dsb/a1/masks" / name, np.full((H, W), 255 - number, np.uint8))
    (tmp_path / "dsb/a1/masks/Thumbs.db").touch()
    done = convert(tmp_path / "dsb", tmp_path / "new")
    assert counted(done) == ({"mask file": 3}, {}, {})
