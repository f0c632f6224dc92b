"""Masks whose values nothing explains: the hints of ``data check`` are followed, and lead to a training."""

import io
import re
from functools import cache

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from segnet import SegnetError, TrainConfig
from segnet.data.check.inspect_folder import inspect_folder
from segnet.data.check.repair import write_repaired
from segnet.data.folder import load_folder
from segnet.training.setup import build

SIDE = 64
COLOURS = ((0, 0, 0), (200, 30, 60), (20, 180, 90), (60, 80, 220), (240, 220, 40))


@cache
def drawn(number, classes, *, scale=1, objects=6):
    """Discs of classes 1, 2 .. on the background 0, as ids ``(H, W)``; larger by ``scale``."""
    random = np.random.RandomState(number)
    rows, columns = (np.mgrid[: SIDE * scale, : SIDE * scale] + 0.5) / scale
    mask = np.zeros((SIDE * scale, SIDE * scale), np.uint8)
    for each in range(max(objects, classes - 1)):
        row, column, radius = random.randint(8, SIDE - 8), random.randint(8, SIDE - 8), random.randint(8, 16)
        mask[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = each % (classes - 1) + 1
    mask.setflags(write=False)
    return mask


def softened(number, table):
    """The same shapes with smooth edges, in the values or colours of a table."""
    large = np.array(table, np.uint8)[drawn(number, len(table), scale=8)]
    return Image.fromarray(large).resize((SIDE, SIDE), Image.Resampling.BOX)


def fill(root, masks, suffix=".png", **saved_as):
    """Write masks with an image of noise for each."""
    for number, mask in enumerate(masks):
        split = "train" if number < len(masks) * 3 // 4 else "val"
        for part in ("images", "masks"):
            (root / split / part).mkdir(parents=True, exist_ok=True)
        picture = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        picture.save(root / split / "masks" / f"{number}{suffix}", **saved_as)
        noise = np.random.RandomState(1000 + number).randint(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(noise).resize(picture.size, 0).save(root / split / "images" / f"{number}.png")
    return root


def valued(table, count=12):
    """Masks of these values or colours, one for each class."""
    kind = np.uint16 if np.max(table) > 255 else np.uint8
    return [np.array(table, kind)[drawn(number, len(table))] for number in range(count)]


def in_rgb(masks):
    return [Image.fromarray(mask).convert("RGB") for mask in masks]


def through_jpeg(masks):
    streams = [io.BytesIO() for _ in masks]
    for mask, stream in zip(masks, streams, strict=True):
        (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(stream, "JPEG", quality=90)
    return [Image.fromarray(np.asarray(Image.open(stream))) for stream in streams]


def coloured_instances():
    table = np.random.RandomState(7).randint(1, 255, (400, 3)).astype(np.uint8)
    table[0] = 0
    return [table[mask] for mask in instances(30, first=2, kind=np.uint16)]


def with_void(table, void):
    masks = valued(table)
    for mask in masks:
        mask[:5] = void
    return masks


def in_palette(*tables):
    masks = [Image.fromarray(drawn(number, 3)) for number in range(12)]
    for number, mask in enumerate(masks):
        mask.putpalette([channel for colour in tables[number % len(tables)] for channel in colour])
    return masks


def shuffled_palettes():
    masks = in_palette(COLOURS[:3])
    order = [2, 0, 1]
    masks[3] = masks[3].remap_palette(order)
    return masks


def instances(count=14, *, first=1, kind=np.uint8, void=None):
    """Squares of which each has a number of its own: from 1 up in each mask, or on from mask to mask."""
    masks, number = [], first
    for each in range(count):
        mask = np.zeros((SIDE, SIDE), kind)
        number = 1 if first == 1 else number
        for place in range(3 + each * 5 % 11):
            mask[place // 4 * 15 + 2 :, place % 4 * 15 + 2 :][:12, :12] = number
            number += 1
        if void is not None:
            mask[-2:] = void
        masks.append(mask)
    return masks


def advised(remedy):
    """Return what a remedy has in quotes and a dataset.yaml could hold."""
    quoted = re.findall(r"'([^']*)'", remedy)
    return [each for each in quoted if isinstance(yaml.safe_load(each), dict)]


def followed(root, tmp_path):
    """Do what the first hint says until nothing is wrong: paste its line, and else copy with --fix."""
    said = []
    for step in range(3):
        found = inspect_folder(root)
        if not found.errors:
            return root, found, said
        remedy = found.errors[0].remedy
        said.append(str(found.errors[0]))
        description = root / "dataset.yaml"
        pasted = advised(remedy)
        if pasted and not (step and "--fix" in remedy):
            text = description.read_text() if description.exists() else ""
            description.write_text(f"{text}\n{pasted[0]}\n")
        else:
            assert "--fix" in remedy, remedy
            write_repaired(found, tmp_path / f"fixed{step}")
            root = tmp_path / f"fixed{step}"
    raise AssertionError(said)


def starts_training(root):
    config = TrainConfig(
        data=str(root),
        size=32,
        model="segnet-basic",
        model_options={"channels": 8},
        batch_size=4,
        recipe="article",
    )
    return build(config, Console(quiet=True))


# name: (masks, suffix, how they are saved, classes that the hints lead to)
MASKS = {
    "0 and 255": (lambda: valued([0, 255]), ".png", {}, 2),
    "0 and 1": (lambda: valued([0, 1]), ".png", {}, 2),
    "0, 128 and 255": (lambda: valued([0, 128, 255]), ".png", {}, 3),
    "0, 7, 33 and ignored 255": (lambda: with_void([0, 7, 33], 255), ".png", {}, 3),
    "1, 2 and 3": (lambda: valued([1, 2, 3]), ".png", {}, 3),
    "twelve values": (lambda: valued(range(0, 240, 20)), ".png", {}, 12),
    "0, 1 and 7": (lambda: valued([0, 1, 7]), ".png", {}, 3),
    "ids in grey RGB": (lambda: in_rgb(valued([0, 1, 2])), ".png", {}, 3),
    "0 and 255 in RGB": (lambda: in_rgb(valued([0, 255])), ".png", {}, 2),
    "two colours": (lambda: valued(COLOURS[1:3]), ".png", {}, 2),
    "five colours": (lambda: valued(COLOURS), ".png", {}, 5),
    "a palette": (lambda: in_palette(COLOURS[:3]), ".png", {}, 3),
    "palettes in two orders": (shuffled_palettes, ".png", {}, 3),
    "16 bits": (lambda: valued([0, 1000, 40_000]), ".png", {}, 3),
    "instances from 1 up": (instances, ".png", {}, 2),
    "instances with ignored 255": (lambda: instances(void=255), ".png", {}, 2),
    "instances on from mask to mask": (lambda: instances(first=2), ".png", {}, 2),
    "instances beyond 255": (lambda: instances(40, first=2, kind=np.uint16), ".png", {}, 2),
    "instances of thousands": (lambda: instances(40, first=24_001, kind=np.uint16), ".png", {}, 2),
    "soft edges": (lambda: [softened(n, [0, 255]) for n in range(12)], ".png", {}, 2),
    "soft edges of three": (lambda: [softened(n, [0, 128, 255]) for n in range(12)], ".png", {}, 3),
    "soft edges in RGB": (
        lambda: [softened(n, [0, 255]).convert("RGB") for n in range(12)],
        ".png",
        {},
        2,
    ),
    "soft edges of colours": (lambda: [softened(n, COLOURS[:3]) for n in range(12)], ".png", {}, 3),
    "JPEG in grey": (lambda: valued([0, 255]), ".jpg", {"quality": 92}, 2),
    "JPEG in RGB": (
        lambda: in_rgb(valued([0, 255])),
        ".jpeg",
        {"quality": 92},
        2,
    ),
    "JPEG with soft edges": (lambda: [softened(n, [0, 255]) for n in range(12)], ".jpg", {"quality": 75}, 2),
    "JPEG of colours": (lambda: valued(COLOURS[:2]), ".jpg", {"quality": 90, "subsampling": 0}, 2),
    "JPEG of four colours": (lambda: valued(COLOURS[:4]), ".jpg", {"quality": 90}, 4),
    "JPEG of three": (lambda: valued([0, 128, 255]), ".jpg", {"quality": 90}, 3),
    "PNG of a JPEG": (lambda: through_jpeg(valued([0, 255])), ".png", {}, 2),
    "PNG of a JPEG in RGB": (lambda: through_jpeg(in_rgb(valued([0, 255]))), ".png", {}, 2),
    "instances in colours": (coloured_instances, ".png", {}, 2),
    "WebP": (lambda: in_rgb(valued([0, 255])), ".webp", {}, 2),
    "lossless WebP": (
        lambda: in_rgb(valued([0, 1, 2])),
        ".webp",
        {"lossless": True, "exact": True},
        3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MASKS)
def test_following_the_hints_leads_to_a_training(case, tmp_path):
    masks, suffix, saved_as, classes = MASKS[case]
    root, found, said = followed(fill(tmp_path / "data", masks(), suffix, **saved_as), tmp_path)
    assert len(found.table) == classes, said
    assert all(each.images for each in found.classes), said
    dataset = load_folder(root)
    for sample in dataset.train:
        assert {*np.unique(sample.read()[1]).tolist()} <= {*range(classes), 255}
    starts_training(root)


# one command: neither pasting nor a second look
ONE_COMMAND = [
    case
    for case in MASKS
    if case.startswith(("JPEG", "WebP", "soft", "PNG")) or case in ("0 and 255", "two colours")
]


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.campaign] * (case != "soft edges")) for case in ONE_COMMAND],
)
def test_one_command_writes_a_copy_that_trains(case, tmp_path):
    masks, suffix, saved_as, classes = MASKS[case]
    data = fill(tmp_path / "data", masks(), suffix, **saved_as)
    assert inspect_folder(data).errors
    done = write_repaired(inspect_folder(data), tmp_path / "new")
    assert (done.pairs, done.left_out) == (12, {})
    found = inspect_folder(tmp_path / "new")
    assert (found.errors, len(found.table)) == ([], classes)
    starts_training(tmp_path / "new")


@pytest.mark.parametrize(
    ("values", "classes"),
    [([0, 7, 33, 255], 3), ([0, 1, 3, 255], 3), ([5, 9, 255], 2), ([1, 2, 3, 4, 255], 4), ([0, 254, 255], 2)],
)
def test_255_is_advised_as_no_class_and_said_to_be_ignored(values, classes, tmp_path):
    (fault,) = inspect_folder(fill(tmp_path, with_void(values[:-1], 255))).errors
    (advice,) = advised(fault.remedy)
    assert [*yaml.safe_load(advice)["values"]] == values[:-1]
    assert len(values[:-1]) == classes
    assert "255 is then ignored" in fault.remedy


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([0, 1, 2, 254, 255], "if 254 means ignore too, write ignore: [254, 255] and leave out 254"),
        ([0, 128, 255], "leave out 255 there if it means ignore"),
    ],
)
def test_where_another_reading_is_likely_too_the_advice_says_how_to_write_it(values, hint, tmp_path):
    (fault,) = inspect_folder(fill(tmp_path, with_void(values[:-1], 255))).errors
    assert hint in fault.remedy


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_values_masks_hold_the_advice_makes_the_check_pass(data, tmp_path_factory):
    root = tmp_path_factory.mktemp("any") / "data"
    highest = data.draw(st.sampled_from([12, 255, 65535]))
    values = data.draw(st.lists(st.integers(0, highest), min_size=2, max_size=9, unique=True))
    fill(root, valued(values, count=6))
    try:
        load_folder(root)
        return  # numbered from 0 up
    except SegnetError as error:
        (advice,) = advised(str(error))[:1]
    (root / "dataset.yaml").write_text(advice)
    assert inspect_folder(root).errors == []
    kept = [value for value in values if value != 255 or 255 in yaml.safe_load(advice)["values"]]
    assert len(load_folder(root).classes) == len(kept)


@pytest.mark.parametrize("classes", [17, 60, 150])
def test_many_classes_are_asked_about_until_they_are_named(classes, tmp_path):
    random = np.random.RandomState(0)
    masks = [np.kron(random.randint(0, classes, (8, 8)), np.ones((8, 8))).astype(np.uint8) for _ in range(24)]
    fill(tmp_path, masks)
    (tmp_path / "dataset.yaml").write_text(
        yaml.safe_dump({"classes": [f"thing {i}" for i in range(classes)]})
    )
    assert [fault.kind for fault in inspect_folder(tmp_path).errors] == []
    assert len(load_folder(tmp_path).classes) == classes


def test_classes_that_occur_in_many_masks_are_not_taken_for_instances(tmp_path):
    random = np.random.RandomState(0)
    masks = [np.kron(random.randint(0, 20, (8, 8)), np.ones((8, 8))).astype(np.uint8) for _ in range(24)]
    assert len(load_folder(fill(tmp_path, masks)).classes) == 20


def test_instances_are_asked_about_with_both_ways_out(tmp_path):
    (fault,) = inspect_folder(fill(tmp_path, instances())).errors
    assert fault.kind == "instance-ids"
    assert "13 values beside 0, numbered from 1 up in each; are these instances, one value an object?" in str(
        fault
    )
    assert advised(fault.remedy) == ["instances: object"]
    assert "if each is a class, name them all there" in fault.remedy
    with pytest.raises(SegnetError, match="are these instances"):
        load_folder(tmp_path)


@pytest.mark.parametrize("mode", ["8 bits", "16 bits", "palette", "RGB"])
def test_each_value_but_0_and_the_ignored_ones_is_an_object_of_the_class(mode, tmp_path):
    stored = np.array([[0, 1, 2, 3, 200, 254, 255]], np.uint8).repeat(16, 0)
    expected = np.array([[0, 1, 1, 1, 1, 255, 255]], np.uint8).repeat(16, 0)
    if mode == "16 bits":
        stored = np.array([0, 1, 300, 65_535, 40_000, 254, 255], np.uint16)[None].repeat(16, 0)
    mask = Image.fromarray(stored)
    if mode == "palette":
        mask.putpalette([channel for i in range(256) for channel in (i, 255 - i, i * 7 % 256)])
    if mode == "RGB":
        table = np.array(
            [(0, 0, 0), (1, 2, 3), (9, 0, 0), (0, 7, 0), (200, 0, 1), (254,) * 3, (255,) * 3], np.uint8
        )
        mask = Image.fromarray(table[None].repeat(16, 0))
    fill(tmp_path / "data", [mask] * 4)
    (tmp_path / "data/dataset.yaml").write_text(
        "classes: [glass, cell]\ninstances: cell\nignore: [254, 255]\n"
    )
    (sample, *_) = load_folder(tmp_path / "data").train
    assert sample.read()[1].tolist() == expected.tolist()
    found = inspect_folder(tmp_path / "data")
    assert [each.pixels for each in found.classes] == [64, 256]
    write_repaired(found, tmp_path / "copy")
    (copied, *_) = load_folder(tmp_path / "copy").train
    assert copied.read()[1].tolist() == expected.tolist()


def test_instances_of_one_class_beside_other_classes(tmp_path):
    stored = np.array([[0, 1, 2, 3, 4]], np.uint8).repeat(16, 0)
    fill(tmp_path, [stored] * 4)
    text = "classes: [ground, road, car]\nvalues: {0: ground, 1: road}\ninstances: car\n"
    (tmp_path / "dataset.yaml").write_text(text)
    assert load_folder(tmp_path).train[0].read()[1][0].tolist() == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("classes: [a, b]\nignore: [254, 255]", [0, 1, 254, 255], [0, 1, 255, 255]),
        ("classes: [a, b]\nignore: [2]", [0, 1, 2, 2], [0, 1, 255, 255]),
        ("values: {1: a, 2: b}\nignore: [0, 255, 3]", [0, 1, 2, 3], [255, 0, 1, 255]),
        ("classes: [a, b]\nignore: [254, 60000]", [0, 1, 254, 60_000], [0, 1, 255, 255]),
    ],
)
def test_several_values_are_ignored(text, stored, expected, tmp_path):
    kind = np.uint16 if max(stored) > 255 else np.uint8
    fill(tmp_path / "data", [np.array([stored], kind).repeat(16, 0)] * 4)
    (tmp_path / "data/dataset.yaml").write_text(text)
    assert load_folder(tmp_path / "data").train[0].read()[1][0].tolist() == expected
    found = inspect_folder(tmp_path / "data")
    assert found.errors == []
    write_repaired(found, tmp_path / "copy")
    assert load_folder(tmp_path / "copy").train[0].read()[1][0].tolist() == expected


@pytest.mark.parametrize("ignore", ["[[255, 255, 255], '#010203']", "['#ffffff', '#010203', 9]"])
def test_several_colours_are_ignored(ignore, tmp_path):
    colours = np.array([[(0, 0, 0), (255, 0, 0), (255, 255, 255), (1, 2, 3)]], np.uint8).repeat(16, 0)
    fill(tmp_path, [colours] * 4)
    (tmp_path / "dataset.yaml").write_text(f"classes: {{a: [0, 0, 0], b: [255, 0, 0]}}\nignore: {ignore}\n")
    assert load_folder(tmp_path).train[0].read()[1][0].tolist() == [0, 1, 255, 255]


def test_a_forgotten_class_is_named_with_a_line_that_ignores_it(tmp_path):
    masks = valued([0, 1, 9])
    fill(tmp_path, masks)
    (tmp_path / "dataset.yaml").write_text("classes: [a, b]\n")
    faults = inspect_folder(tmp_path).errors
    assert {fault.kind for fault in faults} == {"unknown-value"}
    assert advised(faults[0].remedy) == ["ignore: [9, 255]"]
    (tmp_path / "dataset.yaml").write_text("classes: [a, b]\nignore: [9, 255]\n")
    assert inspect_folder(tmp_path).errors == []


UNDER_A_LIST = {
    "PNG": (lambda: valued([0, 255]), ".png", {}),
    "JPEG": (lambda: valued([0, 255]), ".jpg", {"quality": 95}),
    "soft": (lambda: [softened(n, [0, 255]) for n in range(12)], ".png", {}),
    "instances": (lambda: [np.maximum(mask, mask // 2) for mask in instances(12, first=2)], ".png", {}),
    "two colours": (lambda: valued(COLOURS[:2]), ".png", {}),
}


@pytest.mark.parametrize("case", UNDER_A_LIST)
def test_masks_that_a_list_of_two_classes_does_not_explain_get_hints_with_its_names(case, tmp_path):
    masks, suffix, saved_as = UNDER_A_LIST[case]
    data = fill(tmp_path / "data", masks(), suffix, **saved_as)
    (data / "dataset.yaml").write_text("classes: [soil, leaf]\n")
    _, found, said = followed(data, tmp_path)
    assert found.table.names == ("soil", "leaf"), said
    assert all(each.images for each in found.classes), said


def test_masks_of_0_and_255_under_a_list_of_classes_are_told_with_its_own_names(tmp_path):
    fill(tmp_path, valued([0, 255]))
    (tmp_path / "dataset.yaml").write_text("classes: [soil, leaf]\n")
    (fault,) = inspect_folder(tmp_path).errors
    (advice,) = advised(fault.remedy)
    (tmp_path / "dataset.yaml").write_text(f"classes: [soil, leaf]\n{advice}\n")
    assert inspect_folder(tmp_path).errors == []
    assert {*np.unique(load_folder(tmp_path).train[0].read()[1]).tolist()} == {0, 1}
