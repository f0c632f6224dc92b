"""Colours: the palette, one for each class, and colours as numbers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from segnet.base import colours
from segnet.base.colours import distinct_colours, hex_code, oklab, pack, unpack

COLOURS = [(0, 0, 0), (255, 255, 255), (1, 2, 3), (86, 180, 233), (255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ORANGE", "#E69F00"),
        ("SKY_BLUE", "#56B4E9"),
        ("BLUISH_GREEN", "#009E73"),
        ("YELLOW", "#F0E442"),
        ("BLUE", "#0072B2"),
        ("VERMILION", "#D55E00"),
        ("REDDISH_PURPLE", "#CC79A7"),
    ],
)
def test_the_palette_is_the_published_one(name, code):
    assert hex_code(getattr(colours, name)) == code.lower()


@pytest.mark.parametrize("count", [1, 3, 7, 8, 40, 255])
def test_colours_of_our_choice_all_differ_and_none_is_the_white_of_no_class(count):
    chosen = distinct_colours(count)
    assert len(set(chosen)) == count
    assert (255, 255, 255) not in chosen


def cielab(colours):
    """CIE 1976 L*a*b* under D65, from sRGB."""
    share = np.array(colours) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / (0.95047, 1.0, 1.08883)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


@pytest.mark.parametrize(("count", "apart"), [(11, 25), (21, 25), (150, 10)])
def test_the_eye_tells_classes_apart(count, apart):
    # 2.3 is just noticeable; golden-ratio steps of hue had 3.4, 3.4 and 0.8
    places = cielab([*distinct_colours(count), (255, 255, 255)])
    distance = np.linalg.norm(places[:, None] - places, axis=2) + 1000 * np.eye(count + 1)
    assert distance.min() > apart


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 0, 0)])
def test_oklab_has_the_published_values(colour):
    expected = {
        (255, 255, 255): (1, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (255, 0, 0): (0.6279554, 0.2248631, 0.1258463),
    }[colour]
    assert oklab(np.array(colour, np.uint8)) == pytest.approx(expected, abs=1e-4)


def test_the_first_colours_stay_when_classes_are_added():
    assert distinct_colours(20)[:3] == distinct_colours(3)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_colour_is_the_same_as_a_number_and_as_text(colour):
    number = int(pack(np.array(colour, np.uint8)))
    assert unpack(number) == colour
    assert hex_code(colour) == f"#{number:06x}" == to_hex([value / 255 for value in colour])


def test_a_picture_becomes_a_number_for_each_pixel():
    picture = np.array([COLOURS[:3], COLOURS[3:6]], np.uint8)
    numbers = pack(picture)
    assert numbers.dtype == np.uint32
    assert [[unpack(number) for number in row] for row in numbers.tolist()] == [COLOURS[:3], COLOURS[3:6]]
