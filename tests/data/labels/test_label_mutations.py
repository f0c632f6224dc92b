"""Damaged files of labels: never a traceback, and every shape and image is drawn or left out by name.

Each case changes a good file at random; an independent count over what then stands in it must equal what the
conversion says that it has read. ``SEGNET_MUTATIONS=500 SEGNET_SEED=7`` runs more cases of another seed.
"""

import os
import random
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from .label_files import photo
from .test_cvat import CUBOID, document, image
from .test_mask_folders import OBJECTS, exported, frame, with_objects
from .test_voc import LABELMAP, coloured, layout

CASES = int(os.environ.get("SEGNET_MUTATIONS", "40"))
SEED = int(os.environ.get("SEGNET_SEED", "0"))

ODD = (
    "", " ", "0", "-1", "1e400", "nan", "inf", "1,5", "1.5", "abc", "ä", "\t", "99999999999999999999", "-0.0",
    "1;2", "[]", "null", "True", "../../etc/passwd", "C:\\x", "/", "\x00", "0x10", "1e-320", "٣",
)  # fmt: skip


def change_text(text, choose):
    """Remove, repeat, exchange or insert a piece of a text."""
    start = choose.randrange(len(text) + 1)
    end = min(len(text), start + choose.choice((1, 1, 2, 5, 40)))
    kind = choose.randrange(4)
    if kind == 0:
        return text[:start] + text[end:]
    if kind == 1:
        return text[:start] + text[start:end] * 2 + text[end:]
    if kind == 2:
        return text[:start] + choose.choice(ODD) + text[end:]
    return text[:start] + choose.choice("\n\r,;:#\"'<>&-. ") + text[start:]


def change_words(text, choose):
    """Exchange, remove or repeat a word or a line."""
    lines = text.split("\n")
    place = choose.randrange(len(lines))
    words = lines[place].split(" ")
    word = choose.randrange(len(words))
    kind = choose.randrange(5)
    if kind == 0:
        words[word] = choose.choice(ODD)
    elif kind == 1:
        del words[word]
    elif kind == 2:
        words.insert(word, choose.choice(ODD))
    elif kind == 3:
        words = words * 2
    else:
        words = [choose.choice(lines)]
    lines[place] = " ".join(words)
    return "\n".join(lines)


def change_elements(text, choose):
    """Remove, rename, nest, repeat or alter elements of an XML text and their attributes."""
    root = ElementTree.fromstring(text)
    elements = [*root.iter()]
    above = {child: parent for parent in elements for child in parent}
    for _ in range(choose.choice((1, 1, 2, 4))):
        element = choose.choice([*above])
        parent = above[element]
        kind = choose.randrange(7)
        if kind == 0 and element in [*parent]:
            parent.remove(element)
        elif kind == 1:
            element.tag = choose.choice(
                ("box", "polygon", "mask", "image", "tag", "points", "odd", "ellipse")
            )
        elif kind == 2:
            other = choose.choice(elements)
            if other is not element and other not in [*element.iter()]:
                other.append(element)
        elif kind == 3 and len(elements) < 200:
            parent.append(element)
        elif kind == 4:
            element.text = choose.choice(ODD).replace("\x00", "")
        elif element.attrib:
            key = choose.choice([*element.attrib])
            value = element.attrib.pop(key)
            if kind == 5:
                element.set(key, choose.choice((*ODD, change_text(value, choose))).replace("\x00", ""))
    return ElementTree.tostring(root, "unicode")


def change_yaml(text, choose):
    """Exchange a field of a YAML file for something of another type, remove it or add one."""
    content = yaml.safe_load(text)
    odd = (
        None,
        7,
        -1.5,
        True,
        "x",
        [],
        {},
        [1, None],
        {"a": 1},
        [["leaf"]],
        {0: ["leaf"]},
        "images/train",
        ["gone"],
    )
    key = choose.choice(("names", "nc", "train", "val", "test", "path", "kpt_shape"))
    if choose.random() < 0.3:
        content.pop(key, None)
    else:
        content[key] = choose.choice(odd)
    return yaml.safe_dump(content)


def seeded(name, number):
    return random.Random(f"{name} {SEED} {number}")


def outcome(source, target):
    """The tally of a conversion, None where it said in one line why nothing was written."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        return convert(source, target, skip=True).tally
    except SegnetError as error:
        said = str(error)
    assert said
    assert "\n" not in said
    assert not target.exists()
    return None


GOOD_CVAT = document(
    image(
        '<polygon label="leaf" points="5,5;25,5;25,20;5,20" z_order="1"/><tag label="healthy"/>'
        '<box label="leaf" xtl="20" ytl="10" xbr="40" ybr="30" rotation="30.5" occluded="0"/>'
        '<ellipse label="stem" cx="30" cy="19" rx="16" ry="6" rotation="12"/>'
        '<mask label="stem" rle="2, 4, 4, 4, 1" left="7" top="3" width="5" height="3"/>'
        f'<cuboid label="stem" {CUBOID}/><polyline label="leaf" points="1,1;50,30"/>',
        "a.jpg",
        'subset="Train"',
    )
    + image('<polygon label="leaf" points="5,5;25,5;25,20;5,20"/>', "b.jpg")
    + image("", "c.jpg")
    + image(
        '<box label="stem" xtl="1" ytl="1" xbr="9" ybr="9" outside="1"/><points label="leaf" points="3,3"/>',
        "d.jpg",
    ),
    head="",
)


@pytest.mark.parametrize("number", range(CASES))
def test_changed_xml_of_cvat_is_accounted_for(number, tmp_path):
    choose = seeded("cvat", number)
    text = choose.choice((change_elements, change_elements, change_text))(GOOD_CVAT, choose)
    for name in "abcd":
        photo(tmp_path / f"job/{name}.jpg")
    (tmp_path / "job/annotations.xml").write_text(text, encoding="utf-8")
    tally = outcome(tmp_path / "job/annotations.xml", tmp_path / "new")
    if tally is None:
        return
    root = ElementTree.fromstring(text)
    images = root.findall("image")
    assert tally.images_read == len(images)
    assert tally.read.total() == sum(child.tag != "tag" for each in images for child in each)
    assert tally.no_shapes["tag"] == sum(child.tag == "tag" for each in images for child in each)


LINES = "0 0.1 0.125 0.4 0.125 0.4 0.5 0.1 0.5\n1 0.5 0.25 0.8 0.25 0.8 0.75\n0 0.5 0.5 0.1 0.1\n"
GOOD_YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: leaf\n  1: stem\nnc: 2\n"
GOOD_LIST = "./images/train/a.jpg\nimages/train/b.jpg\n"


@pytest.mark.parametrize("number", range(CASES))
def test_changed_texts_of_yolo_are_accounted_for(number, tmp_path):
    choose = seeded("yolo", number)
    root = tmp_path / "yolo"
    texts = dict.fromkeys(("train/a", "train/b", "val/c"), LINES)
    description, listed = GOOD_YAML, None
    what = choose.randrange(4)
    if what < 2:
        change = choose.choice((change_words, change_text))
        texts["train/a"] = change(change(LINES, choose), choose)
    elif what == 2:
        description = choose.choice((change_yaml, change_yaml, change_words, change_text))(GOOD_YAML, choose)
    else:
        description = GOOD_YAML.replace("images/train", "train.txt")
        listed = choose.choice((change_words, change_text))(GOOD_LIST, choose)
    for name, text in texts.items():
        photo(root / f"images/{name}.jpg")
        (root / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"labels/{name}.txt").write_bytes(text.encode())
    (root / "data.yaml").write_bytes(description.encode())
    if listed is not None:
        (root / "train.txt").write_bytes(listed.encode())
    tally = outcome(root, tmp_path / "new")
    if tally is None:
        return
    assert tally.read.total() == sum(
        bool(line.strip()) for text in texts.values() for line in text.splitlines()
    )
    good = GOOD_LIST.splitlines()
    gone = sum(line.strip() not in ("", *good) for line in (listed or "").splitlines())
    assert len(texts) <= tally.images_read <= len(texts) + gone


@pytest.mark.parametrize("number", range(CASES))
def test_changed_texts_of_voc_are_accounted_for(number, tmp_path):
    choose = seeded("voc", number)
    change = choose.choice((change_words, change_text))
    names = ("a", "b", "c")
    labelmap, listed = LABELMAP, "a\nb\n"
    if choose.random() < 0.6:
        labelmap = change(LABELMAP, choose)
    else:
        listed = change(listed, choose)
    root = tmp_path / "voc"
    for name in names:
        layout(root, coloured(), stem=name)
    (root / "SegmentationClass/c.png").unlink()
    if choose.random() < 0.3:
        pixels = np.asarray(coloured()).copy()
        pixels[choose.randrange(40), choose.randrange(60)] = [choose.randrange(256) for _ in range(3)]
        Image.fromarray(pixels).save(root / "SegmentationClass/b.png")
    (root / "labelmap.txt").write_bytes(labelmap.encode())
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_bytes(listed.encode())
    tally = outcome(root, tmp_path / "new")
    if tally is not None:
        gone = tally.images_left_out["listed in ImageSets, but not there"]
        assert tally.images_read == len(names) + gone
        assert gone <= len([line for line in listed.splitlines() if line.strip() not in ("", *names)])


@pytest.mark.parametrize("number", range(CASES // 2))
def test_changed_tables_of_roboflow_are_accounted_for(number, tmp_path):
    choose = seeded("roboflow", number)
    table = change_text("Pixel Value, Class\n0, background\n1, leaf\n2, stem\n", choose)
    exported(tmp_path / "rf", table=table)
    tally = outcome(tmp_path / "rf", tmp_path / "new")
    assert tally is None or tally.images_read == 2


@pytest.mark.parametrize("number", range(CASES // 2))
def test_damaged_masks_of_objects_are_accounted_for(number, tmp_path):
    choose = seeded("objects", number)
    for name in ("a1", "b2"):
        with_objects(tmp_path / "dsb", name)
    for _ in range(choose.choice((1, 3))):
        file = tmp_path / f"dsb/{choose.choice(('a1', 'b2'))}/masks/{choose.randrange(3)}.png"
        content = bytearray(file.read_bytes())
        place = choose.randrange(len(content))
        content[place : place + choose.choice((1, 4, 400))] = bytes(choose.randrange(256) for _ in range(2))
        file.write_bytes(content)
    tally = outcome(tmp_path / "dsb", tmp_path / "new")
    if tally is not None:
        assert tally.images_read == 2
        assert tally.read.total() == 2 * len(OBJECTS)


@pytest.mark.parametrize("number", range(CASES // 2))
def test_damaged_folders_of_cityscapes_are_accounted_for(number, tmp_path):
    choose = seeded("cityscapes", number)
    root = tmp_path / "cs"
    for split, name in (("train", "ulm/ulm_0"), ("train", "ulm/ulm_1"), ("val", "bonn/bonn_0")):
        frame(root, split, name, np.full((40, 60), choose.choice((7, 26, 255)), np.uint8))
    for _ in range(choose.choice((1, 1, 3))):
        file = choose.choice(sorted(each for each in root.rglob("*") if each.is_file()))
        content = bytearray(file.read_bytes())
        kind = choose.randrange(4)
        if kind == 0:
            file.unlink()
        elif kind == 1:
            stem = change_text(file.stem, choose).replace("/", "").replace("\0", "")
            file.rename(file.with_name(f"{stem}{file.suffix}"))
        elif kind == 2:
            file.write_bytes(content[: choose.randrange(len(content))])
        else:
            place = choose.randrange(len(content))
            content[place : place + choose.choice((1, 4, 400))] = bytes([choose.randrange(256)])
            file.write_bytes(content)
    tally = outcome(root, tmp_path / "new")
    if tally is None:
        return
    ends = {"leftImg8bit": "_leftImg8bit", "gtFine": "_gtFine_labelIds"}
    frames = {
        (file.parent.relative_to(root / kind), file.stem.removesuffix(end))
        for kind, end in ends.items()
        for file in (root / kind).rglob("[!.]*.*")
        if file.is_file() and (kind == "leftImg8bit" or file.stem.endswith(end))
    }
    assert tally.images_read == len(frames)


def test_nothing_is_written_into_the_source(tmp_path):
    exported(tmp_path / "rf")
    before = {file: file.read_bytes() for file in Path(tmp_path).rglob("*") if file.is_file()}
    outcome(tmp_path / "rf", tmp_path / "new")
    assert {file: file.read_bytes() for file in before} == before
