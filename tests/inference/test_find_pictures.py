"""Which files a prediction takes, what it skips, how often it opens them, and where masks of maps lie."""

import json
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.base.files import cache_folder
from segnet.data.images.file_records import TABLE
from segnet.inference.bulk.places import Address, find_sources
from segnet.inference.bulk.worker import Options, Worker
from segnet.inference.predict_files import (
    find_images,
    names_of,
    pictures_of,
    predict_files,
)
from segnet.inference.write_results import write_segmentation

GEO = [
    (33550, "d", 3, (0.25, 0.25, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 440720.125, 3751320.75, 0.0), True),
    (34735, "H", 8, (1, 1, 0, 1, 3072, 0, 1, 32611), True),
    (34736, "d", 2, (6378137.0, 298.257223563), True),
    (34737, "s", 0, "WGS 84 / UTM zone 11N|", True),
]
GEO_TAGS = [tag for tag, *_ in GEO]


def geotiff(file, pages=1, nodata=None, **options):
    """Write red pages of a map, of which the left third has no data where that is marked."""
    tags = GEO + ([(42113, "s", 0, str(nodata), True)] if nodata is not None else [])
    values = np.zeros((20, 33, 3), np.uint8)
    values[..., 0] = 200
    if nodata is not None:
        values[:, :11] = nodata
    with tifffile.TiffWriter(file) as tiff:
        for _ in range(pages):
            tiff.write(values, photometric="rgb", extratags=tags, **options)


# What outputs are called


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["scan.tif", "scan.page2.png"], ["scan", "scan.page2-2"]),
        (["scan.page2.png", "scan.tif"], ["scan.page2-2", "scan"]),
        (["Scan.tif", "scan.PAGE2.png", "scan.page1.png"], ["Scan", "scan.PAGE2", "scan.page1-2"]),
        (["a.png", "a.tif", "a-2.page1.jpg"], ["a", "a-2", "a-2.page1-2"]),
        (["a.tif", "a.page1.tif", "a.page1.page1.tif"], ["a", "a.page1-2", "a.page1.page1-2"]),
        (["scan.page1.png", "scan.page2.png"], ["scan.page1", "scan.page2"]),
    ],
)
def test_no_name_can_be_that_of_another_files_page(files, names, tmp_path):
    assert names_of([tmp_path / file for file in files], [tmp_path]) == names


def test_pages_and_files_named_like_pages_give_outputs_of_their_own(segnet, here, brightest_channel):
    red, blue = Image.new("RGB", (30, 20), (200, 0, 0)), Image.new("RGB", (30, 20), (0, 0, 200))
    (here / "in").mkdir()
    red.save(here / "in/scan.tif", save_all=True, append_images=[red])
    blue.save(here / "in/scan.page2.png")
    pictures = [*pictures_of(find_images(["in"]), ["in"])]
    sources = find_sources(["in"])
    assert {each.name for each in sources} == {"scan", "scan.page2-2"}, "the same in bulk"
    written = {}
    for picture, result in predict_files(brightest_channel, pictures):
        file = write_segmentation(result, here / "out", picture.name, overlay=False)["mask"]
        written[file.name] = int(np.asarray(Image.open(file))[0, 0])
    assert written == {"scan.page1.mask.png": 0, "scan.page2.mask.png": 0, "scan.page2-2.mask.png": 2}


# What is found, skipped and opened


def test_what_a_folder_holds_beside_pictures_is_counted_on_standard_error(segnet, here, onnx_file):
    (here / "in/deep").mkdir(parents=True)
    for name in ("a.jp2", "b.jfif", "c.jpe", "d.pgm", "deep/e.tga"):
        Image.new("L", (30, 20), 9).save(here / "in" / name)
    for name in ("notes.txt", "deep/f.heic", "deep/g.heic", ".hidden.txt", "a.mask.tif"):
        (here / "in" / name).write_bytes(b"-")
    ended = segnet("predict", "in", "--model", onnx_file, "--no-overlay")
    assert ended.code == 0
    found = [json.loads(line)["image"] for line in ended.out.splitlines()]
    assert [name.removeprefix("in/") for name in found] == ["a.jp2", "b.jfif", "c.jpe", "d.pgm", "deep/e.tga"]
    if ".heic" in ended.err:
        assert ended.err == "segnet: 3 files skipped: 2 .heic (pip install pillow-heif), 1 .txt\n"


def test_linked_folders_are_walked_once(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    for name in ("in/a.png", "in/deep/b.png", "far/c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "in/linked").symlink_to(tmp_path / "far")
    (tmp_path / "in/deep/again").symlink_to(tmp_path / "in")
    found = [file.relative_to(tmp_path / "in").as_posix() for file in find_images([str(tmp_path / "in")])]
    assert found == ["a.png", "deep/b.png", "linked/c.png"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "in/closed").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "in/a.png")
    listing = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SegnetError, match="in/closed can't be listed: Permission denied; make it readable"):
        find_images([str(tmp_path / "in")])


def test_a_photo_is_opened_once_and_leaves_no_name_behind(here, onnx_file):
    Image.new("RGB", (30, 20), "red").save(here / "photo.jpg")
    program = (
        "import sys\nopened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        "from segnet.cli import main\n"
        f"sys.argv = ['segnet', 'predict', 'photo.jpg', '--model', {str(onnx_file)!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "print(sum(each.endswith('photo.jpg') for each in opened))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1"
    table = cache_folder() / TABLE
    if table.exists():
        with sqlite3.connect(table) as rows:
            found = rows.execute("SELECT name FROM files WHERE name = ?", (b"photo.jpg",)).fetchall()
        assert not [each for each in found if each]


def test_a_bad_photo_leaves_the_others_done_and_is_named(segnet, here, onnx_file):
    exif = Image.Exif()
    exif[274] = 6
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        Image.new("RGB", (30, 20), "red").save(here / name, exif=exif)
    (here / "b.jpg").write_bytes((here / "b.jpg").read_bytes()[:200])
    ended = segnet("predict", "a.jpg", "b.jpg", "c.jpg", "--model", onnx_file, "--no-overlay")
    assert ended.code == 1
    assert [json.loads(line)["image"] for line in ended.out.splitlines()] == ["a.jpg", "c.jpg"]
    assert "b.jpg is damaged" in ended.err


# Maps


@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_a_mask_of_a_map_lies_where_the_map_does(nodata, segnet, here, onnx_file):
    geotiff(here / "a.tif", nodata=nodata)
    ended = segnet("predict", "a.tif", "--model", onnx_file, "--out", "out")
    assert ended.code == 0, ended.err
    line = json.loads(ended.out)
    assert line["mask"] == "out/a.mask.tif"
    with tifffile.TiffFile(here / "a.tif") as before, tifffile.TiffFile(here / line["mask"]) as after:
        for tag in GEO_TAGS:
            assert after.pages[0].tags[tag].value == before.pages[0].tags[tag].value
            assert after.pages[0].tags[tag].dtype == before.pages[0].tags[tag].dtype
        assert after.pages[0].compression != 1
        stored = after.pages[0].tags.get(42113)
        ids = after.asarray()
    assert (None if stored is None else stored.value) == (None if nodata is None else "255")
    with Image.open(here / line["mask"]) as mask:
        assert (mask.mode, mask.size) == ("P", (33, 20))
        assert np.array_equal(mask, ids)
    assert (ids[:, :11] == 255).all() == (nodata is not None)
    assert (ids[:, 11:] < 3).all()
    assert line.get("nodata") == (None if nodata is None else pytest.approx(1 / 3, abs=1e-6))
    assert sum(each["share"] for each in line["classes"]) == pytest.approx(1, abs=1e-5)
    assert segnet("predict", "out", "--model", onnx_file).code == 2, "it is an output of segnet"


def test_bulk_prediction_writes_the_same_maps(segnet, here, onnx_file):
    (here / "in").mkdir()
    geotiff(here / "in/a.tif", nodata=0)
    geotiff(here / "in/b.tif", pages=2)
    segnet("predict", "in", "--model", onnx_file, "--out", "out")
    sources = find_sources(["in"])
    model = {onnx_file.name: onnx_file.read_bytes()}
    Worker(model, Options(), Address.at("bulk"), _version(), "0").do(0, sources)
    names = {"a.mask.tif", "b.page1.mask.tif", "b.page2.mask.tif"}
    assert {file.name for file in (here / "out").glob("*.mask.*")} == names
    for name in names:
        assert (here / "bulk" / name).read_bytes() == (here / "out" / name).read_bytes()


def _version():
    from segnet import __version__

    return __version__


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_turned_map_gives_a_plain_mask(orientation, here):
    geotiff(here / "a.tif")
    values, tags = tifffile.imread(here / "a.tif"), [*GEO, (274, "H", 1, orientation, True)]
    tifffile.imwrite(here / "a.tif", values, photometric="rgb", extratags=tags)
    (picture,) = pictures_of([here / "a.tif"])
    assert (picture.like is None) == (orientation == 6)
    picture.source.close()


def test_values_that_an_array_masks_have_no_data(brightest_channel):
    pixels = np.zeros((20, 33, 3), np.uint8)
    pixels[..., 2] = 99
    masked = np.ma.MaskedArray(pixels, np.zeros(pixels.shape, bool))
    masked[:, :11] = np.ma.masked
    found = brightest_channel.predict(masked)
    assert (found.mask[:, :11] == 255).all()
    assert (found.mask[:, 11:] == 2).all()
    assert found.areas()["blue"] == 1


def test_a_limit_of_pixels_holds_for_each_page_and_for_the_command_alone(segnet, here, onnx_file):
    small, large = Image.new("RGB", (30, 20)), Image.new("RGB", (1200, 1000))
    small.save(here / "a.tif", save_all=True, append_images=[large], compression="tiff_adobe_deflate")
    limit = Image.MAX_IMAGE_PIXELS
    command = ("predict", "a.tif", "--model", onnx_file, "--no-overlay", "--max-megapixels")
    ended = segnet(*command, "1")
    assert ended.code == 1
    assert [json.loads(line)["page"] for line in ended.out.splitlines()] == [1]
    assert "a.tif has too many pixels to open safely (1,200,000" in ended.err
    assert segnet(*command, "2").code == 0
    assert limit == Image.MAX_IMAGE_PIXELS
    assert "--max-megapixels must be 1 or more" in segnet(*command, "0").err


def test_each_page_has_its_own_entry_in_coco(segnet, here, onnx_file):
    page = Image.fromarray(np.random.RandomState(0).randint(0, 256, (20, 30, 3), np.uint8))
    page.save(here / "a.tif", save_all=True, append_images=[page])
    assert segnet("predict", "a.tif", "--model", onnx_file, "--format", "coco").code == 0
    images = json.loads((here / "masks/annotations.json").read_text())["images"]
    assert [(each["file_name"], each["page"]) for each in images] == [("a.tif", 1), ("a.tif", 2)]
