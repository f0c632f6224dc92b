"""Broken folders, one fault each: ``data check`` names it with its file; training doesn't pass it over."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from rich.console import Console

from segnet import TrainConfig
from segnet.base.errors import SegnetError
from segnet.data.check.inspect_folder import inspect_folder
from segnet.data.check.repair import require_new_folder, write_repaired
from segnet.data.faults import KINDS
from segnet.data.folder import load_folder
from segnet.training.setup import build

YAML = "classes: [background, square]\n"
SIDE = 40


def pixels(seed, side=SIDE):
    """Noise in large blocks, so that no two images look alike, with a bright square; and the square."""
    random = np.random.RandomState(seed)
    blocks = random.randint(0, 160, (5, 5, 3))
    image = np.kron(blocks, np.ones((side // 5, side // 5, 1)))
    square = np.zeros((side, side), np.uint8)
    top, left = random.randint(0, side // 2, 2)
    square[top : top + side // 3, left : left + side // 3] = 1
    return (image + square[..., None] * 90).astype(np.uint8), square


def put(root, split, name, seed, side=SIDE):
    image, square = pixels(seed, side)
    for part, array in (("images", image), ("masks", square)):
        file = root / split / part / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(file)


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("good") / "data"
    for seed in range(8):
        put(root, "train", f"t{seed}", seed)
    for seed in range(5):
        put(root, "val", f"v{seed}", 100 + seed)
    (root / "dataset.yaml").write_text(YAML)
    return root


@pytest.fixture
def data(good_folder, tmp_path):
    return Path(shutil.copytree(good_folder, tmp_path / "data"))


def contents(root):
    """Every file below a folder with its bytes and date; pipes and links by name alone."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else b""
        for path in sorted(root.rglob("*"))
    }


def resave(file, change, **options):
    with Image.open(file) as image:
        image.load()
    change(image).save(file, **options)


def deeper(image):
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 16)


def masks_of(root, split="train"):
    return sorted((root / split / "masks").iterdir())


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height):
    """A PNG that says how large it is and holds no pixels."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def turned(file, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    resave(file, lambda image: image, exif=exif)


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def behind_the_pixels(file, kind, content):
    """Put a chunk where ExifTool puts it."""
    head, end, tail = file.read_bytes().rpartition(struct.pack(">I", 0) + b"IEND")
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    write(
        file.parent,
        file.name,
        head + struct.pack(">I", len(content)) + kind + content + checksum + end + tail,
    )


def jpeg_bytes(image):
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=30)
    return stream.getvalue()


def all_masks(root, change):
    for split in ("train", "val"):
        for file in masks_of(root, split):
            resave(file, change)


def values(table):
    """A change of a mask's values."""
    return lambda mask: Image.fromarray(
        np.array([*table, *range(len(table), 256)], np.uint8)[np.asarray(mask)]
    )


def smoothed(mask):
    """As a mask looks that was enlarged smoothly."""
    small = mask.point(lambda value: value * 255).resize((13, 13))
    return small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def in_colour(mask):
    return Image.fromarray(np.array([(0, 0, 0), (200, 0, 100)], np.uint8)[np.asarray(mask)])


T0, M0 = "train/images/t0.png", "train/masks/t0.png"


def write(root, name, content):
    (root / name).write_bytes(content)


def move(root, old, new):
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / old).rename(root / new)


def a_socket(path):
    """A socket in a folder; its path must be short to be bound, so it is made from there."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def copy(root, old, new):
    (root / new).write_bytes((root / old).read_bytes())


def frames(file):
    images = [Image.fromarray(pixels(seed)[0]) for seed in (900, 901, 902)]
    images[0].save(file, save_all=True, append_images=images[1:])


def swap_for(root, old, new):
    (root / old).unlink()
    return root / new


def save_as(root, old, new, image=None, **options):
    with Image.open(root / old) as stored:
        stored.load()
    (root / old).unlink()
    (image or stored).save(root / new, **options)


def float_image(root):
    Image.fromarray(np.asarray(Image.open(root / M0), np.float32) * 0.5).save(
        swap_for(root, M0, "train/masks/t0.tif")
    )


def take_square_out(root, split):
    for file in masks_of(root, split):
        resave(file, values([0, 0]))


def few_left(root, split, count):
    for part in ("images", "masks"):
        for file in sorted((root / split / part).iterdir())[count:]:
            file.unlink()


# name: (how it is broken, the kind of fault, what its line names)
BROKEN = {
    # layout
    "labels/ in place of masks/": (
        lambda d: move(d, "train/masks", "train/labels"),
        "layout",
        "train/masks is not there, but there is labels/",
    ),
    "Images/ with a capital": (
        lambda d: (move(d, "train/images", "train/x"), move(d, "train/x", "train/Images")),
        "layout",
        "train/images is not there, but there is Images/",
    ),
    "valid/ in place of val/": (
        lambda d: move(d, "val", "valid"),
        "layout",
        "valid is an unknown split; did you mean 'val'",
    ),
    "both layouts": (
        lambda d: shutil.copytree(d / "train" / "images", d / "images"),
        "layout",
        "must hold either",
    ),
    "one level too deep": (
        lambda d: [move(d, part, f"inner/{part}") for part in ("train", "val")],
        "layout",
        "inner/ looks like a dataset",
    ),
    "photos/ and labels/": (
        lambda d: [
            shutil.rmtree(d / "val"),
            move(d, "train/images", "photos"),
            move(d, "train/masks", "labels"),
            (d / "train").rmdir(),
        ],
        "layout",
        "holds images in photos/ and masks in labels/; segnet data convert",
    ),
    "dataset.yml": (
        lambda d: move(d, "dataset.yaml", "dataset.yml"),
        "layout",
        "dataset.yml is not read; what the masks mean stands in dataset.yaml",
    ),
    "no image at all": (
        lambda d: [file.unlink() for file in (d / "val/images").iterdir()],
        "layout",
        "val/images holds no image",
    ),
    # pairs
    "a mask missing": (lambda d: (d / M0).unlink(), "no-mask", f"{T0} has no mask"),
    "an image missing": (lambda d: (d / T0).unlink(), "no-image", f"{M0} has no image"),
    "a_mask.png": (
        lambda d: move(d, M0, "train/masks/t0_mask.png"),
        "no-mask",
        "but there is t0_mask, which differs in words such as mask or image; call the mask as its image, or "
        "segnet data convert",
    ),
    "a JPEG mask of ids": (
        lambda d: save_as(d, M0, "train/masks/t0.jpg"),
        "blurred-ids",
        "train/masks/t0.jpg is in a lossy format, but classes less than 32 values apart",
    ),
    "a JPEG mask of values far apart": (
        lambda d: (
            write(d, "dataset.yaml", b"values: {0: background, 255: square}"),
            all_masks(d, values([0, 255])),
            save_as(d, M0, "train/masks/t0.jpg", quality=90),
        ),
        "lossy-mask",
        r"train/masks/t0.jpg has \d+ pixels (.*%\) of values that are no class's own; each is taken for",
    ),
    "instance ids": (
        lambda d: resave(
            d / M0,
            lambda mask: Image.fromarray(
                np.kron(np.arange(16).reshape(4, 4), np.ones((10, 10))).astype(np.uint8)
            ),
        ),
        "instance-ids",
        f"{M0} holds 14 values that are no class (1,400 pixels",
    ),
    "a mask in a folder below": (
        lambda d: move(d, M0, "train/masks/below/t0.png"),
        "no-mask",
        f"{T0} has no mask",
    ),
    "two images of a name": (
        lambda d: save_as(d, "train/images/t1.png", "train/images/t0.bmp"),
        "same-name",
        "has the same name as t0.bmp",
    ),
    "a HEIC photo": (
        lambda d: write(d, "train/images/new.heic", b"...."),
        "unreadable-format",
        "train/images/new.heic is a .heic file",
    ),
    # no files
    "a pipe": (lambda d: os.mkfifo(swap_for(d, T0, T0)), "no-file", f"{T0} is a pipe"),
    "a socket": (lambda d: a_socket(swap_for(d, T0, T0)), "no-file", f"{T0} is a pipe, a socket"),
    "a link to nothing": (
        lambda d: swap_for(d, T0, T0).symlink_to("gone.png"),
        "no-file",
        f"{T0} is a link to nothing",
    ),
    "a pipe as a mask": (lambda d: os.mkfifo(swap_for(d, M0, M0)), "no-file", f"{M0} is a pipe"),
    # damaged
    "an empty image": (lambda d: write(d, T0, b""), "empty", f"{T0} is empty"),
    "an empty mask": (lambda d: write(d, M0, b""), "empty", f"{M0} is empty"),
    "a truncated image": (lambda d: write(d, T0, (d / T0).read_bytes()[:-40]), "damaged", f"{T0} is damaged"),
    "a truncated mask": (lambda d: write(d, M0, (d / M0).read_bytes()[:60]), "damaged", f"{M0} is damaged"),
    "a truncated JPEG": (
        lambda d: write(
            d, "train/images/t0.jpg", jpeg_bytes(Image.open(swap_for(d, T0, "train/images/t1.png")))[:-200]
        ),
        "damaged",
        "train/images/t0.jpg is damaged",
    ),
    "a web page": (lambda d: write(d, T0, b"<html>404</html>"), "not-an-image", f"{T0} is not an image"),
    "a text as a mask": (lambda d: write(d, M0, b"0 0 0 1 1"), "not-an-image", f"{M0} is not an image"),
    "a bit flipped": (
        lambda d: write(d, T0, (b := (d / T0).read_bytes())[:60] + bytes([b[60] ^ 255]) + b[61:]),
        "damaged",
        f"{T0} is damaged",
    ),
    "a decompression bomb": (
        lambda d: write(d, T0, png(60_000, 60_000)),
        "too-large",
        f"{T0} has too many pixels",
    ),
    "a bomb as a mask": (
        lambda d: write(d, M0, png(60_000, 60_000)),
        "too-large",
        f"{M0} has too many pixels",
    ),
    # kinds of files
    "JPEG bytes in a .png": (
        lambda d: write(d, T0, jpeg_bytes(Image.open(d / T0))),
        "mistyped",
        f"{T0} is a JPEG file by its content",
    ),
    "a mask of JPEG bytes in a .png": (
        lambda d: write(d, M0, jpeg_bytes(Image.open(d / M0))),
        "mistyped",
        f"{M0} is a JPEG file by its content",
    ),
    "an animation": (
        lambda d: frames(swap_for(d, T0, "train/images/t0.gif")),
        "pages",
        "train/images/t0.gif holds 3 pages or frames",
    ),
    "a TIFF of pages": (
        lambda d: frames(swap_for(d, T0, "train/images/t0.tif")),
        "pages",
        "train/images/t0.tif holds 3 pages",
    ),
    "a mask of pages": (
        lambda d: frames(swap_for(d, M0, "train/masks/t0.tif")),
        "pages",
        "train/masks/t0.tif holds 3 pages",
    ),
    "a mask of five channels": (
        lambda d: tifffile.imwrite(
            swap_for(d, M0, "train/masks/t0.tif"), np.ones((SIDE, SIDE, 5), np.uint8), photometric="rgb"
        ),
        "mask-mode",
        "train/masks/t0.tif is no map of class ids but holds 5 channels of 8 bits",
    ),
    "an image of 8 px": (
        lambda d: [resave(d / file, lambda image: image.resize((8, 8), 0)) for file in (T0, M0)],
        "small",
        f"{T0} is 8×8 pixels",
    ),
    "five channels": (
        lambda d: tifffile.imwrite(
            swap_for(d, T0, "train/images/t0.tif"), np.ones((SIDE, SIDE, 5), np.uint8), photometric="rgb"
        ),
        "channels",
        "train/images/t0.tif has 5 channels where RGB or grey is taken; segnet train --channels 5 takes such",
    ),
    "one image of 16 bits": (
        lambda d: resave(d / T0, deeper),
        "depths",
        f"{T0} has more than 8 bits a channel, but others to train on have 8",
    ),
    "16 bits to train on, 8 to validate": (
        lambda d: [resave(file, deeper) for file in sorted((d / "train/images").iterdir())],
        "too-few-bits",
        "val/images/v0.png has 8 bits a channel, but all images to train on have more",
    ),
    "an image of nothing but NaN": (
        lambda d: tifffile.imwrite(
            swap_for(d, T0, "train/images/t0.tif"), np.full((SIDE, SIDE), np.nan, np.float32)
        ),
        "no-values",
        "train/images/t0.tif holds no number but NaN and infinity",
    ),
    "a blank image": (
        lambda d: resave(d / T0, lambda image: Image.new("RGB", image.size, "grey")),
        "blank",
        f"{T0} shows a single colour",
    ),
    # geometry
    "a mask of another size": (
        lambda d: resave(d / M0, lambda mask: mask.resize((20, 20), 0)),
        "sizes-differ",
        f"{M0} is 20×20 but its image",
    ),
    "turned by 180°": (lambda d: turned(d / T0, 3), "rotated", f"{T0} is turned by its EXIF data"),
    "a square turned by 90°": (lambda d: turned(d / T0, 6), "rotated", f"{T0} is turned by its EXIF data"),
    "turned by what stands behind its pixels": (
        lambda d: behind_the_pixels(d / T0, b"eXIf", exif_of(6)),
        "rotated",
        f"{T0} is turned by its EXIF data",
    ),
    "turned by XMP": (
        lambda d: behind_the_pixels(d / T0, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        "rotated",
        f"{T0} is turned by its EXIF data",
    ),
    "mirrored": (lambda d: turned(d / T0, 2), "rotated", f"{T0} is turned by its EXIF data"),
    "turned, its mask not": (
        lambda d: (
            [resave(d / file, lambda image: image.crop((0, 0, 40, 24))) for file in (T0, M0)],
            turned(d / T0, 6),
        ),
        "sizes-differ",
        "drawn without the image's EXIF rotation",
    ),
    # masks
    "a value that is no class": (
        lambda d: resave(d / M0, values([0, 7])),
        "unknown-value",
        f"{M0} holds the value 7",
    ),
    "a colour mask without colours": (
        lambda d: resave(d / M0, in_colour),
        "mask-meaning",
        f"{M0} is a colour image, dataset.yaml gives no colours",
    ),
    "a mask with an alpha channel": (
        lambda d: resave(d / M0, lambda mask: mask.convert("LA")),
        "mask-mode",
        f"{M0} is no map of class ids but an image in mode LA",
    ),
    "a float mask": (float_image, "mask-mode", "train/masks/t0.tif is no map of class ids"),
    "a mask of 16 bits": (
        lambda d: Image.fromarray(np.full((SIDE, SIDE), 4000, np.uint16)).save(d / M0),
        "unknown-value",
        f"{M0} holds the value 4000",
    ),
    "a smoothed mask": (
        lambda d: (
            write(d, "dataset.yaml", b"values: {0: background, 255: square}"),
            all_masks(d, values([0, 255])),
            resave(d / M0, lambda mask: smoothed(mask.point(lambda value: value // 255))),
        ),
        "soft-edges",
        f"{M0} holds .* values that are no class but between or near classes",
    ),
    "a smoothed mask of ids": (
        lambda d: resave(d / M0, smoothed),
        "blurred-ids",
        f"{M0} holds .* values that are no class .* but classes less than 32 values apart",
    ),
    "a mask of ignored pixels": (
        lambda d: resave(d / M0, values([255, 255])),
        "all-ignored",
        f"{M0} holds nothing but ignored",
    ),
    "all masks ignored": (
        lambda d: all_masks(d, values([255, 255])),
        "nothing-to-learn",
        "training masks of nothing but ignored pixels",
    ),
    "masks of 0 and 255": (
        lambda d: all_masks(d, values([0, 255])),
        "ignored-class",
        "background and ignored pixels alone: 255 means ignore",
    ),
    "masks of 0 and 255 without dataset.yaml": (
        lambda d: ((d / "dataset.yaml").unlink(), all_masks(d, values([0, 255]))),
        "mask-meaning",
        "values: {0: background, 255: object}",
    ),
    "colour masks without dataset.yaml": (
        lambda d: ((d / "dataset.yaml").unlink(), all_masks(d, in_colour)),
        "mask-meaning",
        "is a colour image and there is no dataset.yaml",
    ),
    "smoothed masks without dataset.yaml": (
        lambda d: ((d / "dataset.yaml").unlink(), all_masks(d, smoothed)),
        "soft-edges",
        "--fix NEW writes a copy, each pixel as the nearest class of 'values: {0: background, 255: object}'",
    ),
    "masks of one class": (
        lambda d: (take_square_out(d, "train"), take_square_out(d, "val")),
        "nothing-to-learn",
        "training masks of nothing but background",
    ),
    # dataset.yaml
    "a malformed dataset.yaml": (
        lambda d: write(d, "dataset.yaml", b"classes: [background, square"),
        "mask-meaning",
        "dataset.yaml can't be used",
    ),
    "a class twice": (
        lambda d: write(d, "dataset.yaml", b"classes: [square, square]"),
        "mask-meaning",
        "class names must differ",
    ),
    "an unknown entry": (
        lambda d: write(d, "dataset.yaml", b"names: [background, square]"),
        "mask-meaning",
        "unknown entry 'names'",
    ),
    # classes
    "a class that never occurs": (
        lambda d: write(d, "dataset.yaml", b"classes: [background, square, round]"),
        "never-occurs",
        "has round in no mask at all",
    ),
    "a class only in validation": (
        lambda d: (
            write(d, "dataset.yaml", b"classes: [background, square, round]"),
            resave(masks_of(d, "val")[0], values([0, 2])),
        ),
        "never-occurs",
        "has round in the validation masks alone",
    ),
    "a class never validated": (
        lambda d: take_square_out(d, "val"),
        "not-validated",
        "has square in no validation mask",
    ),
    # what images are to each other
    "an image in train and val": (
        lambda d: [copy(d, f"train/{part}/t0.png", f"val/{part}/v0.png") for part in ("images", "masks")],
        "same-in-splits",
        "val/images/v0.png is also in another split, as train/images/t0.png",
    ),
    "an image twice": (
        lambda d: [copy(d, f"train/{part}/t0.png", f"train/{part}/t1.png") for part in ("images", "masks")],
        "duplicate",
        "train/images/t1.png is there under another name",
    ),
    "an image with two masks": (
        lambda d: copy(d, T0, "train/images/t1.png"),
        "two-masks",
        "train/images/t1.png has another mask under another name",
    ),
    "a single validation image": (
        lambda d: few_left(d, "val", 1),
        "few-to-validate",
        "a single image to validate on; its score is chance: add images to the validation split",
    ),
    "a single pair": (
        lambda d: [shutil.rmtree(d / "val"), few_left(d, "train", 1)],
        "too-few-images",
        "has no validation images; at least two different images are needed",
    ),
    "images to test on alone": (
        lambda d: [shutil.rmtree(d / "val"), move(d, "train", "test")],
        "too-few-images",
        "has no training images; segnet eval can score a model on them",
    ),
    "a link in a circle": (
        lambda d: (d / "train/images/more").symlink_to(d / "train"),
        "walked-twice",
        "train/images/more leads to train, which is read already",
    ),
}

# What data check alone looks for: it is right to train on such data when one knows.
NOT_SAID_IN_TRAINING = {
    "a blank image": "it may well be part of the task",
    "a mask of ignored pixels": "it teaches nothing and harms nothing",
}


def lines_of(inspection):
    return [
        f"{inspection.relative(f.file)} {f.detail}; {f.remedy}".replace(f"{inspection.root}/", "")
        for f in inspection.faults
    ]


def said_in_training(data):
    config = TrainConfig(
        data=str(data),
        size=32,
        model="segnet-basic",
        model_options={"channels": 8},
        batch_size=4,
        recipe="article",
    )
    try:
        return list(build(config, Console(quiet=True)).warnings)
    except SegnetError as error:
        return [str(error)]


def test_sixty_kinds_of_broken_folders_are_here():
    assert len(BROKEN) >= 60
    # below, in test_images.py, test_layouts.py and the tests of labels
    labels = {
        "overlap",
        "listed-twice",
        "no-split",
        "box-label",
        "assumed-classes",
        "bad-label",
        "flat-label",
    }
    elsewhere = {"alike", "one-name", "mode", "left-out", "nodata", "other-file", "turned-label"} | labels
    assert {kind for _, kind, _ in BROKEN.values()} >= KINDS.keys() - elsewhere


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_named_with_file_and_remedy(case, data):
    spoil, kind, line = BROKEN[case]
    spoil(data)
    before = contents(data)
    found = inspect_folder(data)
    lines = lines_of(found)
    fitting = [text for fault, text in zip(found.faults, lines, strict=True) if fault.kind == kind]
    assert any(re.search(line.replace("(", r"\("), text) for text in fitting), lines
    assert all(fault.remedy for fault in found.faults)
    assert contents(data) == before
    if case not in NOT_SAID_IN_TRAINING:
        said = said_in_training(data)
        assert said, "silently trained on"
        assert any(Path(found.relative(fault.file)).name in " ".join(said) for fault in found.faults), said
    assert contents(data) == before


def test_a_good_folder_has_nothing_wrong(good_folder):
    found = inspect_folder(good_folder)
    assert lines_of(found) == []
    assert said_in_training(good_folder) == []
    assert found.images == {"train": 8, "val": 5}


def test_what_looks_alike_is_told_across_a_split(data):
    with Image.open(data / T0) as image:
        image.resize((60, 60), Image.Resampling.BICUBIC).save(data / "val/images/v0.jpg", quality=80)
    (data / "val/images/v0.png").unlink()
    with Image.open(data / M0) as mask:
        mask.resize((60, 60), 0).save(data / "val/masks/v0.png")
    found = inspect_folder(data)
    assert [(fault.kind, found.relative(fault.file)) for fault in found.faults] == [
        ("alike", "val/images/v0.jpg")
    ]
    assert str(data / T0) in found.faults[0].detail


def test_where_another_image_shows_that_masks_were_turned_too_no_rotation_is_doubted(data):
    turned(data / T0, 3)
    with Image.open(data / "train/images/t1.png") as image:
        sideways = image.crop((0, 0, 40, 24)).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways.save(data / "train/images/t1.png", exif=exif)
    resave(data / "train/masks/t1.png", lambda mask: mask.crop((0, 0, 40, 24)))
    assert lines_of(inspect_folder(data)) == []


def test_all_faults_are_told_at_once_by_check_and_by_training(data):
    (data / M0).unlink()
    write(data, "train/images/t1.png", b"")
    write(data, "val/masks/v0.png", b"text")
    resave(data / "train/masks/t3.png", values([0, 9]))
    found = inspect_folder(data)
    assert {fault.kind for fault in found.errors} == {"no-mask", "empty", "not-an-image", "unknown-value"}
    (said,) = said_in_training(data)
    assert "3 things are wrong in" in said
    for name in ("t0.png has no mask", "t1.png is empty", "v0.png is not an image", "segnet data check"):
        assert name in said
    assert "\n" not in said


def test_damage_that_only_decoding_shows_is_told_at_once(data):
    for name in ("t0", "t1"):
        file = data / f"train/images/{name}.png"
        file.write_bytes(file.read_bytes()[:-40])
    resave(data / "train/masks/t3.png", values([0, 9]))
    resave(data / "val/masks/v1.png", values([0, 9]))
    (said,) = said_in_training(data)
    assert "t0.png is damaged" in said
    assert "(1 more like it)" in said
    assert "t3.png holds the value 9" in said
    assert "v1.png holds the value 9" in said


def test_an_image_in_a_folder_below_has_its_mask_in_a_folder_below(data):
    for part in ("images", "masks"):
        move(data, f"train/{part}/t0.png", f"train/{part}/street/left/t0.png")
    assert lines_of(inspect_folder(data)) == []
    dataset = load_folder(data)
    assert "street/left/t0" in [sample.name for sample in dataset.train]


# The repaired copy


def repaired(data, tmp_path):
    target = tmp_path / "fixed"
    before = contents(data)
    done = write_repaired(inspect_folder(data), target)
    assert contents(data) == before
    return inspect_folder(target), done


# What remains as it was in a repaired copy: nobody but the user can mend it.
NOT_MENDED = {
    "alike",
    "one-name",
    "never-occurs",
    "not-validated",
    "few-to-validate",
    "too-few-images",
    "small",
    "depths",
}
NO_COPY = {"layout", "mask-meaning", "nothing-to-learn", "ignored-class"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.campaign] * (place % 2)) for place, case in enumerate(BROKEN)],
)
def test_a_repaired_copy_is_whole_and_the_folder_untouched(case, data, tmp_path):
    spoil, kind, _ = BROKEN[case]
    spoil(data)
    before = contents(data)
    found = inspect_folder(data)
    if found.code is None or not found.surveyed or case == "all masks ignored":
        with pytest.raises(SegnetError):
            write_repaired(found, tmp_path / "fixed")
        assert not (tmp_path / "fixed").exists()
    else:
        write_repaired(found, tmp_path / "fixed")
        kinds = {fault.kind for fault in inspect_folder(tmp_path / "fixed").faults}
        assert kinds <= NOT_MENDED | (NO_COPY & {kind})
    assert contents(data) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_soft_edges_move_to_the_nearest_class(data, tmp_path):
    write(data, "dataset.yaml", b"values: {0: background, 255: square}")
    all_masks(data, values([0, 255]))
    soft = smoothed(Image.open(data / M0).point(lambda value: value // 255))
    soft.save(data / M0)
    found, done = repaired(data, tmp_path)
    assert (found.errors, done.left_out, done.mended) == ([], {}, {"soft-edges": 1})
    expected = (np.asarray(soft) > 127).astype(int)
    assert np.asarray(Image.open(tmp_path / "fixed" / M0)).tolist() == expected.tolist()


def test_soft_edges_of_colour_masks_too_and_the_colours_stay(data, tmp_path):
    table = np.array([(0, 0, 0), (200, 0, 100)], np.uint8)
    write(data, "dataset.yaml", b"classes: {background: [0, 0, 0], square: [200, 0, 100]}")
    all_masks(data, lambda mask: Image.fromarray(table[np.asarray(mask)]))
    with Image.open(data / M0) as mask:
        mask.resize((13, 13)).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(data / M0)
    found, _ = repaired(data, tmp_path)
    assert lines_of(found) == []
    assert found.table.colours == ((0, 0, 0), (200, 0, 100))


def test_a_mask_that_was_drawn_before_its_image_was_turned_is_turned_with_it(data, tmp_path):
    for file in (T0, M0):
        resave(data / file, lambda image: image.crop((0, 0, 40, 24)))
    expected = np.rot90(np.asarray(Image.open(data / M0)), -1)
    turned(data / T0, 6)
    found, done = repaired(data, tmp_path)
    assert (lines_of(found), done.left_out, done.mended) == ([], {}, {"sizes-differ": 1})
    assert np.asarray(Image.open(tmp_path / "fixed" / M0)).tolist() == expected.tolist()


def test_an_image_of_two_splits_stays_where_it_is_not_trained_on(data, tmp_path):
    for part in ("images", "masks"):
        copy(data, f"train/{part}/t0.png", f"val/{part}/v0.png")
    found, done = repaired(data, tmp_path)
    assert (found.images, done.left_out) == ({"train": 7, "val": 5}, {"duplicate": 1})
    assert not (tmp_path / "fixed" / T0).exists()


@pytest.mark.parametrize("where", ["data/copy", "data", ".", "there"])
def test_a_copy_goes_to_a_new_folder_beside(where, data, tmp_path):
    (tmp_path / "there").mkdir()
    write(tmp_path, "there/file", b"mine")
    with pytest.raises(SegnetError, match=r"name a (new )?folder"):
        require_new_folder(tmp_path / where, data)


@pytest.mark.parametrize("part", ["nothing", "images", "masks of other names", "masks that are JPEGs"])
def test_a_folder_without_a_usable_pair_is_told_what_it_lacks(part, tmp_path):
    """Without a dataset.yaml too, where the masks are asked what they mean."""
    (tmp_path / "images").mkdir()
    if part != "nothing":
        put(tmp_path, "", "a", 0)
        shutil.rmtree(tmp_path / "masks") if part == "images" else None
    if part == "masks of other names":
        move(tmp_path, "masks/a.png", "masks/a_mask.png")
    if part == "masks that are JPEGs":
        save_as(tmp_path, "masks/a.png", "masks/a.jpg")
    inspection = inspect_folder(tmp_path)
    assert inspection.faults
    assert not any(fault.kind == "mask-meaning" for fault in inspection.faults)


def test_a_value_that_one_mask_alone_holds_is_a_stray(good_folder, tmp_path):
    data = shutil.copytree(good_folder, tmp_path / "data")
    (data / "dataset.yaml").unlink()
    resave(data / M0, values([0, 7]))  # in place of the square
    (fault,) = inspect_folder(data).faults
    assert str(fault.file).endswith(M0)
    assert "holds 7, which no other of the 13 masks does; they hold 0, 1" in str(fault)
