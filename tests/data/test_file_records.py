"""What files held is remembered exactly as long as they are what they were."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.folder import load_folder
from segnet.data.identify import records_of
from segnet.data.images.file_records import TABLE, file_digest, new_look, one_look, recall
from segnet.data.images.reading import Picture
from segnet.data.images.stored_layout import Header
from segnet.data.masks.stored_values import Stored


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """Files that nobody has touched for two seconds, one for each test that asks for its name."""
    folder = tmp_path_factory.mktemp("settled")
    for name in ("kept", "same size", "while read", "moved", "older", "again", "in a look", "rows", "gone"):
        (folder / name).write_bytes(name.encode())
    for number in range(8):
        for part in ("images", "masks"):
            (folder / "data" / part).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 18), (number, 9, 9)).save(folder / f"data/images/{number}.jpg")
        mask = Image.fromarray(np.arange(360, dtype=np.uint8).reshape(18, 20) % 3)
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        mask.save(folder / f"data/masks/{number}.png")
    time.sleep(2.1)
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SEGNET_LOOK_AGAIN", raising=False)


class Reads:
    """Reads a file and counts how often it had to."""

    def __init__(self, file: Path) -> None:
        self.file, self.count = file, 0

    def __call__(self) -> dict[str, bytes]:
        self.count += 1
        return {"digest": self.file.read_bytes()}

    def ask(self) -> bytes:
        return recall(self.file, "digest", self)


def test_a_file_that_stays_is_read_once(settled):
    reads = Reads(settled / "kept")
    assert [reads.ask(), reads.ask()] == [b"kept", b"kept"]
    assert reads.count == 1


def test_other_bytes_of_the_same_size_and_date_are_seen(settled):
    reads = Reads(settled / "same size")
    reads.ask()
    before = reads.file.stat()
    reads.file.write_bytes(b"SAME SIZE")
    os.utime(reads.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert reads.ask() == b"SAME SIZE"


def test_another_file_in_its_place_is_seen_though_all_its_dates_are_older(settled):
    reads = Reads(settled / "moved")
    reads.ask()
    (settled / "kept").with_name("other").hardlink_to(settled / "older")  # an inode that is settled
    (settled / "other").replace(settled / "moved")
    assert reads.ask() == b"older"


def test_a_file_younger_than_two_seconds_is_read_again(tmp_path):
    reads = Reads(tmp_path / "fresh")
    reads.file.write_bytes(b"first")
    assert reads.ask() == reads.ask() == b"first"
    assert reads.count == 2


def test_a_file_with_a_date_in_the_future_is_read_again(settled, tmp_path):
    reads = Reads(tmp_path / "future")
    reads.file.write_bytes(b"from tomorrow")
    os.utime(reads.file, (time.time() + 86400,) * 2)
    time.sleep(2.1)
    assert reads.ask() == reads.ask()
    assert reads.count == 2


def test_what_changes_while_it_is_read_is_not_remembered(settled):
    file = settled / "while read"

    def read() -> dict[str, bytes]:
        old = file.read_bytes()
        file.write_bytes(b"while READ")
        return {"digest": old}

    assert recall(file, "digest", read) == b"while read"
    time.sleep(2.1)  # now it would count as settled
    assert recall(file, "digest", lambda: {"digest": file.read_bytes()}) == b"while READ"


def test_look_again_trusts_nothing_and_remembers_what_it_sees(settled, monkeypatch):
    reads = Reads(settled / "again")
    reads.ask()
    monkeypatch.setenv("SEGNET_LOOK_AGAIN", "1")
    reads.ask()
    assert reads.count == 2
    monkeypatch.delenv("SEGNET_LOOK_AGAIN")
    reads.ask()
    assert reads.count == 2


def test_in_one_look_a_file_is_what_it_was_at_first_and_a_new_look_sees_it_anew(settled):
    file = settled / "in a look"
    with one_look():
        first = file_digest(file)
        file.write_bytes(b"changed")
        with one_look():
            assert file_digest(file) == first
        with new_look():
            assert file_digest(file) == hashlib.sha256(b"changed").digest()
        assert file_digest(file) == first
    assert file_digest(file) == hashlib.sha256(b"changed").digest()


def test_what_one_look_has_read_the_next_knows(settled):
    reads = Reads(settled / "rows")
    for _ in range(2):
        with one_look():
            reads.ask()
    assert reads.count == 1


@pytest.mark.parametrize(
    "content", [b"", b"no table at all" * 100, None], ids=["empty", "damaged", "a folder"]
)
def test_a_table_that_cannot_be_used_costs_time_alone(content, settled, tmp_path):
    table = tmp_path / "cache" / TABLE
    table.parent.mkdir()
    table.mkdir() if content is None else table.write_bytes(content)
    with one_look():
        assert file_digest(settled / "kept") == hashlib.sha256(b"kept").digest()
    assert file_digest(settled / "kept") == hashlib.sha256(b"kept").digest()


def test_a_file_that_is_gone_is_said_to_be(settled):
    file_digest(settled / "gone")
    (settled / "gone").unlink()
    with pytest.raises(SegnetError, match=r"gone can't be read: No such file"):
        file_digest(settled / "gone")


def test_a_second_look_at_a_folder_opens_no_image_and_finds_the_same(settled, monkeypatch):
    def look():
        dataset = load_folder(settled / "data")
        return dataset, records_of(dataset.train), [sample.name for sample in dataset.val]

    first = look()
    with monkeypatch.context() as patched:
        patched.setattr(Image, "open", None)
        patched.setattr(Path, "read_bytes", None)
        assert look() == first
    (settled / "data/masks/3.png").unlink()
    with pytest.raises(SegnetError, match=r"3\.jpg has no mask"):
        look()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        *(("RGB", suffix) for suffix in ("png", "jpg", "tif", "webp", "bmp", "gif")),
        *((mode, "png") for mode in ("1", "L", "P", "RGBA", "I;16")),
        *((mode, "tif") for mode in ("F", "CMYK", "RGBA")),
    ],
)
def test_a_header_is_remembered_whole(mode, suffix, tmp_path):
    image = Image.new(mode, (21, 17))
    image.getexif()[0x0112] = 6
    image.save(tmp_path / f"image.{suffix}", exif=image.getexif())
    header = Picture(tmp_path / f"image.{suffix}").header
    assert Header.from_bytes(header.to_bytes()) == header


@pytest.mark.parametrize("kind", ["grey", "palette", "colour", "one value"])
def test_what_a_mask_stores_is_remembered_whole(kind, settled, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 9, (30, 31, 3), np.uint8)
    image = {
        "grey": Image.fromarray(pixels[..., 0]),
        "palette": Image.open(settled / "data/masks/0.png"),
        "colour": Image.fromarray(pixels),
        "one value": Image.new("L", (5, 5), 7),
    }[kind]
    image.save(tmp_path / "mask.png")
    with one_look():
        found = [Stored.of_file(tmp_path / "mask.png") for _ in range(2)]
    assert found == [Stored.of(image)] * 2
