"""JSON labels of every kind of shape become the masks of independent drawing; all else is counted."""

import copy
import json
import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from . import json_labels
from .json_labels import BLOB, BOX, ELLIPSE, OUTLINE, SQUARE, feature, flat, percent, png, region
from .label_files import H, W, agree_away_from_edges, box, counted, masks, photo, pixel_centres


def converted(content, folder, name="a.json", **options):
    """Convert JSON content of photos a to d; return what was said and the masks by photo."""
    for letter in "abcd":
        photo(folder / f"labels/{letter}.png")
    (folder / "labels" / name).write_text(json.dumps(content), encoding="utf-8")
    done = convert(folder / "labels" / name, folder / "new", **options)
    return done, {name.removeprefix("masks/")[:-4]: mask for name, mask in masks(folder / "new").items()}


def test_coco_draws_polygons_run_lengths_and_crowds_and_ignores_boxes(tmp_path):
    from pycocotools.coco import COCO

    done, found = converted(json_labels.COCO, tmp_path)
    shapes = [each for each in json_labels.COCO["annotations"] if "caption" not in each]
    (tmp_path / "shapes.json").write_text(json.dumps(json_labels.COCO | {"annotations": shapes}))
    truth = COCO(str(tmp_path / "shapes.json"))
    expected = truth.annToMask(truth.loadAnns(1)[0]) * 1
    expected[truth.annToMask(truth.loadAnns(2)[0]) == 1] = 2
    expected[box(52, 2, 58, 8)] = 255
    np.testing.assert_array_equal(found["a"], expected)
    crowd = box(40, 30, 50, 38) * 1
    crowd[box(0, 0, 3, 3)] = 255
    np.testing.assert_array_equal(found["b"], crowd)
    assert counted(done) == (
        {"polygon": 1, "run lengths": 1, "crowd": 1},
        {("box", "no outline"): 1, ("keypoints", "no outline"): 1},
        {"not annotated": 1},
    )
    assert done.tally.no_shapes == {"caption": 1}
    assert not done.some_failed


def test_an_image_without_annotations_of_coco_is_background_where_the_user_says_so(tmp_path):
    done, found = converted(json_labels.COCO, tmp_path, empty_as_background=True)
    assert not found["c"].any()
    assert (done.tally.empty, done.tally.written) == (1, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_any_encoding_that_its_byte_order_mark_tells(encoding, tmp_path):
    converted(json_labels.COCO, tmp_path / "plain")
    expected = masks(tmp_path / "plain/new")
    file = tmp_path / "plain/labels/a.json"
    file.write_bytes(json.dumps(json_labels.COCO, indent=1).replace("\n", "\r\n").encode(encoding))
    convert(file, tmp_path / "again")
    np.testing.assert_equal(masks(tmp_path / "again"), expected)
    file.write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(SegnetError, match=r"a.json is no text in utf-8 .*; save it as UTF-8"):
        convert(file, tmp_path / "third")


@pytest.mark.parametrize("place", ["images/train", "train", "images", "."])
def test_coco_finds_the_images_beside_its_folder_of_annotations(place, tmp_path):
    root = tmp_path / "labels"
    (root / "annotations").mkdir(parents=True)
    (root / "annotations/instances_train.json").write_text(json.dumps(json_labels.COCO))
    for letter in "abc":
        photo(root / place / f"{letter}.png")
        photo(root / f"other/{letter}.png", size=(8, 8))
    for number, source in enumerate((root, root / "annotations", root / "annotations/instances_train.json")):
        assert convert(source, tmp_path / f"new/{number}").images == {"": 2}


def test_an_address_in_place_of_a_name_makes_no_folders(tmp_path):
    images = [
        each | {"file_name": f"https://example.org/x/{each['file_name']}"}
        for each in json_labels.COCO["images"]
    ]
    _, found = converted(json_labels.COCO | {"images": images}, tmp_path)
    assert sorted(found) == ["a", "b"]


def coco(change):
    content = copy.deepcopy(json_labels.COCO)
    change(content)
    return content


def edit(*path, value):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


COCO_DIALECTS = {
    "ids as text": lambda c: [each.update(image_id=str(each["image_id"])) for each in c["annotations"]],
    "category ids as text": edit("categories", 0, "id", value="3"),
    "sizes as text": edit("images", 0, "width", value=str(W)),
    "no size": lambda c: [c["images"][0].pop(key) for key in ("width", "height")],
    "one flat polygon": edit("annotations", 4, "segmentation", value=flat(SQUARE)),
    "a polygon of points": edit("annotations", 4, "segmentation", value=SQUARE),
    "an image listed twice": lambda c: c["images"].append(c["images"][0]),
}


@pytest.mark.parametrize("dialect", COCO_DIALECTS)
def test_what_tolerant_readers_of_coco_take_gives_the_same_masks(dialect, tmp_path):
    _, expected = converted(json_labels.COCO, tmp_path / "good")
    _, found = converted(coco(COCO_DIALECTS[dialect]), tmp_path / "other")
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)


MALFORMED = {
    "an unknown category": (edit("annotations", 4, "category_id", value=77), "unknown category 77", "ignored"),  # noqa: E501
    "no polygon": (edit("annotations", 4, "segmentation", value=["x"]), "no list of points", "ignored"),
    "no image": (edit("images", 1, "file_name", value="gone.png"), "gone.png, which is not there", "left out"),  # noqa: E501
    "an image elsewhere": (edit("images", 1, "file_name", value="../secret.png"), "outside the folders", "left out"),  # noqa: E501
    "a huge image": (edit("images", 1, "width", value=20_000), "is labelled as 20000×40", "left out"),
    "one id twice": (edit("images", 1, "id", value=1), "another image has too", "left out"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_entry_refuses_and_with_skip_its_pixels_or_its_image_are_left_out(case, tmp_path):
    photo(tmp_path / "secret.png")
    change, message, effect = MALFORMED[case]
    with pytest.raises(SegnetError, match=message) as caught:
        converted(coco(change), tmp_path)
    assert "--skip" in str(caught.value)
    assert not (tmp_path / "new").exists()
    if case == "one id twice":
        return
    done, found = converted(coco(change), tmp_path, skip=True)
    assert done.some_failed
    if effect == "ignored":
        assert (found["b"][box(40, 30, 50, 38)] == 255).all()
    else:
        assert "b" not in found
    assert done.tally.images_read == 3
    assert done.tally.read.total() == 5


def test_panoptic_files_and_json_min_are_refused_by_name(tmp_path):
    panoptic = json_labels.COCO | {
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}]
    }
    with pytest.raises(SegnetError, match="panoptic segmentation"):
        converted(panoptic, tmp_path)
    minimal = [
        {"image": "a.png", "id": 1, "label": [{"points": OUTLINE}], "annotator": 1, "annotation_id": 1}
    ]
    with pytest.raises(SegnetError, match="export JSON instead"):
        converted(minimal, tmp_path)


def depth_in_box(centre_of_turn, left, top, width, height, degrees):
    """Of each pixel's centre how far it lies inside a turned rectangle."""
    xs, ys = pixel_centres()
    turn, (x, y) = math.radians(degrees), centre_of_turn
    across = math.cos(turn) * (xs - x) + math.sin(turn) * (ys - y) + x
    down = -math.sin(turn) * (xs - x) + math.cos(turn) * (ys - y) + y
    inside = np.minimum(
        np.minimum(across - left, left + width - across), np.minimum(down - top, top + height - down)
    )
    return inside


def test_label_studio_draws_every_region_and_ignores_what_is_no_shape(tmp_path):
    done, found = converted(json_labels.LABEL_STUDIO, tmp_path)
    assert sorted(found) == ["a", "b"]
    assert not found["b"].any(), "an annotation that was submitted empty is background"
    leaf, stem = found["a"] == 1, found["a"] == 2
    assert leaf[BLOB].all()
    assert stem[box(40, 30, 50, 38)].sum() + leaf[box(40, 30, 50, 38)].sum() == 80
    assert done.tally.drawn == {
        "polygonlabels": 1, "rectanglelabels": 1, "ellipselabels": 1, "brushlabels": 1, "polygon": 1,
    }  # fmt: skip
    assert done.tally.left_out == {("polygonlabels", "annotation was skipped"): 1}
    assert done.tally.images_left_out == {"not annotated": 1, "skipped by the annotator": 1}
    assert done.tally.no_shapes == {
        "choices": 1, "relation": 1, "keypointlabels": 1, "predictions": 1, "drafts": 1,
    }  # fmt: skip


def alone(result, **task):
    return [{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [result]}]} | task]


def test_rectangles_of_label_studio_turn_about_their_corner_and_ellipses_about_their_centre(tmp_path):
    _, found = converted(alone(region("rectanglelabels", BOX)), tmp_path / "box")
    x, y, width, height = W * 0.5, H * 0.5, W * 0.2, H * 0.25
    assert agree_away_from_edges(found["a"] == 1, depth_in_box((x, y), x, y, width, height, 30))
    _, found = converted(alone(region("ellipselabels", ELLIPSE)), tmp_path / "ellipse")
    xs, ys = pixel_centres()
    x, y, rx, ry, turn = W * 0.25, H * 0.75, W * 0.2, H * 0.1, math.radians(20)
    across = math.cos(turn) * (xs - x) + math.sin(turn) * (ys - y)
    down = -math.sin(turn) * (xs - x) + math.cos(turn) * (ys - y)
    assert agree_away_from_edges(found["a"] == 1, (1 - np.hypot(across / rx, down / ry)) * ry)


@pytest.mark.parametrize(
    "result",
    [
        region("polygon", {"points": percent(OUTLINE), "labels": ["leaf"]}),
        region("vectorlabels", {"vertices": [{"x": x, "y": y} for x, y in percent(OUTLINE)], "closed": True}),
        region("bitmasklabels", {"imageDataURL": f"data:image/png;base64,{png(box(5, 5, 30, 20))}"}),
        region("polygonlabels", {"points": percent(OUTLINE)}, original_width=None, original_height=None),
    ],
)
def test_other_spellings_of_a_region_of_label_studio_are_drawn_too(result, tmp_path):
    _, found = converted(alone(result), tmp_path)
    np.testing.assert_array_equal(found["a"], box(5, 5, 30, 20))


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (region("polygonlabels", {"points": percent(OUTLINE), "polygonlabels": ["a"]}, image_rotation=90), "turned by 90"),  # noqa: E501
        (region("polygon", {"points": percent(OUTLINE)}), "has no label"),
        (region("polygon", {"points": percent(OUTLINE), "labels": ["a", "b"]}), "has 2 labels"),
        (region("videorectangle", {"sequence": [], "labels": ["a"]}), "is of the type videorectangle"),
    ],
)  # fmt: skip
def test_regions_of_label_studio_that_cannot_be_drawn_are_never_background(result, message, tmp_path):
    content = alone(region("polygonlabels", {"points": percent(SQUARE)}))
    content[0]["annotations"][0]["result"].append(result)
    with pytest.raises(SegnetError, match=message):
        converted(content, tmp_path)
    other = json_labels.LABEL_STUDIO[1] | {"annotations": [{"result": [region("rectanglelabels", BOX)]}]}
    done, found = converted([*content, other], tmp_path, skip=True)
    if "a" in found:
        assert (found["a"][box(5, 5, 30, 20)] == 255).all()
    assert done.tally.read.total() == 3


def test_labelme_draws_every_type_and_counts_what_has_no_area(tmp_path):
    done, found = converted(json_labels.LABELME, tmp_path)
    expected = box(5, 5, 30, 20) * 1
    expected[box(32, 22, 44, 32)] = 2
    expected[box(40, 30, 50, 38)] = 1
    expected[BLOB] = 2
    xs, ys = pixel_centres()
    depth = 7 - np.hypot(xs - 14, ys - 29)
    assert agree_away_from_edges(found["a"] == 2, np.where(depth > -2, depth, np.where(expected == 2, 2, -2)))
    np.testing.assert_array_equal(found["a"][depth < -1], expected[depth < -1])
    assert done.tally.left_out == {("line", "no area"): 1, ("point", "no area"): 1}
    assert done.tally.drawn.total() == 5


def test_images_of_a_folder_that_no_file_of_labelme_labels_are_left_out(tmp_path):
    for name in ("a", "b"):
        photo(tmp_path / f"labels/{name}.png")
    empty = json_labels.LABELME | {"shapes": [], "imagePath": "..\\labels\\b.png"}
    (tmp_path / "labels/b.json").write_bytes(
        b"\xef\xbb\xbf" + json.dumps(empty, indent=1).replace("\n", "\r\n").encode()
    )
    done = convert(tmp_path / "labels", tmp_path / "new")
    assert (done.tally.written, done.tally.empty) == (1, 1)
    assert done.tally.images_left_out == {"not annotated": 1}


def test_the_picture_inside_a_file_of_labelme_is_written_where_none_lies_beside(tmp_path):
    picture = np.random.RandomState(0).randint(0, 255, (H, W, 3), np.uint8)
    content = json_labels.LABELME | {"imagePath": "C:\\photos\\gone.jpg", "imageData": png(picture)}
    content |= {"imageWidth": None, "imageHeight": None}
    converted(content, tmp_path)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new/images/a.png")), picture)


def test_geojson_draws_polygons_with_holes_and_reads_the_class_from_any_usual_place(tmp_path):
    done, found = converted(json_labels.GEOJSON, tmp_path, "a.geojson")
    expected = box(5, 5, 30, 20) * 1
    expected[box(10, 10, 20, 15)] = 2  # the hole, and what QuPath calls seed lies in it
    expected[box(40, 30, 50, 38) | box(52, 2, 58, 8)] = 3
    np.testing.assert_array_equal(found["a"], expected)
    assert [*done.pixels] == ["background", "leaf", "seed", "stem"]
    assert done.tally.left_out == {("Point", "no area"): 1}
    assert done.tally.no_shapes == {"feature without a place": 1}
    without = json_labels.GEOJSON | {"features": json_labels.GEOJSON["features"][:1]}
    _, found = converted(without, tmp_path / "hole", "a.geojson")
    np.testing.assert_array_equal(found["a"], box(5, 5, 30, 20) & ~box(10, 10, 20, 15))
    _, found = converted(without["features"], tmp_path / "list", "a.json")
    assert found["a"].sum() == 375 - 50


def test_geojson_of_a_map_is_refused(tmp_path):
    content = json_labels.GEOJSON | {"crs": {"type": "name", "properties": {"name": "EPSG:4326"}}}
    with pytest.raises(SegnetError, match="coordinates of a map"):
        converted(content, tmp_path, "a.geojson")


def test_polygons_of_every_format_are_filled_as_brute_force_does(tmp_path):
    random = np.random.RandomState(4)
    points = random.uniform(3, 37, (7, 2)).round(1).tolist()
    picture = Image.new("1", (W * 8, H * 8))
    ImageDraw.Draw(picture).polygon([(x * 8, y * 8) for x, y in points], fill=1)
    covered = np.asarray(picture).reshape(H, 8, W, 8).mean((1, 3))
    contents = {
        "coco.json": json_labels.COCO | {"annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [flat(points)]}]},
        "a.json": json_labels.LABELME | {"shapes": [{"label": "leaf", "points": points, "shape_type": "polygon"}]},  # noqa: E501
        "a.geojson": {"type": "FeatureCollection", "features": [feature("Polygon", [points], **{"class": "leaf"})]},  # noqa: E501
        "export.json": alone(region("polygonlabels", {"points": percent(points)})),
    }  # fmt: skip
    for name, content in contents.items():
        _, found = converted(content, tmp_path / name, name)
        assert found["a"][covered == 1].all(), name
        assert not found["a"][covered == 0].any() or name, name
        assert (found["a"] != (covered > 0.5)).mean() < 0.02, name
