"""Class tables: what the ids of a mask are called and look like."""

import numpy as np
import pytest

from segnet import ClassTable, SegnetError
from segnet.base.colours import distinct_colours


def test_a_mask_is_painted_in_the_colours_of_its_classes_and_white_elsewhere():
    table = ClassTable(("background", "pet"), ((0, 0, 0), (200, 10, 20)))
    picture = table.paint(np.array([[0, 1, 255, 2]], np.uint8))
    assert picture.tolist() == [[[0, 0, 0], [200, 10, 20], [255, 255, 255], [255, 255, 255]]]
    assert picture.dtype == np.uint8


def test_a_table_from_names_has_a_colour_for_each():
    table = ClassTable.named(["pet", "background", "border"])
    assert len(table) == len(table.colours) == 3
    assert table.ignore_index == 255


@pytest.mark.parametrize(
    ("names", "colours", "says"),
    [
        ((), (), "1 to 255 classes, this one has 0"),
        ([str(index) for index in range(256)], distinct_colours(256), "this one has 256"),
        (("cat", "dog", "cat"), distinct_colours(3), "class names must differ: cat, dog, cat"),
        (("cat", "dog"), distinct_colours(3), "2 classes need as many colours, got 3"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(names, colours, says):
    with pytest.raises(SegnetError, match=says):
        ClassTable(tuple(names), colours)


def test_more_names_than_a_mask_has_values_are_refused_before_they_are_coloured():
    with pytest.raises(SegnetError, match="1 to 255 classes, this one has 300"):
        ClassTable.named([str(index) for index in range(300)])


def test_a_background_is_dark_and_the_others_have_the_first_colours():
    table = ClassTable.named(("leaf", "background", "stem"))
    assert [sum(colour) < 200 for colour in table.colours] == [False, True, False]
    assert (table.colours[0], table.colours[2]) == distinct_colours(2)
