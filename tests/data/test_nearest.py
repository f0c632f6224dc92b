"""Soft and lossy masks against known truth: shapes drawn large, so that each pixel's class is certain."""

import io

import numpy as np
import pytest
from PIL import Image

from segnet.base.colours import pack
from segnet.data.faults import Fault
from segnet.data.images.reading import decode
from segnet.data.masks.mask_code import MaskCode
from segnet.data.masks.nearest_class import DISTANCE, Known, areas, look_at_unknown, nearest_classes, solid
from segnet.data.masks.stored_values import Stored

SIDE, SCALE = 160, 8
GREY = {
    "two": [0, 255],
    "three": [0, 128, 255],
    "three in another order": [128, 0, 255],
    "four": [0, 85, 170, 255],
}
COLOURED = {
    "two colours": [(0, 0, 0), (200, 30, 60)],
    "a colour between two": [(0, 0, 0), (255, 0, 0), (128, 0, 0)],
    "four colours": [(0, 0, 0), (200, 30, 60), (20, 180, 90), (240, 220, 40)],
    "black, grey and white": [(0, 0, 0), (255, 255, 255), (128, 128, 128)],
}
TABLES = GREY | COLOURED


def shapes(classes):
    """Large discs and a box that touch each other, as ids; 8 times as large as masks are."""
    rows, columns = (np.mgrid[: SIDE * SCALE, : SIDE * SCALE] + 0.5) / SCALE
    mask = np.zeros((SIDE * SCALE, SIDE * SCALE), np.uint8)
    for number, (row, column, radius) in enumerate(
        [(45, 45, 30), (110, 60, 34), (60, 110, 28), (120, 125, 25)]
    ):
        mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = number % (classes - 1) + 1
    mask[(rows > 70.3) & (rows < 95.6) & (columns > 80.2) & (columns < 140.7)] = classes - 1
    return mask


def truth_of(large):
    """The class that has most of each pixel."""
    blocks = large.reshape(SIDE, SCALE, SIDE, SCALE)
    counts = [(blocks == class_id).sum((1, 3)) for class_id in range(large.max() + 1)]
    return np.argmax(counts, axis=0).astype(np.uint8)


def jpeg(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return Image.open(stream)


LOSSES = {
    "anti-aliased": lambda table, large, small: Image.fromarray(table[large]).resize((SIDE, SIDE), 4),
    "enlarged smoothly": lambda table, large, small: (
        Image.fromarray(table[large]).resize((SIDE // 2, SIDE // 2), 4).resize((SIDE, SIDE), 2)
    ),
    "JPEG": lambda table, large, small: jpeg(Image.fromarray(table[small]), quality=85),
    "JPEG, poor": lambda table, large, small: jpeg(Image.fromarray(table[small]), quality=50),
    "JPEG of anti-aliased": lambda table, large, small: jpeg(
        Image.fromarray(table[large]).resize((SIDE, SIDE), 4), quality=85
    ),
    "JPEG as PNG": lambda table, large, small: Image.fromarray(
        np.asarray(jpeg(Image.fromarray(table[small]), quality=85))
    ),
}


def stored(image):
    pixels = np.asarray(image)
    return pack(pixels) if pixels.ndim == 3 else pixels


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("table", TABLES)
def test_each_pixel_becomes_its_class_again(table, loss):
    entries = np.array(TABLES[table], np.uint8)
    large = shapes(len(entries))
    truth = truth_of(large)
    image = LOSSES[loss](entries, large, truth)
    ids = {int(number): i for i, number in enumerate(stored(entries[None])[0])}
    known = Known(ids | ({255: 255} if 255 not in ids else {}), in_colour=table in COLOURED)
    found = nearest_classes(stored(image), known)
    worst = min(
        ((found == i) & (truth == i)).sum() / ((found == i) | (truth == i)).sum() for i in range(len(entries))
    )
    limit = 0.97 if loss == "enlarged smoothly" else 0.99  # of half the size
    if table in COLOURED and "JPEG" in loss:
        limit = 0.97  # of chroma every second pixel is kept
    assert worst > limit
    # no rim of a third class between two others
    assert {*np.unique(found).tolist()} == {*range(len(entries))}


def test_no_rim_of_another_class_lies_between_two_that_meet():
    mask = np.zeros((40, 40), np.uint8)
    mask[:, 20:] = 255
    mask[4:8, 4:8] = 128
    soft = np.asarray(Image.fromarray(mask).resize((160, 160), Image.Resampling.BICUBIC))
    found = nearest_classes(soft, Known({0: 0, 128: 1, 255: 2}, in_colour=False))
    assert not (found[60:] == 1).any()  # where 0 and 255 alone meet, and 128 is passed
    assert (found[18:30, 18:30] == 1).all()
    assert (found[60:, :79] == 0).all()
    assert (found[60:, 81:] == 2).all()
    by_value = np.abs(soft[60:, :, None].astype(int) - [0, 128, 255]).argmin(2)
    assert (by_value == 1).any()  # which is what the nearest value would give


def test_a_thin_line_of_a_class_stays_in_another_class():
    mask = np.zeros((60, 60), np.uint8)
    mask[30] = 128
    mask[40:] = 255
    mask[39] = 200  # a soft edge, so that there is something to move
    found = nearest_classes(mask, Known({0: 0, 128: 1, 255: 2}, in_colour=False))
    assert (found[30] == 1).all()


def neighbours_alike(numbers):
    """Brute force: every pixel beside its four neighbours."""
    height, width = numbers.shape
    found = np.zeros(numbers.shape, bool)
    for row in range(height):
        for column in range(width):
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            inside = [(a, b) for a, b in around if 0 <= a < height and 0 <= b < width]
            found[row, column] = all(numbers[place] == numbers[row, column] for place in inside)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_solid_pixels_are_those_whose_neighbours_are_alike(seed):
    random = np.random.RandomState(seed)
    numbers = np.kron(random.randint(0, 4, (6, 7)), np.ones((3, 2), int))[: 18 - seed, : 14 - seed]
    np.testing.assert_array_equal(solid(numbers), neighbours_alike(numbers))
    assert areas(numbers).keys() <= {*np.unique(numbers).tolist()}


def disc(radius=20, value=255, side=64):
    rows, columns = np.mgrid[:side, :side]
    return np.where((rows - 32) ** 2 + (columns - 32) ** 2 < radius**2, value, 0).astype(np.uint8)


def with_box(mask, value):
    changed = mask.copy()
    changed[2:9, 2:9] = value
    return changed


def with_line(mask, value):
    changed = mask.copy()
    changed[3, 2:60] = value
    return changed


TWO = Known({0: 0, 255: 1}, in_colour=False)
SOFT = np.asarray(Image.fromarray(disc(160, side=64)).resize((64, 64)))


@pytest.mark.parametrize(
    ("mask", "areas", "is_soft"),
    [
        (with_box(disc(), 1), [1], False),  # numbered 0, 1, 255 in truth
        (with_box(disc(), 128), [128], False),
        (with_box(with_box(disc(), 3), 254), [254], False),
        (with_line(disc(), 7), [], False),
        (np.asarray(Image.fromarray(disc()).resize((128, 128), Image.Resampling.BILINEAR)), [], True),
        (np.asarray(jpeg(Image.fromarray(disc()), quality=80)), [], True),
        (np.minimum(np.asarray(jpeg(Image.fromarray(disc()), quality=80)), 254), [], True),
        (with_box(np.asarray(Image.fromarray(disc()).resize((128, 128), 2)), 90), [90], False),
    ],
    ids=["ids", "area", "void", "line", "soft", "noise", "noise around 254", "soft and an area"],
)
def test_forgotten_classes_are_told_from_edges(mask, areas, is_soft):
    unknown = [value for value in np.unique(mask).tolist() if value not in (0, 255)]
    assert look_at_unknown(mask, TWO, unknown) == (areas, is_soft)


VALUES = MaskCode(((0, 0), (255, 1)))


@pytest.mark.parametrize(("mode", "suffix"), [("L", ".jpg"), ("RGB", ".jpg"), ("RGB", ".webp")])
def test_what_a_lossy_mask_reads_as_is_counted(suffix, mode, tmp_path):
    file = tmp_path / f"mask{suffix}"
    Image.fromarray(disc(26)).convert(mode).save(file, quality=97)
    code = MaskCode(((0, 0), (255, 1)), (((0, 0, 0), 0), ((255, 255, 255), 1)))
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    differ = np.minimum(pixels.max(2), (255 - pixels).max(2))
    if differ.max() > DISTANCE:
        with pytest.raises(Fault, match="values that are no class"):
            code.read(file)
        return
    reading = code.reading(Stored.of_file(file), file)
    assert reading.moved == (differ > 0).sum() > 0
    np.testing.assert_array_equal(code.read(file), pixels.mean(2) > 127)
    assert reading.counts == dict(enumerate(np.bincount(code.read(file).ravel())))


def test_a_lossy_mask_keeps_values_that_are_far_from_every_class_an_error(tmp_path):
    mask = with_box(disc(), 128)
    Image.fromarray(mask).save(tmp_path / "mask.jpg", quality=95)
    with pytest.raises(Fault, match=r"holds the value 1\d\d \(\d+ pixels\)") as caught:
        VALUES.read(tmp_path / "mask.jpg")
    assert caught.value.kind == "unknown-value"


def test_a_lossless_mask_is_taken_at_its_word(tmp_path):
    Image.fromarray(with_box(disc(), 254)).save(tmp_path / "mask.png")
    with pytest.raises(Fault, match="holds the value 254") as caught:
        VALUES.read(tmp_path / "mask.png")
    assert caught.value.kind == "unknown-value"


def test_lossless_webp_holds_ids(tmp_path):
    mask = disc(value=1)
    Image.fromarray(mask).convert("RGB").save(tmp_path / "mask.webp", lossless=True, exact=True)
    code = MaskCode(((0, 0), (1, 1), (255, 255)))
    assert not Stored.of_file(tmp_path / "mask.webp").is_lossy
    np.testing.assert_array_equal(code.read(tmp_path / "mask.webp"), mask)
    assert decode(tmp_path / "mask.webp").format == "WEBP"


def test_a_class_reaches_no_further_than_a_quarter_of_the_way_to_the_next():
    known = Known({0: 0, 40: 1, 200: 2, 210: 255}, in_colour=False)
    assert known.reach.tolist() == [10, 10, 24, 2]
    within = known.within_reach([0, 10, 11, 30, 50, 176, 175, 224, 225, 211])
    assert within.tolist() == [0, 0, -1, 1, 1, 2, -1, 2, -1, 3]
