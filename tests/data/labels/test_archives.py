"""A ``.zip`` of any format is read as its folder would be, and no archive leads outside or fills the disk."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from . import test_convert
from .label_files import masks, photo
from .test_cvat import LEAF, document, image
from .test_mask_folders import exported, frame, with_objects
from .test_voc import LABELMAP, coloured, layout


def as_label_studio(root):
    test_convert.as_label_studio(root)
    (root / "photos").rename(root / "images")


EVERY_FORMAT = {
    "COCO": test_convert.as_coco,
    "LabelMe": test_convert.as_labelme,
    "YOLO": test_convert.as_yolo,
    "CVAT": test_convert.as_cvat,
    "Label Studio": as_label_studio,
    "VOC": lambda root: layout(root, coloured(), LABELMAP),
    "Cityscapes": lambda root: frame(root, "train", "ulm/ulm_0", np.full((40, 60), 7, np.uint8)),
    "Roboflow": exported,
    "objects": lambda root: with_objects(root, "a1"),
}


def zipped(folder, archive, prefix=""):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in sorted(folder.rglob("*")):
            opened.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
    return archive


def archive_of(tmp_path, entries, name="labels.zip"):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as opened:
        for entry, content in entries.items():
            opened.writestr(entry, content)
    return tmp_path / name


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files, which must be empty at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize("prefix", ["", "export of today/", "a/b/"])
@pytest.mark.parametrize("format_", EVERY_FORMAT)
def test_an_archive_is_read_as_its_folder(format_, prefix, tmp_path, temporary):
    folder = tmp_path / "folder"
    EVERY_FORMAT[format_](folder)
    convert(folder, tmp_path / "from-folder")
    before = zipped(folder, tmp_path / "labels.zip", prefix).read_bytes()
    convert(tmp_path / "labels.zip", tmp_path / "from-archive")
    expected, found = (sorted(masks(tmp_path / f"from-{each}").items()) for each in ("folder", "archive"))
    assert len(expected) == len(found) > 0
    for (name, mask), (other, again) in zip(expected, found, strict=True):
        assert other.split("/")[-1] == name.split("/")[-1]
        np.testing.assert_array_equal(mask, again)
    assert (tmp_path / "labels.zip").read_bytes() == before


def test_images_may_come_in_an_archive_too(tmp_path, temporary):
    (tmp_path / "a.xml").write_text(document(image(LEAF)))
    photo(tmp_path / "photos/a.jpg")
    zipped(tmp_path / "photos", tmp_path / "photos.zip")
    done = convert(tmp_path / "a.xml", tmp_path / "new/data", images=[tmp_path / "photos.zip"])
    assert done.images == {"": 1}


@pytest.mark.parametrize("prefix", ["photos/", "a/images/"])
def test_images_in_an_archive_may_lie_in_a_folder(prefix, tmp_path, temporary):
    (tmp_path / "a.xml").write_text(document(image(LEAF)))
    root = layout(tmp_path / "voc", coloured(), LABELMAP)
    zipped(root / "JPEGImages", tmp_path / "photos.zip", prefix)
    (root / "JPEGImages/a.jpg").unlink()
    for number, source in enumerate((tmp_path / "a.xml", root)):
        done = convert(source, tmp_path / f"new/{number}", images=[tmp_path / "photos.zip"])
        assert done.images == {"": 1}
        assert not done.tally.images_left_out


def test_a_project_of_supervisely_is_refused_by_name(tmp_path, temporary):
    archive = archive_of(tmp_path, {"meta.json": '{"classes": []}', "set/ann/a.jpg.json": '{"objects": []}'})
    with pytest.raises(SegnetError, match="a project of Supervisely; export it as COCO or as Pascal VOC"):
        convert(archive, tmp_path / "new")


def test_several_folders_in_an_archive_are_several_jobs(tmp_path, temporary):
    for job in ("first", "second"):
        photo(tmp_path / "jobs" / job / "images/a.jpg")
        (tmp_path / "jobs" / job / "annotations.xml").write_text(document(image(LEAF)))
    convert(zipped(tmp_path / "jobs", tmp_path / "jobs.zip"), tmp_path / "new")
    assert [*masks(tmp_path / "new")] == ["masks/first/a.png", "masks/second/a.png"]


def test_what_macos_leaves_in_an_archive_is_no_label(tmp_path, temporary):
    photo(tmp_path / "a.jpg")
    entries = {
        "job/annotations.xml": document(image(LEAF)),
        "job/a.jpg": (tmp_path / "a.jpg").read_bytes(),
        "__MACOSX/job/._annotations.xml": b"\0\5\x16\7",
        "job/.DS_Store": b"\0",
        "job/._a.jpg": b"\0",
    }
    assert convert(archive_of(tmp_path, entries), tmp_path / "new").images == {"": 1}


def test_names_written_by_windows_and_macos_are_read(tmp_path, temporary):
    photo(tmp_path / "a.jpg")
    archive = archive_of(tmp_path, {"photos\\ärger.jpg": (tmp_path / "a.jpg").read_bytes()})
    content = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        struct.pack_into("<H", content, content.index(signature) + place, 0)  # no flag that says UTF-8
    archive.write_bytes(content)
    (tmp_path / "a.xml").write_text(document(image(LEAF, "photos/ärger.jpg")), encoding="utf-8")
    assert convert(tmp_path / "a.xml", tmp_path / "new/data", images=[archive]).images == {"": 1}


def encrypted(archive):
    content = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        content[content.index(signature) + place] |= 1
    archive.write_bytes(content)


def linked(archive):
    with zipfile.ZipFile(archive, "a") as opened:
        entry = zipfile.ZipInfo("link.xml")
        entry.external_attr = 0o120777 << 16
        opened.writestr(entry, "/etc/passwd")


@pytest.mark.parametrize(
    ("entries", "change", "said"),
    [
        ({"../a.xml": "x"}, None, r"labels.zip: '../a.xml' would lie outside its folder; unpack it yourself"),
        ({"a/../../b.xml": "x"}, None, "would lie outside its folder"),
        ({"/etc/a.xml": "x"}, None, "would lie outside its folder"),
        ({"C:\\a.xml": "x"}, None, "would lie outside its folder"),
        ({"a.xml": "x"}, encrypted, "'a.xml' is encrypted"),
        ({"a.xml": "x"}, linked, "'link.xml' is a link"),
        ({"a\\b.xml": "x", "a/b.xml": "y"}, None, "'a/b.xml' is in it twice"),
        ({"a.xml": "x"}, lambda archive: archive.write_bytes(b"PK no"), "is damaged or no zip archive"),
        (
            {"inner.zip": "x"},
            None,
            r"labels.zip holds no labels that are known, but the archive inner.zip; give",
        ),
        ({"a.xml": "<html/>"}, None, r"labels.zip/?.* holds no labels that are known"),
        (
            {"annotations.xml": document(image(LEAF, "b.jpg"))},
            None,
            r"labels.zip/annotations.xml: b.jpg names the image",
        ),
    ],
)
def test_an_archive_that_cannot_be_read_is_named(entries, change, said, tmp_path, temporary):
    archive = archive_of(tmp_path, entries)
    if change is not None:
        change(archive)
    before = {*tmp_path.rglob("*")}
    with pytest.raises(SegnetError, match=said) as caught:
        convert(archive, tmp_path / "new")
    assert str(temporary) not in str(caught.value)
    assert {*tmp_path.rglob("*")} == before


def test_an_archive_that_would_fill_the_disk_is_refused_before_anything_is_written(tmp_path, temporary):
    archive = archive_of(tmp_path, {"a.xml": bytes(99)}, "bomb.zip")
    content = bytearray(archive.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 3 << 30)  # as large as a bomb says it is
    archive.write_bytes(content)
    with pytest.raises(SegnetError, match=r"bomb.zip has .* bytes and would become 3,221,225,472 in 1 files"):
        convert(archive, tmp_path / "new")


def test_a_damaged_entry_is_named_with_its_archive(tmp_path, temporary):
    archive = archive_of(tmp_path, {"a.xml": document(image(LEAF)) * 50})
    content = bytearray(archive.read_bytes())
    content[60:80] = bytes(20)
    archive.write_bytes(content)
    with pytest.raises(SegnetError, match=r"labels.zip is damaged or no zip archive"):
        convert(archive, tmp_path / "new")


def test_warnings_name_the_archive(tmp_path, temporary):
    folder = tmp_path / "job"
    photo(folder / "a.jpg")
    (folder / "annotations.xml").write_text(document(image(LEAF + '<points label="leaf" points="1,1"/>')))
    done = convert(zipped(folder, tmp_path / "labels.zip"), tmp_path / "new")
    assert done.warnings[0].startswith(
        f"{tmp_path / 'labels.zip'}/annotations.xml: a.jpg, shape 2 is a points"
    )
    assert Path(tmp_path / "labels.zip").is_file()
