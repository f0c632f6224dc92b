"""Labels of every format become masks: against pycocotools, brute force, and files as tools write them."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from segnet.base.errors import SegnetError
from segnet.data.folder import load_folder
from segnet.data.labels.convert import convert
from segnet.data.labels.fields import Malformed
from segnet.data.labels.finding import split_of
from segnet.data.labels.label_studio import decode_brush

from .json_labels import bits_of_brush, runs_of
from .label_files import masks

W, H = 60, 40
OUTLINE = [(5, 5), (30, 5), (30, 20), (5, 20)]  # 25 x 15 pixels
ON_TOP = [(20, 10), (50, 10), (50, 30), (20, 30)]

EXPECTED = np.zeros((H, W), np.uint8)
EXPECTED[5:20, 5:30] = 1
EXPECTED[10:30, 20:50] = 2


def photo(folder, name="a.jpg", size=(W, H), **options):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    number = sum(name.encode())
    Image.fromarray(np.random.RandomState(number).randint(0, 255, (size[1], size[0], 3), np.uint8)).save(
        file, **options
    )
    return file


def flat(points):
    return [float(value) for point in points for value in point]


def coco(annotations, images=({"id": 7, "file_name": "a.jpg", "width": W, "height": H},)):
    return {
        "images": [*images],
        "annotations": [{"id": n, "image_id": 7, "iscrowd": 0} | each for n, each in enumerate(annotations)],
        "categories": [{"id": 3, "name": "leaf"}, {"id": 9, "name": "stem"}],
    }


# Each writes its labels of OUTLINE as leaf below ON_TOP as stem into a folder and returns what to convert.


def as_coco(root):
    photo(root)
    # the smaller is on top in COCO: here leaf, of 375 pixels, would be; it is cut out of by its own runs
    leaf = (EXPECTED == 1).astype(int)
    annotations = [
        {"category_id": 3, "segmentation": {"size": [H, W], "counts": runs_of(leaf)}},
        {"category_id": 9, "segmentation": [flat(ON_TOP)]},
    ]
    (root / "labels.json").write_text(json.dumps(coco(annotations)))
    return root / "labels.json"


def as_coco_text(root):
    from pycocotools import mask

    photo(root)
    annotations = []
    for number, category in ((1, 3), (2, 9)):
        stored = mask.encode(np.asfortranarray(number == EXPECTED, np.uint8))
        segmentation = {"size": stored["size"], "counts": stored["counts"].decode()}
        in_list = segmentation if number == 1 else [segmentation]  # as some tools have it
        annotations.append({"category_id": category, "segmentation": in_list})
    (root / "labels.json").write_text(json.dumps(coco(annotations)))
    return root


def as_labelme(root):
    photo(root)
    shapes = [
        {"label": "leaf", "points": OUTLINE, "shape_type": "polygon"},
        {"label": "stem", "points": [ON_TOP[0], ON_TOP[2]], "shape_type": "rectangle"},
    ]
    content = {"shapes": shapes, "imagePath": "a.jpg", "imageWidth": W, "imageHeight": H}
    (root / "a.json").write_text(json.dumps(content))
    return root


def as_labelme_masks(root):
    photo(root)
    shapes = []
    for label, number in (("leaf", 1), ("stem", 2)):
        ys, xs = np.nonzero(number == EXPECTED)
        left, top, right, bottom = (int(each) for each in (xs.min(), ys.min(), xs.max(), ys.max()))
        stream = io.BytesIO()
        Image.fromarray((number == EXPECTED)[top : bottom + 1, left : right + 1]).save(stream, "PNG")
        text = base64.b64encode(stream.getvalue()).decode()
        shapes.append(
            {"label": label, "points": [[left, top], [right, bottom]], "shape_type": "mask", "mask": text}
        )
    content = {"shapes": shapes, "imagePath": "a.jpg", "imageWidth": W, "imageHeight": H}
    (root / "a.json").write_text(json.dumps(content))
    return root


def as_yolo(root):
    photo(root, "images/a.jpg")
    (root / "labels").mkdir()
    lines = [
        " ".join(map(str, [number, *(np.array(points) / (W, H)).ravel()]))
        for number, points in enumerate((OUTLINE, ON_TOP))
    ]
    (root / "labels/a.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("names: {0: leaf, 1: stem}\n")
    return root


def as_cvat(root):
    photo(root)
    spelled = [";".join(f"{x:.2f},{y:.2f}" for x, y in points) for points in (OUTLINE, ON_TOP)]
    (root / "annotations.xml").write_text(
        f"""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
        <meta><job><labels><label><name>leaf</name></label><label><name>stem</name></label></labels></job></meta>
        <image id="0" name="a.jpg" width="{W}" height="{H}">
        <polygon label="stem" points="{spelled[1]}" z_order="2"/>
        <polygon label="leaf" points="{spelled[0]}" z_order="1"/></image></annotations>"""
    )
    return root / "annotations.xml"


def as_cvat_masks(root):
    photo(root)
    (root / "annotations.xml").write_text(
        f"""<annotations><image id="0" name="a.jpg" width="{W}" height="{H}">
        <mask label="leaf" rle="0,375" left="5" top="5" width="25" height="15" z_order="0"/>
        <box label="stem" xtl="20" ytl="10" xbr="50" ybr="30" z_order="1"/></image></annotations>"""
    )
    return root


def as_label_studio(root):
    photo(root, "photos/1a2b3c4d-a.jpg")
    common = {"original_width": W, "original_height": H}
    results = [
        common
        | {
            "type": "polygonlabels",
            "value": {"points": [[x / W * 100, y / H * 100] for x, y in OUTLINE], "polygonlabels": ["leaf"]},
        },
        common
        | {
            "type": "rectanglelabels",
            "value": {
                "x": 2000 / W,
                "y": 1000 / H,
                "width": 3000 / W,
                "height": 2000 / H,
                "rectanglelabels": ["stem"],
            },
        },
    ]
    task = {"id": 1, "data": {"image": "/data/upload/3/1a2b3c4d-a.jpg"}, "annotations": [{"result": results}]}
    (root / "export.json").write_text(json.dumps([task]))
    return root / "export.json"


def as_label_studio_brush(root):
    photo(root)
    results = [
        {
            "type": "brushlabels",
            "original_width": W,
            "original_height": H,
            "value": {"format": "rle", "rle": bits_of_brush(number == EXPECTED), "brushlabels": [name]},
        }
        for name, number in (("leaf", 1), ("stem", 2))
    ]
    task = {"id": 1, "data": {"image": "s3://bucket/a.jpg"}, "annotations": [{"result": results}]}
    (root / "export.json").write_text(json.dumps([task]))
    return root


@pytest.mark.parametrize(
    "write",
    [
        as_coco,
        as_coco_text,
        as_labelme,
        as_labelme_masks,
        as_yolo,
        as_cvat,
        as_cvat_masks,
        as_label_studio,
        as_label_studio_brush,
    ],
)
def test_labels_of_each_format_become_the_same_masks(write, tmp_path):
    source = write(tmp_path / "source")
    before = {path: path.read_bytes() for path in (tmp_path / "source").rglob("*") if path.is_file()}
    done = convert(source, tmp_path / "new", images=[tmp_path / "source/photos"])
    (mask,) = masks(tmp_path / "new").values()
    np.testing.assert_array_equal(mask, EXPECTED)
    assert done.pixels == {
        "background": (EXPECTED == 0).sum(),
        "leaf": (EXPECTED == 1).sum(),
        "stem": (EXPECTED == 2).sum(),
    }
    assert done.warnings == ()
    dataset = load_folder(tmp_path / "new")
    assert dataset.classes.names == ("background", "leaf", "stem")
    assert {path: path.read_bytes() for path in before} == before
    photos = [path for path in before if path.suffix == ".jpg"]
    assert next((tmp_path / "new/images").rglob("*.jpg")).read_bytes() == before[photos[0]]


@pytest.mark.parametrize("seed", range(12))
def test_masks_are_pycocotools_pixel_for_pixel(seed, tmp_path):
    from pycocotools.coco import COCO

    random = np.random.RandomState(seed)
    photo(tmp_path)
    annotations = []
    for _ in range(6):
        corners = random.randint(3, 9)
        polygons = [flat(random.uniform(-4, 64, (corners, 2)).round(2)) for _ in range(random.randint(1, 3))]
        annotations.append({"category_id": int(random.choice([3, 9])), "segmentation": polygons})
    (tmp_path / "labels.json").write_text(json.dumps(coco(annotations)))
    convert(tmp_path / "labels.json", tmp_path / "new/data")
    reader = COCO(str(tmp_path / "labels.json"))
    (mask,) = masks(tmp_path / "new/data").values()
    drawn = {3: np.zeros((H, W), bool), 9: np.zeros((H, W), bool)}
    for entry in reader.loadAnns(reader.getAnnIds(imgIds=7)):
        drawn[entry["category_id"]] |= reader.annToMask(entry) == 1
    only = {3: drawn[3] & ~drawn[9], 9: drawn[9] & ~drawn[3]}
    np.testing.assert_array_equal(mask == 0, ~drawn[3] & ~drawn[9])
    assert (mask[only[3]] == 1).all()
    assert (mask[only[9]] == 2).all()


def test_in_coco_the_smaller_lies_on_top_whatever_the_order(tmp_path):
    photo(tmp_path)
    large, small = (
        [flat([(0, 0), (50, 0), (50, 30), (0, 30)])],
        [flat([(10, 10), (20, 10), (20, 20), (10, 20)])],
    )
    annotations = [{"category_id": 9, "segmentation": small}, {"category_id": 3, "segmentation": large}]
    (tmp_path / "labels.json").write_text(json.dumps(coco(annotations)))
    convert(tmp_path / "labels.json", tmp_path / "new/data")
    (mask,) = masks(tmp_path / "new/data").values()
    assert (mask == 2).sum() == 100


def test_splits_of_several_coco_files_stay(tmp_path):
    for split in ("train", "valid"):
        photo(tmp_path / "source", f"{split}/{split}.jpg")
        content = coco([{"category_id": 3, "segmentation": [flat(OUTLINE)]}])
        content["images"][0] = content["images"][0] | {"file_name": f"{split}.jpg"}
        (tmp_path / f"source/{split}/_annotations.coco.json").write_text(json.dumps(content))
    done = convert(tmp_path / "source", tmp_path / "new")
    assert done.images == {"train": 1, "val": 1}
    assert set(masks(tmp_path / "new")) == {"train/masks/train.png", "val/masks/valid.png"}


def test_a_split_is_a_word_of_the_files_own_name_before_its_folders(tmp_path, monkeypatch):
    root = tmp_path / "trainval_annotations"
    for split in ("train", "val"):
        photo(root, f"{split}.jpg")
        content = coco([{"category_id": 3, "segmentation": [flat(OUTLINE)]}])
        content["images"][0] = content["images"][0] | {"file_name": f"{split}.jpg"}
        (root / f"instances_{split}2017.json").write_text(json.dumps(content))
    monkeypatch.chdir(root)
    for number, source in enumerate((root, Path())):
        assert convert(source, tmp_path / f"new-{number}").images == {"train": 1, "val": 1}


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("train/images", "train"),
        ("TrainImages", "train"),
        ("Validation", "val"),
        ("VAL", "val"),
        ("test-dev", "test"),
        ("trainval", ""),
        ("latest", ""),
        ("interval", ""),
    ],
)
def test_which_split_a_name_tells(text, split):
    assert split_of(text) == split


def test_pascal_voc_keeps_its_ids_and_splits(tmp_path):
    root = tmp_path / "VOC2012"
    for name, split in (("2007_000032", "train"), ("2007_000033", "val")):
        photo(root, f"JPEGImages/{name}.jpg")
        values = np.zeros((H, W), np.uint8)
        values[:9], values[9:20], values[20:21] = 15, 1, 255
        picture = Image.fromarray(values)
        picture.putpalette([channel for value in range(256) for channel in (value, 0, 255 - value)])
        (root / "SegmentationClass").mkdir(exist_ok=True)
        picture.save(root / f"SegmentationClass/{name}.png")
        (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        (root / f"ImageSets/Segmentation/{split}.txt").write_text(f"{name}\n")
    photo(root, "JPEGImages/unlabelled.jpg")
    done = convert(root, tmp_path / "new")
    assert done.images == {"train": 1, "val": 1}
    classes = load_folder(tmp_path / "new").classes.names
    assert (len(classes), classes[15], classes[1]) == (21, "person", "aeroplane")
    mask = masks(tmp_path / "new")["train/masks/2007_000032.png"]
    assert np.unique(mask).tolist() == [0, 1, 15, 255]


def test_cityscapes_scores_its_nineteen_classes_and_ignores_the_others(tmp_path):
    root = tmp_path / "cityscapes"
    photo(root, "leftImg8bit/train/ulm/ulm_000_leftImg8bit.png")
    photo(root, "leftImg8bit/val/bonn/bonn_000_leftImg8bit.png")
    values = np.repeat(np.array([0, 7, 8, 33, 26, 4], np.uint8), 10)[None].repeat(H, 0)
    for split, city in (("train", "ulm"), ("val", "bonn"), ("test", "rome")):
        file = root / f"gtFine/{split}/{city}/{city}_000_gtFine_labelIds.png"
        file.parent.mkdir(parents=True)
        Image.fromarray(values).save(file)
    done = convert(root, tmp_path / "new")
    assert done.images == {"train": 1, "val": 1}
    mask = masks(tmp_path / "new")["train/masks/ulm/ulm_000.png"]
    assert mask[0, ::10].tolist() == [255, 0, 1, 18, 13, 255]
    assert len(load_folder(tmp_path / "new").classes) == 19


def test_what_was_labelled_before_exif_turned_it_is_turned_with_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(tmp_path, exif=exif)
    annotations = [{"category_id": 3, "segmentation": [flat(OUTLINE)]}]
    (tmp_path / "labels.json").write_text(json.dumps(coco(annotations)))
    convert(tmp_path / "labels.json", tmp_path / "new/data")
    (mask,) = masks(tmp_path / "new/data").values()
    leaf = np.zeros((H, W), np.uint8)
    leaf[5:20, 5:30] = 1
    np.testing.assert_array_equal(mask, np.rot90(leaf, -1))


def test_shapes_without_an_area_are_left_out_and_said(tmp_path):
    photo(tmp_path)
    shapes = [
        {"label": "leaf", "points": OUTLINE, "shape_type": "polygon"},
        {"label": "leaf", "points": [[3, 3]], "shape_type": "point"},
        {"label": "leaf", "points": [[3, 3], [4, 4]], "shape_type": "polygon"},
        {"label": "round", "points": [[40, 20], [50, 20]], "shape_type": "circle"},
    ]
    content = {"shapes": shapes, "imagePath": "a.jpg", "imageWidth": W, "imageHeight": H}
    (tmp_path / "a.json").write_text(json.dumps(content))
    done = convert(tmp_path / "a.json", tmp_path / "new/data")
    assert len(done.warnings) == 1
    assert "is a point of leaf, which has no area" in done.warnings[0]
    circle = Image.new("1", (W, H))
    ImageDraw.Draw(circle).ellipse((30, 10, 50, 30), fill=1)
    assert done.pixels["round"] == pytest.approx(np.pi * 100, rel=0.02)


def bad_coco(**changes):
    def write(root):
        photo(root)
        annotation = {"category_id": 3, "segmentation": [flat(OUTLINE)]} | changes
        (root / "labels.json").write_text(json.dumps(coco([annotation])))
        return root / "labels.json"

    return write


def text_file(name, text):
    def write(root):
        photo(root)
        (root / name).write_text(text)
        return root / name

    return write


def bad_yolo(line):
    def write(root):
        as_yolo(root)
        (root / "labels/a.txt").write_text(line)
        return root

    return write


def missing_photo(root):
    source = as_coco(root)
    (root / "a.jpg").unlink()
    return source


def other_size(root):
    source = as_coco(root)
    photo(root, size=(90, 90))
    return source


BROKEN = {
    "a task without an image": (
        text_file("export.json", '[{"id": 1, "data": {"image": null}, "annotations": [{"result": []}]}]'),
        "task 1 names no image",
    ),
    "no JSON": (text_file("labels.json", "{..."), "labels.json can't be read as JSON"),
    "nested without end": (text_file("labels.json", "[" * 200_000), "labels.json can't be read as JSON"),
    "another JSON": (text_file("labels.json", '{"a": 1}'), "no labels of COCO, LabelMe"),
    "another file": (text_file("labels.csv", "a,b"), "no labels of COCO, LabelMe"),
    "an image that isn't there": (
        missing_photo,
        "names the image a.jpg, which is not there; give --images its folder",
    ),
    "an image of another size": (other_size, "is labelled as 60×40, but the image is 90×90"),
    "an unknown category": (bad_coco(category_id=5), "annotation 0 has the unknown category 5"),
    "a box alone": (bad_coco(segmentation=[], bbox=[5, 5, 9, 9]), "annotation 0 is a box without an outline"),
    "a polygon of words": (bad_coco(segmentation=[["a", "b"] * 3]), "no list of points"),
    "an odd number of numbers": (bad_coco(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "no list of points"),
    "a point at infinity": (bad_coco(segmentation=[[1e300, 2, 3, 4, 5, 6]]), "points far outside its image"),
    "not a number": (bad_coco(segmentation=[[float("nan"), 2, 3, 4, 5, 6]]), "no list of points"),
    "runs that are too short": (bad_coco(segmentation={"size": [H, W], "counts": [5, 5]}), "don't add up"),
    "runs of another image": (
        bad_coco(segmentation={"size": [H, W + 1], "counts": [1]}),
        "has run lengths for",
    ),
    "a text of runs that is none": (bad_coco(segmentation={"size": [H, W], "counts": "???"}), "don't add up"),
    "negative runs": (bad_coco(segmentation={"size": [H, W], "counts": [-1, W * H + 1]}), "don't add up"),
    "XML of something else": (text_file("a.xml", "<html/>"), "no file of CVAT"),
    "XML with entities": (
        text_file("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        "declares a document type",
    ),
    "half an XML": (text_file("a.xml", "<annotations><image"), "can't be read as XML"),
    "YOLO boxes": (bad_yolo("0 0.5 0.5 0.2 0.2"), "line 1 is a box without an outline"),
    "an unknown YOLO class": (bad_yolo("7 0 0 0 1 1 1"), "has class 7, but data.yaml names 0, 1"),
    "YOLO words": (bad_yolo("leaf 0 0 0 1 1 1"), "no class number with coordinates"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_with_labels_is_named_and_nothing_is_written(case, tmp_path):
    write, message = BROKEN[case]
    (tmp_path / "source").mkdir()
    source = write(tmp_path / "source")
    with pytest.raises(SegnetError) as caught:
        convert(source, tmp_path / "new")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    photo(tmp_path)
    annotations = [
        {"category_id": 5, "segmentation": [flat(OUTLINE)]},
        {"category_id": 3, "segmentation": []},
        {"category_id": 3, "segmentation": [["a"]]},
    ]
    content = coco(annotations)
    content["images"].append({"id": 8, "file_name": "gone.jpg", "width": 3, "height": 3})
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(SegnetError) as caught:
        convert(tmp_path / "labels.json", tmp_path / "new/data")
    assert str(caught.value).startswith(f"4 things are wrong in {tmp_path / 'labels.json'}: (1) ")
    assert "gone.jpg, which is not there" in str(caught.value)


def test_a_brush_of_literal_values_is_read_too():
    painted = np.zeros((2, 3), bool)
    painted[1, 2] = True
    values = np.repeat(np.where(painted, 255, 0).ravel(), 4)
    bits = f"{24:032b}" + f"{7:05b}" + f"{4:04b}" * 4
    bits += "0" + "00" + f"{23:05b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    stream = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    np.testing.assert_array_equal(decode_brush(stream, (3, 2)), painted)
    with pytest.raises(Malformed, match="ends too early"):
        decode_brush(stream[:-8], (3, 2))


def test_a_round_trip_through_predictions_gives_the_mask_back(tmp_path):
    """COCO to masks to COCO: what segnet predict writes, segnet data convert reads."""
    from segnet.base.classes import ClassTable
    from segnet.inference.annotations import AnnotationWriter
    from segnet.inference.predict_files import Page
    from segnet.inference.segmentation import Segmentation

    as_coco(tmp_path / "first")
    convert(tmp_path / "first", tmp_path / "masks")
    logits = (EXPECTED[None] == np.arange(3, dtype=np.uint8)[:, None, None]).astype(np.float32)
    result = Segmentation(Image.new("RGB", (W, H)), ClassTable.named(("background", "leaf", "stem")), logits)
    for format_ in ("coco", "labelme"):
        out = tmp_path / format_
        writer = AnnotationWriter(format_, out, result.classes, tolerance_px=1)
        writer.keep(writer.describe(result, Page(tmp_path / "first/a.jpg", "a")))
        writer.finish()
        convert(out, tmp_path / f"again-{format_}", images=[tmp_path / "first"])
        (mask,) = masks(tmp_path / f"again-{format_}").values()
        np.testing.assert_array_equal(mask, EXPECTED)


def test_a_data_yaml_of_yolo_may_list_its_names(tmp_path):
    as_yolo(tmp_path / "source")
    (tmp_path / "source/data.yaml").write_text(yaml.safe_dump({"names": ["leaf", "stem"], "nc": 2}))
    for split in ("train", "valid"):
        photo(tmp_path / "source", f"{split}/images/{split}.jpg")
        (tmp_path / f"source/{split}/labels").mkdir()
        (tmp_path / f"source/{split}/labels/{split}.txt").touch()
    done = convert(tmp_path / "source", tmp_path / "new")
    assert done.images == {"train": 2, "val": 1}, "what lies in no split is trained on"
