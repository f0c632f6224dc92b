"""Thousands of damaged files: each is an error in one line or a right result, never a crash or a flood.

Mutations are drawn from a seed: bytes changed, cut out, doubled, and numbers replaced by extreme ones.
"""

import itertools
import json
import resource
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from segnet.base.classes import ClassTable
from segnet.base.errors import SegnetError
from segnet.data.images.headers import read_header
from segnet.data.images.intensity import Intensity
from segnet.data.images.reading import open_rgb
from segnet.data.labels.recognise import read_labels
from segnet.data.masks.dataset_yaml import read_description
from segnet.inference.description import Description
from segnet.inference.model_file import read_model, write_model_file
from segnet.models import create_model

FEW, MANY = 400, 1600
LONGEST_S = 10


def mutated(content, random):
    """One to four changes of some bytes."""
    data = bytearray(content)
    for _ in range(random.randint(1, 5)):
        if not data:
            break
        place, kind = random.randint(len(data)), random.randint(6)
        if kind == 0:
            data[place] ^= 1 << random.randint(8)
        elif kind == 1:
            data[place : place + 4] = random.choice(
                [b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0"]
            )
        elif kind == 2:
            del data[place : place + random.randint(1, 40)]
        elif kind == 3:
            data[place:place] = data[place : place + random.randint(1, 60)]
        elif kind == 4:
            del data[place:]
        else:
            data[place : place + 1] = bytes([random.randint(256)])
    return bytes(data)


def picture(file, **options):
    pixels = np.random.RandomState(0).randint(0, 255, (24, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, **options)
    return file.read_bytes()


def a_mask(file):
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(file)
    return file.read_bytes()


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 24}],
    "categories": [{"id": 1, "name": "leaf"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 20, 1, 20, 20]], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [24, 30], "counts": [700, 20]}},
    ],
}
YAML = b"classes: {soil: [0, 0, 0], leaf: '#00ff00'}\nvalues: {0: soil, 255: leaf}\nignore: 7\n"


def coco(file):
    picture(file.parent / "a.png")
    return json.dumps(COCO).encode()


def weights(file):
    options = {"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]}
    classes = ClassTable.named(("soil", "leaf"))
    description = Description("segnet-lite", classes, (32, 32), "area", options=options)
    write_model_file(file, create_model("segnet-lite", 2, **options).state_dict(), description)
    return file.read_bytes()


def look_and_open(file):
    read_header(file)
    open_rgb(file)


def channels(file):
    values = np.random.RandomState(0).randint(0, 4096, (20, 30, 5)).astype(np.uint16)
    tifffile.imwrite(file, values, photometric="minisblack", planarconfig="contig", compression="zlib")
    return file.read_bytes()


def planes(file):
    values = np.random.RandomState(0).randint(0, 4096, (2, 20, 30)).astype(np.uint16)
    tifffile.imwrite(file, values, ome=True, metadata={"axes": "CYX"})
    return file.read_bytes()


def look_and_open_channels(count):
    def read(file):
        read_header(file)
        Intensity(count, ((0.0, 4096.0),) * count).open(file)

    return read


KINDS = {
    "channels.tif": (channels, look_and_open_channels(5)),
    "planes.tif": (planes, look_and_open_channels(2)),
    "a.png": (lambda file: picture(file), look_and_open),
    "a.jpg": (lambda file: picture(file, quality=80), look_and_open),
    "a.tif": (lambda file: picture(file, compression="tiff_lzw"), look_and_open),
    "pages.tif": (
        lambda file: picture(file, save_all=True, append_images=[Image.new("L", (9, 9))] * 3),
        look_and_open,
    ),
    "mask.png": (a_mask, look_and_open),
    "dataset.yaml": (lambda file: YAML, read_description),
    "coco.json": (coco, lambda file: read_labels(file)),
    "model.safetensors": (weights, lambda file: read_model(file)),
}


def what_is_said(read, file):
    try:
        read(file)
    except SegnetError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("mutations", [FEW, pytest.param(MANY, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_an_error_or_read_and_never_takes_long(name, mutations, tmp_path):
    write, read = KINDS[name]
    file = tmp_path / name
    content, random = write(file), np.random.RandomState((zlib.crc32(name.encode()) + mutations) % 2**32)
    refused = 0
    for _ in range(mutations):
        head = len(content) if name != "model.safetensors" else 2000  # behind it there are just weights
        file.write_bytes(mutated(content[:head], random) + content[head:])
        started = time.monotonic()
        said = what_is_said(read, file)
        refused += bool(said)
        assert "\n" not in said
        assert time.monotonic() - started < LONGEST_S
    assert refused > mutations / 10, "these mutations damage nothing"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20, "in KiB"


def bomb(width, height):
    """A PNG of so many pixels, all of one colour, in a few kilobytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + 3 * width)) for _ in range(min(height, 500))) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 1), (1, 2**31 - 1), (60_000, 3_000)])
def test_a_decompression_bomb_is_refused_in_little_memory(size, tmp_path):
    (tmp_path / "bomb.png").write_bytes(
        bomb(*size)
        if size[0] < 10**6
        else bomb(10, 10).replace(struct.pack(">II", 10, 10), struct.pack(">II", *size))
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom segnet.data.images.reading import open_rgb\n"
        "try:\n    open_rgb(Path(sys.argv[1]))\nexcept Exception as error:\n    print(type(error).__name__)\n"
        # not ru_maxrss, which begins with what the process had that started this one
        "peak = next(each for each in open('/proc/self/status') if each.startswith('VmHWM'))\n"
        "print(int(peak.split()[1]) >> 10)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.png")], capture_output=True, text=True, timeout=60
    )
    what, peak_mib = done.stdout.split()
    assert what == "Fault"
    assert int(peak_mib) < 1024


def test_a_yaml_of_names_within_names_is_refused_at_once(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in itertools.pairwise("abcdefghij")
    ]
    (tmp_path / "dataset.yaml").write_text("\n".join([*lines, "classes: *j"]))
    started = time.monotonic()
    assert len(what_is_said(read_description, tmp_path / "dataset.yaml")) < 1000
    assert time.monotonic() - started < LONGEST_S
