"""Folders as people have them: what each is recognised as, and the one command that makes a dataset of it."""

from __future__ import annotations

import json
import shlex
import unicodedata

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.walking import files_below, paths_below
from segnet.data.check.inspect_folder import inspect_folder
from segnet.data.check.near_names import near_names
from segnet.data.folder import load_folder
from segnet.data.labels.convert import convert
from segnet.data.options import DataOptions

SIDE = 32


def picture(number):
    random = np.random.RandomState(number)
    return Image.fromarray(np.kron(random.randint(0, 255, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8))


def mask(number, values=(0, 1)):
    """A mask that no other number has."""
    pixels = np.full((SIDE, SIDE), values[0], np.uint8)
    pixels[2 : 10 + number % 20, 3 : 12 + number // 20] = values[-1]
    return Image.fromarray(pixels)


def put(root, images, masks, numbers=range(8), values=(0, 1)):
    """Write image and mask of each number where two patterns of paths say."""
    for number in numbers:
        for pattern, drawn in ((images, picture(number)), (masks, mask(number, values))):
            file = root / pattern.format(n=number)
            file.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(file)


def drive(root):
    put(root, "training/images/{n}_training.tif", "training/1st_manual/{n}_manual1.gif", range(21, 27))
    put(root, "test/images/{n:02}_test.tif", "test/1st_manual/{n:02}_manual1.gif", range(1, 5))
    put(root, "test/images/{n:02}_test.tif", "test/2nd_manual/{n:02}_manual2.gif", range(1, 5))
    for split, numbers in (("training", range(21, 27)), ("test", range(1, 5))):
        for number in numbers:
            view = root / split / "mask" / f"{number:02}_{split}_mask.gif"
            view.parent.mkdir(exist_ok=True)
            Image.new("L", (SIDE, SIDE), 255).save(view)


def camvid(root):
    for number, split in enumerate(("train", "val", "test")):
        first = 8 * number
        put(root, f"{split}/f{{n:04}}.png", f"{split}annot/f{{n:04}}.png", range(first, first + 6))


def two_readers(root):
    put(root, "Image_{n:02}L.jpg", "Image_{n:02}L_1stHO.png")
    put(root, "Image_{n:02}L.jpg", "Image_{n:02}L_2ndHO.png", values=(0, 255))


def kept_back(root):
    put(root, "train/{n}.jpg", "train_masks/{n}_mask.gif")
    put(root, "test/{n}.jpg", "gone/{n}.png", range(20, 23))
    for file in (root / "gone").iterdir():
        file.unlink()
    (root / "gone").rmdir()


# name: how the files lie, pairs by split, what the message names
LOOSE = {
    "DRIVE": (drive, {"train": 6, "test": 4}, "training/1st_manual"),
    "CamVid": (camvid, {"train": 6, "val": 6, "test": 6}, "trainannot/"),
    "two readers in one folder": (two_readers, {"": 8}, "Image_00L.jpg, Image_00L_1stHO.png"),
    "a test part without masks": (kept_back, {"train": 8}, "train_masks/"),
    "a.jpg and a_mask.png": (lambda r: put(r, "{n}.jpg", "{n}_mask.png"), {"": 8}, "0.jpg, 0_mask.png"),
    "mask_a.png": (lambda r: put(r, "all/{n}.png", "all/mask_{n}.png"), {"": 8}, "all/"),
    "a.jpg and a.png": (lambda r: put(r, "all/{n}.jpg", "all/{n}.png"), {"": 8}, "0.jpg, 0.png"),
    "words that all masks have": (lambda r: put(r, "{n}.png", "{n}_L.png"), {"": 8}, "0.png, 0_L.png"),
    "satellite": (lambda r: put(r, "train/{n}_sat.jpg", "train/{n}_mask.png"), {"train": 8}, "train/"),
    "a folder each": (lambda r: put(r, "{n}/image.png", "{n}/mask.png"), {"": 8}, "image.png, mask.png"),
    "Ground Truth": (lambda r: put(r, "Original/{n}.tif", "Ground Truth/{n}.tif"), {"": 8}, "Ground Truth/"),
    "photos and labels": (lambda r: put(r, "photos/{n}.jpg", "labels/{n}.png"), {"": 8}, "labels/"),
    "splits inside": (
        lambda r: [put(r, f"img/{s}/{{n}}.jpg", f"ann/../gt/{s}/{{n}}.png", range(9 * i, 9 * i + 5))
                   for i, s in enumerate(("train", "val"))],
        {"train": 5, "val": 5}, "gt/train/",
    ),
    "words on both sides": (
        lambda r: put(r, "x_Training_Input/S_{n:07}.jpg", "x_Training_GroundTruth/S_{n:07}_segmentation.png"),
        {"train": 8}, "GroundTruth/",
    ),
    "words of a kind of mask": (
        lambda r: put(r, "rgb/im{n:04}.ppm", "labels-ah/im{n:04}.ah.png"), {"": 8}, "labels-ah/",
    ),
    "valid": (
        lambda r: [put(r, f"{s}/images/{{n}}.png", f"{s}/masks/{{n}}.png", range(9 * i, 9 * i + 5))
                   for i, s in enumerate(("training", "valid"))],
        {"train": 5, "val": 5}, "valid/",
    ),
    "short words": (lambda r: put(r, "img/{n}.png", "lbl/{n}.png"), {"": 8}, "lbl/"),
    "numbers alone agree": (
        lambda r: put(r, "images/photo ({n}).png", "masks/Mask-{n:03}.png"), {"": 8}, "masks/",
    ),
}  # fmt: skip


def contents(root):
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    return folder


def command_in(fault):
    """The source and the target of the command that a fault names."""
    words = shlex.split(fault.remedy[fault.remedy.index("segnet data convert") :])
    return words[3], words[4]


@pytest.mark.parametrize("case", LOOSE)
def test_images_and_masks_that_lie_otherwise_are_recognised_and_copied(case, root):
    lay, splits, names = LOOSE[case]
    lay(root)
    before = contents(root)
    (fault,) = inspect_folder(root).errors
    assert fault.kind == "layout"
    assert names in fault.detail
    assert "rename" not in str(fault)
    source, target = command_in(fault)
    assert source == str(root)
    with pytest.raises(SegnetError, match="segnet data convert"):
        load_folder(root)

    new = root.parent / target
    done = convert(root, new)
    assert done.images == splits
    assert contents(root) == before
    numbers = {picture(number).tobytes(): number for number in range(40)}
    found = inspect_folder(new, channels=3)
    assert sum(found.images.values()) == sum(splits.values())
    assert [each for each in found.errors if each.kind in ("layout", "no-mask", "no-image")] == []
    for each in found.surveyed:
        with Image.open(each.pair.image) as image, Image.open(each.pair.mask) as drawn:
            if image.format != "JPEG":
                assert np.array_equal(np.asarray(drawn), np.asarray(mask(numbers[image.tobytes()])))
            nearest = min(
                range(40), key=lambda n: np.abs(np.asarray(image, int) - np.asarray(picture(n))).sum()
            )
            assert np.array_equal(np.asarray(drawn), np.asarray(mask(nearest)))


def test_the_field_of_view_and_second_readers_are_left_out_by_name(root):
    drive(root)
    warnings = " ".join(convert(root, root.parent / "new").warnings)
    for said in (warnings, inspect_folder(root).errors[0].detail):
        assert "10 of the field of view in test/mask/, training/mask/" in said
        assert "4 masks of another reader in test/2nd_manual/" in said


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda r: (r / "labels/3.png").unlink(), "photos/3.jpg has no mask"),
        (lambda r: (r / "photos/3.jpg").unlink(), "labels/3.png has no image"),
        (lambda r: mask(50).save(r / "labels/3_label.png"), "labels/3_label.png has no image"),
    ],
)
def test_what_does_not_pair_is_named_and_nothing_is_written(spoil, says, root):
    put(root, "photos/{n}.jpg", "labels/{n}.png")
    spoil(root)
    with pytest.raises(SegnetError, match=says):
        convert(root, root.parent / "new")
    assert not (root.parent / "new").exists()
    (fault,) = inspect_folder(root).errors
    assert says in fault.detail.replace(f"{root}/", "")


def test_a_mask_with_two_images_of_its_number_is_never_guessed(root):
    put(root, "photos/{n}.jpg", "labels/{n}.png", range(3))
    put(root, "photos/photo_{n}.jpg", "labels/label_{n}.png", range(3, 4))
    put(root, "photos/img 3.jpg", "labels/3 gt.png", range(5, 6))
    with pytest.raises(SegnetError, match="photo"):
        convert(root, root.parent / "new")


def test_what_the_masks_mean_is_copied_with_them(root):
    put(root, "photos/{n}.jpg", "labels/{n}.png", values=(0, 255))
    (root / "dataset.yaml").write_text("values: {0: soil, 255: leaf}\n")
    convert(root, root.parent / "new")
    assert load_folder(root.parent / "new").classes.names == ("soil", "leaf")


# Labels of tools and other datasets


def coco(root):
    put(root, "train/{n}.jpg", "unused/{n}.png", range(3))
    images = [{"id": n, "file_name": f"{n}.jpg", "width": SIDE, "height": SIDE} for n in range(3)]
    shapes = [
        {"id": n, "image_id": n, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]} for n in range(3)
    ]
    content = {"images": images, "annotations": shapes, "categories": [{"id": 1, "name": "leaf"}]}
    for split in ("train", "valid", "test"):
        (root / split).mkdir(exist_ok=True)
        (root / split / "_annotations.coco.json").write_text(json.dumps(content))


def labelme(root):
    put(root, "{n}.jpg", "unused/{n}.png", range(3))
    for number in range(3):
        shape = {"label": "leaf", "shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9]]}
        content = {"imagePath": f"{number}.jpg", "imageWidth": SIDE, "imageHeight": SIDE, "shapes": [shape]}
        (root / f"{number}.json").write_text(json.dumps(content))


def yolo(root):
    put(root, "train/images/{n}.jpg", "unused/{n}.png", range(3))
    (root / "train/labels").mkdir()
    for number in range(3):
        (root / f"train/labels/{number}.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (root / "data.yaml").write_text("train: train/images\nnames: [leaf]\n")


def label_studio(root):
    put(root, "images/{n}.jpg", "unused/{n}.png", range(3))
    tasks = [{"id": n, "data": {"image": f"{n}.jpg"}, "annotations": []} for n in range(3)]
    (root / "export.json").write_text(json.dumps(tasks))


def cvat(root):
    put(root, "images/{n}.jpg", "unused/{n}.png", range(3))
    (root / "annotations.xml").write_text(
        "<?xml version='1.0'?>\n<annotations><version>1.1</version></annotations>"
    )


def geojson(root):
    put(root, "{n}.jpg", "unused/{n}.png", range(3))
    shape = {"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 1]]]}
    feature = {"type": "Feature", "geometry": shape, "properties": {"class": "leaf"}}
    for number in range(3):
        (root / f"{number}.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": [feature]})
        )


FORMATS = {
    "COCO": coco,
    "GeoJSON": geojson,
    "LabelMe": labelme,
    "YOLO": yolo,
    "Label Studio": label_studio,
    "CVAT": cvat,
    "Pascal VOC": lambda r: put(r, "JPEGImages/{n}.jpg", "SegmentationClass/{n}.png"),
    "Cityscapes": lambda r: put(
        r, "leftImg8bit/train/a/{n}_leftImg8bit.png", "gtFine/train/a/{n}_gtFine_labelIds.png"
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_labels_that_convert_reads_are_recognised(name, root):
    FORMATS[name](root)
    for unused in (root / "unused").glob("*"):
        unused.unlink()
    before = contents(root)
    (fault,) = inspect_folder(root).errors
    assert name in fault.detail
    assert command_in(fault)[0] == str(root)
    assert "rename" not in str(fault)
    assert contents(root) == before


def test_a_mask_file_for_each_object_is_recognised(root):
    for number in range(4):
        put(root, f"id{number}/images/id{number}.png", f"id{number}/masks/{{n}}.png", range(3))
        picture(number).save(root / f"id{number}/images/id{number}.png")
    (fault,) = inspect_folder(root).errors
    assert "a mask file for each object" in fault.detail
    assert command_in(fault)[0] == str(root)


def official_pets(root):
    put(root, "images/{n}.jpg", "annotations/trimaps/{n}.png")
    (root / "annotations/trainval.txt").touch()


@pytest.mark.parametrize(
    ("lay", "detail", "remedy"),
    [
        (official_pets, "Oxford-IIIT Pet", "segnet train --data oxford-pets --data-root"),
        (lambda r: (r / "data.parquet").touch(), "Hugging Face", "segnet train --data hf:"),
        (lambda r: (r / "export.zip").touch(), "holds export.zip", "unpack it"),
        (lambda r: put(r, "in/images/{n}.png", "in/masks/{n}.png"), "in/ looks like a dataset", "data check"),
        (lambda r: [picture(n).save(r / f"{n}.jpg") for n in range(3)], "holds 3 images", "annotation tool"),
        (lambda r: put(r, "a/{n}.png", "b/{n}.png"), "holds 16 images", "a folder called masks"),
    ],
    ids=["pets", "parquet", "archive", "one level up", "images alone", "folders without a meaning"],
)  # fmt: skip
def test_other_folders_say_what_they_are(lay, detail, remedy, root):
    lay(root)
    (fault,) = inspect_folder(root).errors
    assert detail in fault.detail
    assert remedy in fault.remedy


def test_the_images_of_a_dataset_lead_to_the_dataset(root):
    put(root, "images/{n}.png", "masks/{n}.png")
    (fault,) = inspect_folder(root / "images").errors
    assert fault.remedy == f"segnet data check {shlex.quote(str(root))}"


def test_texts_in_labels_are_never_renamed_to_masks(root):
    put(root, "train/images/{n}.jpg", "train/labels/{n}.png")
    for file in (root / "train/labels").iterdir():
        file.rename(file.with_suffix(".txt"))
    said = str(inspect_folder(root).errors[0])
    assert "rename" not in said


# Walking


def test_linked_folders_are_walked_once_and_circles_end(root):
    put(root, "images/a/{n}.png", "masks/a/{n}.png", range(4))
    pool = root.parent / "pool"
    put(pool, "images/{n}.png", "masks/{n}.png", range(4, 8))
    for part in ("images", "masks"):
        (root / part / "b").symlink_to(pool / part)
        (root / part / "up").symlink_to(root)
        (root / part / "a/again").symlink_to(pool / part)
    found = inspect_folder(root)
    assert found.images == {"train": 8}
    assert [fault.kind for fault in found.faults if fault.kind != "few-to-validate"] == ["walked-twice"] * 4
    assert {each.pair.name for each in found.surveyed} == {
        *(f"a/{n}" for n in range(4)),
        *(f"b/{n}" for n in range(4, 8)),
    }


def test_the_name_of_a_real_folder_goes_before_that_of_a_link_to_it(root):
    (root / "z").mkdir()
    (root / "z/photo.png").touch()
    (root / "a").symlink_to(root / "z")
    (root / "self").symlink_to(root / "self")
    left_out = []
    names = [above + entry.name for entry, above in files_below(root, lambda *names: left_out.append(names))]
    assert names == ["self", "z/photo.png"]
    assert left_out == [(str(root / "a"), str(root / "z"))]
    assert paths_below(root) == [root / "self", root / "z/photo.png"]


# Names that differ


def test_names_of_both_unicode_forms_pair(root):
    put(root, "images/x{n}.png", "masks/x{n}.png", range(4))
    names = ("blåbær", "für élise", "キャベツ", "한글")
    for number, name in enumerate(names, 10):
        forms = {"images": "NFC", "masks": "NFD"} if number % 2 else {"images": "NFD", "masks": "NFC"}
        for part, drawn in (("images", picture(number)), ("masks", mask(number))):
            drawn.save(root / part / f"{unicodedata.normalize(forms[part], name)}.png")
    assert inspect_folder(root).errors == []
    listed = root.parent / "val.txt"
    listed.write_text("\n".join(unicodedata.normalize("NFD", name) for name in names[:2]), encoding="utf-8")
    dataset = load_folder(root, DataOptions(data=str(root), val_list=listed))
    assert {sample.name for sample in dataset.val} == {
        unicodedata.normalize("NFC", name) for name in names[:2]
    }


def test_two_files_that_differ_in_unicode_form_alone_are_told_apart(root):
    put(root, "images/{n}.png", "masks/{n}.png")
    for form in ("NFC", "NFD"):
        picture(30).save(root / "images" / f"{unicodedata.normalize(form, 'ä')}.png")
    mask(30).save(root / "masks/ä.png")
    (fault,) = inspect_folder(root).errors
    assert fault.kind == "same-name"
    assert {"a\\u0308.png", "\\xe4.png"} <= set(str(fault).replace("(", "").replace(")", "").split())


NEAR = {
    "Img_1": "img_1",
    "photo7": "photo007",
    "my photo": "my_photo",
    "a": "a_mask",
    "b": "mask_b",
    "c": "c_label",
    "d": "d_gt",
    "e": "e-seg",
    "21_training": "21_manual1",
    "f": "f.jpg",
    "g": "G_Mask",
    "h": "h_whatever",
    "deep/i": "deep/i_mask",
    "caf\u00e9 1": "cafe\u0301_1",
}


@pytest.mark.parametrize(("image", "there"), NEAR.items())
def test_a_near_miss_names_the_mask_that_was_meant_and_the_command(image, there, root):
    put(root, "images/x{n}x.png", "masks/x{n}x.png", range(5))
    put(root, f"images/{image}.png", f"masks/{there}.png", range(7, 8))
    faults = {fault.kind: fault for fault in inspect_folder(root).errors}
    assert faults.keys() == {"no-mask", "no-image"}
    fault = faults["no-mask"]
    assert unicodedata.normalize("NFC", there) in fault.detail
    assert "call the mask as its image" in fault.remedy
    assert near_names([image], [there, "zzz"])[image].name == there


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["a"], ["b"]),
        (["12"], ["1_2"]),
        (["1"], ["1_mask", "1_label"]),  # either may be meant
        (["x/a"], ["y/a_mask"]),
        (["image"], ["mask"]),  # nothing but these words
    ],
)
def test_what_may_be_another_image_is_no_near_miss(names, others):
    assert near_names(names, others) == {}
