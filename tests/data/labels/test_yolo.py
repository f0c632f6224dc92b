"""YOLO's segmentation data sets: every field of data.yaml and of a line, against drawing of our own."""

import numpy as np
import pytest
import yaml

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from .label_files import H, W, box, counted, masks, photo

LEAF = "0 0.1 0.125 0.4 0.125 0.4 0.5 0.1 0.5"  # pixels 6 to 24 and 5 to 20
LEAF_PIXELS = box(6, 5, 24, 20)
STEM = "1 0.5 0.25 0.8 0.25 0.8 0.75 0.5 0.75"
STEM_PIXELS = box(30, 10, 48, 30)


def dataset(root, labels, description=None, **encoded):
    """Write images and their labels: texts by their path below labels/, None where there is no file."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in labels.items():
        photo(root / f"images/{name}.jpg")
        file = root / f"labels/{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            file.write_bytes(text.encode(encoded.get("encoding", "utf-8")))
    (root / "data.yaml").write_text(yaml.safe_dump(description or {"names": ["leaf", "stem"]}))
    return root


def converted(tmp_path, text, description=None, **options):
    root = dataset(tmp_path / "yolo", {"a": text}, description)
    done = convert(root, tmp_path / "new", **options)
    (mask,) = masks(tmp_path / "new").values()
    return mask, done


@pytest.mark.parametrize(
    "line",
    [
        LEAF,
        LEAF.replace("0 ", "0.0 ", 1),
        LEAF.replace(" ", ","),
        LEAF.replace(" ", ", "),
        LEAF.replace(" ", "\t"),
        f"  {LEAF}  \r\n\r\n",
        f"\ufeff{LEAF}\r\n",
        "0 1e-1 .125 4e-1 .125 0.4 0.5 0.1 0.5",
    ],
)
def test_a_line_is_a_polygon_however_it_is_spelled(line, tmp_path):
    mask, done = converted(tmp_path, line)
    np.testing.assert_array_equal(mask, LEAF_PIXELS)
    assert counted(done) == ({"polygon": 1}, {}, {})
    assert [*done.pixels] == ["background", "leaf", "stem"]


def test_later_polygons_lie_on_top_and_what_lies_a_little_outside_is_clipped(tmp_path):
    mask, _ = converted(tmp_path, "0 -0.01 0 1.02 0 1.02 1.01 -0.01 1.01\n" + STEM)
    np.testing.assert_array_equal(mask, np.where(STEM_PIXELS, 2, 1))


def test_an_image_of_many_sizes_is_labelled_in_shares_of_its_upright_size(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    root = dataset(tmp_path / "yolo", {"a": LEAF})
    photo(root / "images/a.jpg", exif=exif)
    convert(root, tmp_path / "new")
    np.testing.assert_array_equal(masks(tmp_path / "new")["masks/a.png"], box(4, 8, 16, 30, (H, W)))


def test_boxes_are_ignored_and_said(tmp_path):
    mask, done = converted(tmp_path, f"{LEAF}\n1 0.75 0.5 0.1 0.5")
    np.testing.assert_array_equal(mask, np.where(box(42, 10, 48, 30), 255, LEAF_PIXELS))
    assert counted(done)[:2] == ({"polygon": 1}, {("box", "no outline"): 1})
    assert "line 2 is a box without an outline; its pixels are ignored" in done.warnings[0]


def test_poses_are_boxes_with_points_and_no_polygons(tmp_path):
    root = dataset(
        tmp_path / "yolo",
        {"a": "0 0.5 0.5 0.2 0.2 0.45 0.45 0.55 0.55"},
        {"names": ["x"], "kpt_shape": [2, 2]},
    )
    with pytest.raises(SegnetError, match=r"nothing to draw.*is a pose without an outline"):
        convert(root, tmp_path / "new")


@pytest.mark.parametrize(
    ("line", "said", "ignored"),
    [
        ("1 0,5 0,25 0,8 0,25 0,8 0,75", "decimal comma; write 0.5, not 0,5", None),
        ("1 30 10 48 10 48 30 30 30", "if they are pixels", None),
        ("1 0.5 0.25 0.8 0.25 0.8 0.75 0.93", "7 coordinates, which are no pairs.*confidence", None),
        ("9 0.5 0.25 0.8 0.25 0.8 0.75 0.5 0.75", "has class 9, but data.yaml names 0, 1", STEM_PIXELS),
        ("0.5 0.5 0.25 0.8 0.25 0.8 0.75 0.5 0.75", "has class 0.5", STEM_PIXELS),
        ("-1 0.5 0.25 0.8 0.25 0.8 0.75 0.5 0.75", "has class -1", STEM_PIXELS),
        ("stem 0.5 0.25 0.8 0.25 0.8 0.75 0.5 0.75", "no class number with coordinates", STEM_PIXELS),
        ("1 0.5 nan 0.8 0.25 0.8 0.75", "no list of points", None),
        ("1 0.5 x 0.8 0.25 0.8 0.75", "no class number with coordinates", None),
    ],
)
def test_a_line_that_cannot_be_read_is_never_background(line, said, ignored, tmp_path):
    root = dataset(tmp_path / "yolo", {"a": f"{LEAF}\n{line}", "b": LEAF})
    with pytest.raises(SegnetError, match=rf"a.txt, line 2 .*{said}"):
        convert(root, tmp_path / "new")
    done = convert(root, tmp_path / "new", skip=True)
    found = masks(tmp_path / "new")
    if ignored is None:
        assert [*found] == ["masks/b.png"]
    else:
        np.testing.assert_array_equal(found["masks/a.png"], np.where(ignored, 255, LEAF_PIXELS))
    assert counted(done)[0] == {"polygon": 1 if ignored is None else 2}


def test_points_without_an_area_are_left_out(tmp_path):
    mask, done = converted(tmp_path, f"{LEAF}\n1\n1 0.5 0.5")
    np.testing.assert_array_equal(mask, LEAF_PIXELS)
    assert counted(done)[1] == {("polygon", "no area"): 2}


def test_an_empty_text_is_background_and_a_missing_one_is_no_label(tmp_path):
    root = dataset(tmp_path / "yolo", {"a": LEAF, "empty": "\n", "missing": None})
    done = convert(root, tmp_path / "new")
    found = masks(tmp_path / "new")
    assert [*found] == ["masks/a.png", "masks/empty.png"]
    assert not found["masks/empty.png"].any()
    assert counted(done)[2] == {"not annotated": 1}
    assert convert(root, tmp_path / "all", empty_as_background=True).images == {"": 3}


@pytest.mark.parametrize(
    "names",
    [
        ["leaf", "stem"],
        {0: "leaf", 1: "stem"},
        {"1": "stem", "0": "leaf"},
    ],
)
def test_names_are_a_list_or_numbered(names, tmp_path):
    mask, done = converted(tmp_path, f"{LEAF}\n{STEM}", {"names": names, "nc": 2})
    np.testing.assert_array_equal(mask, np.where(STEM_PIXELS, 2, LEAF_PIXELS))
    assert [*done.pixels] == ["background", "leaf", "stem"]


def test_numbers_of_classes_may_have_gaps_and_ten_comes_after_two(tmp_path):
    names = {"10": "ten", "2": "two"}
    mask, done = converted(tmp_path, LEAF.replace("0 ", "10 ", 1), {"names": names})
    assert [*done.pixels] == ["background", "two", "ten"]
    np.testing.assert_array_equal(mask, np.where(LEAF_PIXELS, 2, 0))


def test_a_class_called_background_is_the_background(tmp_path):
    mask, done = converted(tmp_path, f"{LEAF}\n{STEM}", {"names": ["leaf", "background"]})
    assert [*done.pixels] == ["background", "leaf"]
    np.testing.assert_array_equal(mask, LEAF_PIXELS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [leaf, no]", "the name False of class 1 is no text, so put it in quotes"),
        ("names: [leaf]\nnc: 2", "has nc: 2, but names has 1"),
        ("names: leaf", "a list or one name for each number"),
        ("names: []", "names no classes"),
        ("names: [leaf\n", "can't be read as YAML with names"),
        ("names: [leaf]\ntrain: 7", "train is 7, where a path or a list of paths belongs"),
        ("names: {a: leaf}", "can't be read as YAML with names"),
        ("- names", "can't be read as YAML with names"),
    ],
)
def test_a_description_that_cannot_be_read_is_named(text, said, tmp_path):
    root = dataset(tmp_path / "yolo", {"a": LEAF})
    (root / "data.yaml").write_text(text)
    with pytest.raises(SegnetError, match=f"data.yaml .*{said}"):
        convert(root, tmp_path / "new")


def in_splits(root, description, names=("first/a", "second/a", "third/b")):
    return dataset(root, dict.fromkeys(names, LEAF), {"names": ["leaf", "stem"]} | description)


@pytest.mark.parametrize(
    "description",
    [
        {"train": "images/first", "val": "images/second", "test": "images/third"},
        {"path": ".", "train": "./images/first/", "val": ["images/second"], "test": "images\\third"},
        {
            "path": "/home/me/data",
            "train": "images/first",
            "val": "/home/me/data/images/second",
            "test": "../images/third",
        },
        {"train": "D:\\data\\yolo\\images\\first", "valid": "images/second", "test": "images/third"},
    ],
)
def test_the_descriptions_splits_count_whatever_the_folders_are_called(description, tmp_path):
    done = convert(in_splits(tmp_path / "yolo", description), tmp_path / "new")
    assert done.images == {"train": 1, "val": 1, "test": 1}
    for split, name in (("train", "first/a"), ("val", "second/a"), ("test", "third/b")):
        copied = tmp_path / f"new/{split}/images/{name}.jpg"
        assert copied.read_bytes() == (tmp_path / f"yolo/images/{name}.jpg").read_bytes()


@pytest.mark.parametrize(
    "lines",
    [
        "./images/first/a.jpg\nimages/third/b.jpg",
        "\ufeff/home/me/x/images/first/a.jpg\r\nC:\\x\\images\\third\\b.jpg\r\n",
    ],
)
def test_a_split_may_be_a_list_of_images(lines, tmp_path):
    root = in_splits(tmp_path / "yolo", {"path": "./", "train": "train.txt", "val": "lists/val.txt"})
    (root / "train.txt").write_text(lines)
    (root / "lists").mkdir()
    (root / "lists/val.txt").write_text("images/second/a.jpg")
    done = convert(root, tmp_path / "new")
    assert done.images == {"train": 2, "val": 1}
    assert counted(done) == ({"polygon": 3}, {}, {})


def test_a_listed_image_that_is_not_there_is_named(tmp_path):
    root = in_splits(tmp_path / "yolo", {"train": "train.txt"})
    (root / "train.txt").write_text("images/first/a.jpg\nimages/first/gone.jpg")
    with pytest.raises(
        SegnetError, match=r"train.txt, line 2 names the image images/first/gone.jpg, which is not"
    ):
        convert(root, tmp_path / "new")
    done = convert(root, tmp_path / "new", skip=True)
    assert counted(done)[2] == {"in no split of data.yaml": 2, "image not there": 1}


def test_what_no_split_lists_is_left_out_and_counted_with_its_shapes(tmp_path):
    done = convert(
        in_splits(tmp_path / "yolo", {"train": "images/first", "val": "images/second"}), tmp_path / "new"
    )
    reason = "in no split of data.yaml"
    assert counted(done) == ({"polygon": 2}, {("polygon", f"image left out: {reason}"): 1}, {reason: 1})


def test_a_split_that_is_not_there_is_said_and_an_image_of_two_splits_stays_in_one(tmp_path):
    description = {"train": "images/first", "val": ["images/first", "images/second"], "test": "images/fourth"}
    done = convert(in_splits(tmp_path / "yolo", description), tmp_path / "new")
    assert done.images == {"train": 1, "val": 1}
    assert any("'images/fourth' as test, which is not there" in each for each in done.warnings)
    assert any("is listed in train and in val, and stays in train" in each for each in done.warnings)


def test_without_splits_the_folders_names_tell_them_in_either_order(tmp_path):
    root = tmp_path / "yolo"
    for split in ("train", "valid"):
        photo(root / split / "images/a.jpg")
        (root / split / "labels").mkdir()
        (root / split / "labels/a.txt").write_text(LEAF)
    # as Roboflow writes them: one level too high
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [leaf]\n"
    )
    assert convert(root, tmp_path / "one").images == {"train": 1, "val": 1}
    (root / "data.yaml").write_text("names: [leaf]")
    assert convert(root, tmp_path / "two").images == {"train": 1, "val": 1}
    assert convert(dataset(tmp_path / "b", {"train/a": LEAF, "val/a": LEAF}), tmp_path / "three").images == {
        "train": 1,
        "val": 1,
    }
    assert set(masks(tmp_path / "three")) == {"train/masks/a.png", "val/masks/a.png"}


def test_labels_may_lie_beside_their_images_and_images_elsewhere(tmp_path):
    photo(tmp_path / "beside/train/a.jpg")
    (tmp_path / "beside/train/a.txt").write_text(LEAF)
    (tmp_path / "beside/data.yaml").write_text("names: [leaf]")
    assert convert(tmp_path / "beside", tmp_path / "one").images == {"train": 1}
    root = dataset(tmp_path / "apart", {"train/a": LEAF})
    (root / "images/train/a.jpg").rename(photo(tmp_path / "photos/a.jpg"))
    assert convert(root, tmp_path / "two", images=[tmp_path / "photos"]).images == {"": 1}


def test_names_that_differ_in_their_unicode_form_belong_together(tmp_path):
    root = dataset(tmp_path / "yolo", {"a": LEAF})
    for old, new in (("images/a.jpg", "images/a\u0308.jpg"), ("labels/a.txt", "labels/\u00e4.txt")):
        (root / old).rename(root / new)
    assert convert(root, tmp_path / "new").images == {"": 1}


def test_one_image_elsewhere_is_not_that_of_two_labels(tmp_path):
    root = dataset(tmp_path / "apart", {"train/a": LEAF, "val/a": STEM})
    (root / "images/train/a.jpg").unlink()
    (root / "images/val/a.jpg").unlink()
    photo(tmp_path / "photos/a.jpg")
    with pytest.raises(SegnetError, match=r"a.txt has no image of its name"):
        convert(root, tmp_path / "new", images=[tmp_path / "photos"])


def test_a_list_of_classes_alone_names_them_as_label_studio_writes_it(tmp_path):
    root = dataset(tmp_path / "yolo", {"a": STEM})
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("leaf\r\nstem\r\n")
    (root / "labels/classes.txt").write_text("leaf\nstem\n")
    done = convert(root, tmp_path / "new")
    assert [*done.pixels] == ["background", "leaf", "stem"]
    assert counted(done) == ({"polygon": 1}, {}, {})


def test_labels_without_an_image_are_named_and_counted(tmp_path):
    root = dataset(tmp_path / "yolo", {"a": LEAF, "lost": f"{LEAF}\n{STEM}"})
    (root / "images/lost.jpg").unlink()
    with pytest.raises(SegnetError, match=r"lost.txt has no image of its name"):
        convert(root, tmp_path / "new")
    done = convert(root, tmp_path / "new", skip=True)
    assert counted(done)[1:] == ({("polygon", "image left out: image not there"): 2}, {"image not there": 1})


def test_text_that_is_no_utf_8_is_named_and_utf_16_is_read(tmp_path):
    root = dataset(tmp_path / "yolo", {"a": LEAF}, encoding="utf-16")
    assert convert(root, tmp_path / "new").images == {"": 1}
    (root / "labels/a.txt").write_bytes(b"0 \xff\xfa 0.1")
    photo(root / "images/b.jpg")
    (root / "labels/b.txt").write_text(LEAF)
    with pytest.raises(SegnetError, match=r"a.txt is no text in utf-8 .*; save it as UTF-8"):
        convert(root, tmp_path / "again")
    assert counted(convert(root, tmp_path / "again", skip=True))[2] == {"can't be read": 1}


def test_hidden_files_are_no_images_and_linked_folders_are_read_once(tmp_path):
    root = dataset(tmp_path / "yolo", {"a": LEAF})
    for name in ("images/._a.jpg", "images/.ipynb_checkpoints/a-checkpoint.jpg", "__MACOSX/images/a.jpg"):
        photo(root / name)
    photo(tmp_path / "more/images/b.jpg")
    (tmp_path / "more/labels").mkdir()
    (tmp_path / "more/labels/b.txt").write_text(STEM)
    (root / "more").symlink_to(tmp_path / "more")
    (root / "more/again").symlink_to(root)
    done = convert(root, tmp_path / "new")
    assert done.images == {"": 2}
    assert counted(done) == ({"polygon": 2}, {}, {})


def test_boxes_of_yolo_1_1_are_refused_by_name(tmp_path):
    (tmp_path / "yolo/obj_train_data").mkdir(parents=True)
    (tmp_path / "yolo/obj.names").write_text("leaf")
    with pytest.raises(SegnetError, match=r"boxes of YOLO 1.1; export it from CVAT as 'Ultralytics YOLO Seg"):
        convert(tmp_path / "yolo", tmp_path / "new")


def test_text_files_without_a_data_yaml_are_named_with_the_way_out(tmp_path):
    photo(tmp_path / "data/images/a.jpg")
    (tmp_path / "data/labels").mkdir()
    (tmp_path / "data/labels/a.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5")
    with pytest.raises(SegnetError, match=r"text files in labels as YOLO's, without a data\.yaml; write one"):
        convert(tmp_path / "data", tmp_path / "new")
