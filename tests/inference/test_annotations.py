"""Regions against a flood fill, outlines against areas, and annotations against the tools that read them."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from segnet import SegnetError
from segnet.base.classes import ClassTable
from segnet.inference.annotations import AnnotationWriter
from segnet.inference.predict_files import Page
from segnet.inference.regions import find_regions, outline
from segnet.inference.segmentation import Segmentation

CLASSES = ClassTable.named(("background", "leaf", "stem"))


def blobs(seed, side=48, classes=3):
    """Irregular regions with holes, of all classes."""
    coarse = np.random.RandomState(seed).randint(0, classes, (side // 4, side // 4)).astype(np.uint8)
    grown = np.kron(coarse, np.ones((4, 4), np.uint8))
    speckles = np.random.RandomState(seed + 1).rand(side, side) < 0.03
    grown[speckles] = (grown[speckles] + 1) % classes
    return grown


def result_of(mask):
    """A prediction of exactly this mask."""
    logits = (mask[None] == np.arange(3, dtype=np.uint8)[:, None, None]).astype(np.float32)
    return Segmentation(Image.new("RGB", mask.shape[::-1]), CLASSES, logits)


def flood(mask, row, column):
    """The pixels that touch this one by sides or corners and have its value."""
    value, found, waiting = mask[row, column], set(), [(row, column)]
    while waiting:
        y, x = waiting.pop()
        inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        if inside and (y, x) not in found and mask[y, x] == value:
            found.add((y, x))
            waiting += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return found


@pytest.mark.parametrize("seed", range(4))
def test_regions_are_those_of_a_flood_fill(seed):
    mask = blobs(seed, 24)
    expected = {}
    for row, column in zip(*np.nonzero(mask), strict=True):
        if not any((row, column) in pixels for pixels in expected):
            expected[frozenset(flood(mask, row, column))] = int(mask[row, column])
    found = list(find_regions(mask, CLASSES))
    assert len(found) == len(expected)
    for region in found:
        left, top, _, _ = region.box
        pixels = frozenset((int(y) + top, int(x) + left) for y, x in np.argwhere(region.shape))
        assert expected.pop(pixels) == region.class_id
        ys, xs = np.array(sorted(pixels)).T
        assert region.area_px == len(pixels)
        assert region.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert region.centroid == pytest.approx((xs.mean() + 0.5, ys.mean() + 0.5))
    assert expected == {}


def test_small_regions_and_the_background_are_left_out():
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = 1
    mask[4:7, 4:7] = 2
    assert [region.class_name for region in find_regions(mask, CLASSES)] == ["leaf", "stem"]
    assert [region.area_px for region in result_of(mask).regions(least_px=2)] == [9]
    assert list(find_regions(np.full((4, 4), 255, np.uint8), CLASSES)) == []
    with pytest.raises(SegnetError, match="at least one pixel"):
        list(find_regions(mask, CLASSES, least_px=0))


def area(ring):
    x, y = np.array([*ring, ring[0]]).T
    return abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), side=st.sampled_from([8, 24, 48]))
def test_an_exact_outline_has_the_regions_area_holes_and_all(seed, side):
    for region in find_regions(blobs(seed, side), CLASSES):
        polygons = outline(region)
        total = sum(area(each.outline) - sum(map(area, each.holes)) for each in polygons)
        assert total == region.area_px
        left, top, right, bottom = region.box
        points = np.concatenate([each.outline for each in polygons])
        assert (points.min(0).tolist(), points.max(0).tolist()) == ([left, top], [right, bottom])


def test_a_simplified_outline_stays_within_its_tolerance_and_has_fewer_points():
    image = Image.new("L", (200, 200))
    ImageDraw.Draw(image).ellipse((20, 30, 170, 150), fill=1)
    (region,) = find_regions(np.asarray(image), CLASSES)
    (exact,), (simple,) = outline(region), outline(region, tolerance_px=1)
    assert len(simple.outline) < len(exact.outline) / 3
    drawn = Image.new("L", (200, 200))
    ImageDraw.Draw(drawn).polygon(simple.outline, fill=1)
    assert abs(area(simple.outline) - region.area_px) < 0.01 * region.area_px
    (speck,) = find_regions(np.eye(1, dtype=np.uint8), CLASSES)
    assert area(outline(speck, tolerance_px=50)[0].outline) == 1


def write(format_, masks, folder, **options):
    writer = AnnotationWriter(format_, folder, CLASSES, **options)
    for number, mask in enumerate(masks):
        writer.keep(writer.describe(result_of(mask), Page(Path(f"photos/{number}.jpg"), f"deep/{number}")))
    writer.finish()


def test_coco_annotations_are_masks_again_in_pycocotools(tmp_path):
    from pycocotools.coco import COCO

    masks = [blobs(seed) for seed in range(3)]
    write("coco", masks, tmp_path, tolerance_px=0)
    coco = COCO(str(tmp_path / "annotations.json"))
    names = {entry["id"]: entry["name"] for entry in coco.loadCats(coco.getCatIds())}
    assert names == {1: "leaf", 2: "stem"}
    for image in coco.loadImgs(coco.getImgIds()):
        mask = masks[image["id"] - 1]
        assert (image["file_name"], image["height"], image["width"]) == (
            f"photos/{image['id'] - 1}.jpg",
            48,
            48,
        )
        again = np.zeros_like(mask)
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            drawn = coco.annToMask(entry)
            assert drawn.sum() == entry["area"]
            again[drawn == 1] = CLASSES.names.index(names[entry["category_id"]])
            x, y, width, height = entry["bbox"]
            ys, xs = np.nonzero(drawn)
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (x, y, x + width, y + height)
        np.testing.assert_array_equal(again, mask)


def test_simplified_coco_annotations_keep_the_area_within_a_hundredth(tmp_path):
    from pycocotools.coco import COCO

    image = Image.new("L", (400, 300))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 30, 170, 150), fill=1)
    draw.polygon([(200, 40), (380, 80), (300, 250), (220, 180)], fill=2)
    write("coco", [np.asarray(image)], tmp_path, tolerance_px=1)
    coco = COCO(str(tmp_path / "annotations.json"))
    for entry in coco.loadAnns(coco.getAnnIds()):
        assert len(entry["segmentation"][0]) < 80
        assert int(coco.annToMask(entry).sum()) == pytest.approx(entry["area"], rel=0.01)


def test_labelme_shapes_are_polygons_and_those_with_holes_masks(tmp_path):
    mask = np.zeros((40, 40), np.uint8)
    mask[2:12, 3:9] = 1
    mask[20:34, 20:34] = 2
    mask[25:28, 25:30] = 0
    write("labelme", [mask], tmp_path, tolerance_px=0)
    content = json.loads((tmp_path / "deep/0.json").read_text())
    assert (content["imageHeight"], content["imageWidth"], content["imageData"]) == (40, 40, None)
    assert (tmp_path / "deep" / content["imagePath"]).resolve() == Path("photos/0.jpg").resolve()
    polygon, holed = content["shapes"]
    assert (polygon["label"], polygon["shape_type"]) == ("leaf", "polygon")
    assert sorted(polygon["points"]) == [[3, 2], [3, 12], [9, 2], [9, 12]]
    assert (holed["label"], holed["shape_type"], holed["points"]) == ("stem", "mask", [[20, 20], [33, 33]])
    stored = np.asarray(Image.open(io.BytesIO(base64.b64decode(holed["mask"]))))
    np.testing.assert_array_equal(stored, mask[20:34, 20:34] == 2)


def test_geojson_is_read_back_by_shapely_with_its_holes(tmp_path):
    from shapely.geometry import shape

    mask = blobs(5)
    write("geojson", [mask], tmp_path, tolerance_px=0)
    content = json.loads((tmp_path / "deep/0.geojson").read_text())
    total = dict.fromkeys(CLASSES.names, 0)
    for feature in content["features"]:
        geometry = shape(feature["geometry"])
        assert geometry.is_valid
        assert geometry.area == feature["properties"]["area"]
        total[feature["properties"]["class"]] += geometry.area
    assert total == {"background": 0, "leaf": (mask == 1).sum(), "stem": (mask == 2).sum()}


@pytest.mark.parametrize(
    ("option", "message"), [({"tolerance_px": -1}, "--tolerance"), ({"format_": "voc"}, "coco")]
)
def test_what_annotations_cannot_be_is_refused(option, message, tmp_path):
    with pytest.raises(SegnetError, match=message):
        write(**{"format_": "coco", "masks": [], "folder": tmp_path} | option)
