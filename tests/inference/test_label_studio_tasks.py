"""Label Studio's tasks: brushes against its bit stream, polygons against pixels that they were drawn of."""

import xml.etree.ElementTree as ElementTree

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from segnet.base.classes import ClassTable
from segnet.data.labels.label_studio import decode_brush
from segnet.inference.label_studio_tasks import configuration, encode_brush, task_of
from segnet.inference.regions import find_regions, outline


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_brush_is_read_back_as_it_was(width, height, seed, share):
    painted = np.random.default_rng(seed).random((height, width)) < share
    np.testing.assert_array_equal(decode_brush(encode_brush(painted), (width, height)), painted)


def test_a_run_longer_than_its_number_of_bits_is_cut():
    painted = np.zeros((300, 400), np.bool_)
    painted[10:290] = True
    stream = encode_brush(painted)
    np.testing.assert_array_equal(decode_brush(stream, (400, 300)), painted)
    assert len(stream) < 100
    assert all(0 <= byte <= 255 for byte in stream)


def test_a_short_stream_bit_by_bit():
    """Two pixels, the second painted: 8 values of 8 bits, widths of 2, 4, 8 and 16, and two runs of 4."""
    bits = f"{8:032b}" + f"{7:05b}" + "0001" + "0011" + "0111" + "1111"
    bits += "1" + "00" + "11" + "00000000" + "1" + "00" + "11" + "11111111"
    bits += "0" * (-len(bits) % 8)
    assert encode_brush(np.array([[False, True]])) == [
        int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)
    ]


def test_a_task_holds_polygons_in_per_cent_and_brushes_where_there_are_holes():
    classes = ClassTable.named(("background", "leaf", "stem"))
    mask = np.zeros((50, 40), np.uint8)
    mask[5:20, 4:30] = 1
    mask[30:45, 10:30] = 2
    mask[35:40, 15:20] = 0
    regions = list(find_regions(mask, classes))
    outlined = [(region, outline(region)) for region in regions]
    task = task_of("a/b.jpg", outlined, (40, 50), "segnet")
    assert task["data"] == {"image": "/data/local-files/?d=a/b.jpg"}
    polygon, brush = task["predictions"][0]["result"]
    assert (polygon["type"], polygon["value"]["polygonlabels"]) == ("polygonlabels", ["leaf"])
    drawn = Image.new("1", (40, 50))
    points = [(x * 40 / 100, y * 50 / 100) for x, y in polygon["value"]["points"]]
    ImageDraw.Draw(drawn).rectangle((*np.min(points, 0), *np.max(points, 0) - 1), fill=1)
    np.testing.assert_array_equal(np.asarray(drawn), mask == 1)
    assert (brush["type"], brush["value"]["brushlabels"]) == ("brushlabels", ["stem"])
    np.testing.assert_array_equal(decode_brush(brush["value"]["rle"], (40, 50)), mask == 2)
    assert len({each["id"] for each in (polygon, brush)}) == 2


def test_a_configuration_has_each_class_but_the_background_whatever_its_name():
    root = ElementTree.fromstring(configuration(ClassTable.named(("background", 'a "b" <c> & d', "leaf"))))
    for kind in ("PolygonLabels", "BrushLabels"):
        labels = root.find(kind)
        assert labels.get("toName") == root.find("Image").get("name")
        assert [each.get("value") for each in labels] == ['a "b" <c> & d', "leaf"]
