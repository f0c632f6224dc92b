"""Hugging Face datasets: bytes that a folder has too give the same pixels, masks, ids and faults.

Nothing here reaches the hub: datasets are saved to disk or to parquet, or are not there.
"""

import io
import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from segnet import DataOptions, SegnetError, load_dataset
from segnet.base import extras
from segnet.base.settings import absolute_paths
from segnet.data.huggingface.hf_table import find_columns
from segnet.data.identify import manifest_of
from segnet.data.options import DATASET_NAMES
from segnet.data.store.fit_to_size import Fit
from segnet.data.store.open_split import open_pixels

datasets = pytest.importorskip("datasets")

PICTURE = datasets.Image()
BYTES = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
NUMBERS = datasets.List(datasets.List(datasets.Value("int32")))


@pytest.fixture(autouse=True)
def _no_bars():
    """Those of writing; what segnet reads must stay quiet by itself."""
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def encoded(pixels, suffix="png", **options):
    stream = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(stream, {"jpg": "JPEG"}.get(suffix, suffix.upper()), **options)
    return stream.getvalue()


def drawn(seed, size=(20, 30), classes=2):
    random = np.random.RandomState(seed)
    image = random.randint(0, 255, (*size, 3), np.uint8)
    return image, random.randint(0, classes, size).astype(np.uint8)


def cell(content, name=None):
    return {"bytes": content, "path": name}


def pairs(count, first=0):
    """Rows of a photo and its mask, as they come from most datasets."""
    rows = []
    for seed in range(first, first + count):
        image, mask = drawn(seed)
        rows.append(
            {
                "image": cell(encoded(image, "jpg"), f"photo{seed}.jpg"),
                "mask": cell(encoded(mask), f"photo{seed}.png"),
            }
        )
    return rows


def table(rows, **features):
    """A table of these rows; a column is one of pictures unless its type is named."""
    kinds = {name: features.get(name, PICTURE) for name in rows[0]}
    return datasets.Dataset.from_list(rows, features=datasets.Features(kinds))


def save(root, **splits):
    datasets.DatasetDict(splits).save_to_disk(root)
    return root


def load(root, **options):
    return load_dataset(DataOptions(data=f"hf:{root}", **options))


def why(root, **options):
    with pytest.raises(SegnetError) as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def write_folder(root, rows):
    for row in rows:
        for part in ("images", "masks"):
            content = row[part[:-1]]
            (root / part).mkdir(parents=True, exist_ok=True)
            (root / part / content["path"]).write_bytes(content["bytes"])
    return root


def files_below(root):
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in root.rglob("*") if file.is_file()}


def names(samples):
    return [sample.name for sample in samples]


# The same as a folder


def saved(root, rows):
    table(rows).save_to_disk(root)
    return root


def in_parquet(root, rows):
    root.mkdir()
    table(rows).to_parquet(root / "train-00000-of-00001.parquet")
    return root


def in_parquet_of_another_library(root, rows):
    """Without what datasets writes beside the columns."""
    root.mkdir()
    table(rows, image=BYTES, mask=BYTES).to_parquet(root / "train.parquet")
    return root


def in_one_file(root, rows):
    return in_parquet(root, rows) / "train-00000-of-00001.parquet"


def as_image_folder(root, rows):
    lines = ["file_name,mask_file_name"]
    write_folder(root / "train", rows)
    for row in rows:
        lines.append(f"images/{row['image']['path']},masks/{row['mask']['path']}")
    (root / "train/metadata.csv").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize(
    "write", [saved, in_parquet, in_parquet_of_another_library, in_one_file, as_image_folder]
)
def test_the_same_files_give_the_same_splits_pixels_masks_and_ids_as_a_folder(write, tmp_path):
    rows = pairs(12)
    folder = load_dataset(DataOptions(data=str(write_folder(tmp_path / "folder", rows))))
    dataset = load(write(tmp_path / "hf", rows))
    assert dataset.classes == folder.classes
    for ours, theirs in ((dataset.train, folder.train), (dataset.val, folder.val)):
        theirs = sorted(theirs, key=lambda sample: sample.name)
        ours = sorted(ours, key=lambda sample: sample.name)
        assert names(ours) == names(theirs)
        assert [each.image_ids() for each in ours] == [each.image_ids() for each in theirs]
        assert [each.fingerprint() for each in ours] == [each.fingerprint() for each in theirs]
        cached, expected = (
            open_pixels(samples, dataset.classes, Fit((16, 16), "area")) for samples in (ours, theirs)
        )
        assert np.array_equal(cached.images, expected.images)
        assert np.array_equal(cached.masks, expected.masks)
        for sample in ours:  # against what was drawn
            assert np.array_equal(sample.read()[1], drawn(int(sample.name.removeprefix("photo")))[1])


PHOTOS = {
    "turned by EXIF": lambda image: encoded(
        image, "jpg", exif=(exif := Image.Exif(), exif.__setitem__(0x0112, 6))[0]
    ),
    "16 bits": lambda image: encoded(np.asarray(image.convert("L")).astype(np.uint16) * 256),
    "transparent": lambda image: encoded(image.convert("RGBA")),
    "CMYK": lambda image: encoded(image.convert("CMYK"), "jpg"),
    "a palette": lambda image: encoded(image.convert("P")),
}


@pytest.mark.parametrize("kind", PHOTOS)
def test_photos_of_every_mode_are_read_as_from_a_file(kind, tmp_path):
    side = (24, 24)
    rows = [
        {
            "image": cell(PHOTOS[kind](Image.fromarray(drawn(seed, side)[0])), f"{seed}.{suffix}"),
            "mask": cell(encoded(drawn(seed, side)[1]), f"{seed}.png"),
        }
        for seed in range(3)
        for suffix in ["jpg" if kind in ("turned by EXIF", "CMYK") else "png"]
    ]
    folder = load_dataset(DataOptions(data=str(write_folder(tmp_path / "folder", rows))))
    dataset = load(saved(tmp_path / "hf", rows))
    theirs = {sample.name: sample.read() for sample in (*folder.train, *folder.val)}
    for sample in (*dataset.train, *dataset.val):
        image, mask = sample.read()
        assert image.mode == "RGB"
        assert np.array_equal(image, theirs[sample.name][0])
        assert np.array_equal(mask, theirs[sample.name][1])
    assert len(dataset.warnings) == len(folder.warnings) == (kind == "turned by EXIF")


def test_channels_and_bits_are_read_as_from_a_file(tmp_path):
    rows, values = [], np.random.RandomState(0).randint(0, 4096, (4, 24, 24, 5)).astype(np.uint16)
    for number in range(4):
        stream = io.BytesIO()
        tifffile.imwrite(stream, values[number], photometric="minisblack", planarconfig="contig")
        mask = encoded(drawn(number, (24, 24))[1])
        rows.append({"image": cell(stream.getvalue(), f"{number}.tif"), "mask": cell(mask, f"{number}.png")})
    place = saved(tmp_path / "hf", rows)
    with pytest.raises(
        SegnetError, match=r"row 0 \(image\) has 5 channels where RGB or grey is taken; segnet"
    ):
        load(place)
    dataset = load(place, channels=5)
    for sample in (*dataset.train, *dataset.val):
        assert np.array_equal(sample.read_values(5), values[int(sample.name)])


def test_nothing_is_written_beside_the_users_files_and_nothing_is_printed(tmp_path, capfd):
    for write in (saved, in_parquet, as_image_folder):
        root = write(tmp_path / write.__name__, pairs(4))
        before = files_below(root)
        capfd.readouterr()
        datasets.enable_progress_bars()
        dataset = load(root)
        assert [sample.read() for sample in dataset.train]
        assert files_below(root) == before
        assert capfd.readouterr() == ("", "")
        assert not datasets.are_progress_bars_disabled()  # a program's own settings stay as they were


def test_rows_are_read_when_asked_for_and_from_many_threads(tmp_path):
    dataset = load(saved(tmp_path / "hf", pairs(40)))
    expected = {sample.name: sample.read()[1].copy() for sample in dataset.train}
    wrong = []

    def read():
        wrong.extend(
            sample.name
            for sample in dataset.train
            if not np.array_equal(sample.read()[1], expected[sample.name])
        )

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_changed_parquet_file_is_noticed(tmp_path):
    root = in_parquet(tmp_path / "hf", pairs(6))
    before = manifest_of(load(root), {})
    rows = pairs(6)
    rows[2]["mask"] = rows[3]["mask"]
    table(rows).to_parquet(root / "train-00000-of-00001.parquet")
    assert "1 changed (photo2)" in before.changes(manifest_of(load(root), {}))


# Splits


@pytest.mark.parametrize(
    ("called", "ours"),
    [
        (("train", "validation", "test"), (3, 2, 1)),
        (("training", "val", "testing"), (3, 2, 1)),
        (("Train", "dev"), (3, 2, 0)),
        (("train", "valid"), (3, 2, 0)),
    ],
)
def test_splits_are_known_by_their_usual_names(called, ours, tmp_path):
    tables = {name: table(pairs(count, 10 * count)) for name, count in zip(called, (3, 2, 1), strict=False)}
    dataset = load(save(tmp_path / "hf", **tables))
    assert tuple(len(each) for each in (dataset.train, dataset.val, dataset.test)) == ours
    assert dataset.val_is == "its own validation split"


def test_of_a_dataset_without_validation_a_part_is_held_out(tmp_path):
    root = save(tmp_path / "hf", train=table(pairs(20)), test=table(pairs(3, 100)))
    dataset = load(root, holdout=0.3, seed=1)
    assert (len(dataset.train) + len(dataset.val), len(dataset.test)) == (20, 3)
    assert 0 < len(dataset.val) < 12
    assert names(load(root, holdout=0.3, seed=1).val) == names(dataset.val)
    assert len(load(root, fold="1/2").val) > 0


def test_a_single_split_of_any_name_is_trained_on_and_others_are_left_out_and_named(tmp_path):
    assert len(load(save(tmp_path / "one", full=table(pairs(5)))).train) == 4
    more = save(tmp_path / "more", train=table(pairs(5)), unlabelled=table(pairs(2, 50)))
    assert load(more).warnings == (f"hf:{more} has a split unlabelled too, which isn't used",)
    said = why(save(tmp_path / "none", a=table(pairs(2)), b=table(pairs(2, 50))))
    assert "has the splits a, b, none of them train, validation or test" in said
    said = why(save(tmp_path / "two", val=table(pairs(2)), dev=table(pairs(2, 50))))
    assert "both for val" in said


def test_a_test_split_whose_masks_are_kept_back_is_left_out(tmp_path):
    kept_back = [row | {"mask": None} for row in pairs(3, 50)]
    root = save(tmp_path / "hf", train=table(pairs(5)), test=table(kept_back))
    dataset = load(root)
    assert dataset.test == []
    assert dataset.warnings == (f"hf:{root}: the split test has no masks and isn't used",)


def test_rows_are_called_by_their_files_or_else_by_their_numbers(tmp_path):
    named = load(save(tmp_path / "named", train=table(pairs(3)), val=table(pairs(2, 50))))
    assert names(named.train) == ["photo0", "photo1", "photo2"]
    rows = pairs(3)
    rows[0]["image"]["path"] = rows[1]["image"]["path"]
    twice = load(save(tmp_path / "twice", train=table(rows), validation=table(pairs(2, 50))))
    assert names(twice.train) == ["train-0", "train-1", "train-2"]


# Columns


COLUMNS = {
    "image and mask": ({"image": PICTURE, "mask": PICTURE}, ("image", "mask")),
    "names of other tools": ({"pixel_values": PICTURE, "label": PICTURE}, ("pixel_values", "label")),
    "a class beside them": (
        {"image": PICTURE, "annotation": PICTURE, "label": datasets.ClassLabel(names=["a", "b"])},
        ("image", "annotation"),
    ),
    "words in names": (
        {"leftImage": PICTURE, "SegmentationMask": PICTURE},
        ("leftImage", "SegmentationMask"),
    ),
    "a mask of an image": ({"image": PICTURE, "image_mask": PICTURE}, ("image", "image_mask")),
    "only the mask is named": ({"scan": PICTURE, "trimap": PICTURE}, ("scan", "trimap")),
    "only the image is named": ({"photo": PICTURE, "leaves": PICTURE}, ("photo", "leaves")),
    "another picture": ({"image": PICTURE, "mask": PICTURE, "depth": PICTURE}, ("image", "mask")),
    "bytes": ({"image": BYTES, "mask": datasets.Value("binary")}, ("image", "mask")),
    "numbers": ({"image": PICTURE, "mask": NUMBERS}, ("image", "mask")),
    "an array": ({"image": PICTURE, "seg_map": datasets.Array2D((4, 4), "uint8")}, ("image", "seg_map")),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_are_found_by_type_and_name(case):
    features, expected = COLUMNS[case]
    found = find_columns("hf:x", datasets.Features(features))
    assert (found.image, found.mask) == expected
    assert found.mask_is_grid == (case in ("numbers", "an array"))


UNCLEAR = {
    "no mask": ({"image": PICTURE, "label": datasets.Value("int64")}, "a column of masks", "--mask-column"),
    "two masks": (
        {"image": PICTURE, "instance_mask": PICTURE, "semantic_mask": PICTURE},
        "which column holds the masks",
        "--mask-column",
    ),
    "two images": (
        {"left_image": PICTURE, "right_image": PICTURE, "mask": PICTURE},
        "which column holds the images",
        "--image-column",
    ),
    "neither": (
        {"before": PICTURE, "after": PICTURE},
        "which column holds the images and which column holds the masks",
        "--image-column and --mask-column",
    ),
    "no picture": (
        {"text": datasets.Value("string")},
        "a column of images and a column of masks",
        "--mask-column",
    ),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_where_columns_are_not_clear_one_line_names_them_and_the_option(case):
    features, said, option = UNCLEAR[case]
    with pytest.raises(SegnetError) as error:
        find_columns("hf:x", datasets.Features(features))
    assert said in str(error.value)
    assert str(error.value).endswith(option)
    assert all(name in str(error.value) for name in features)


def test_columns_that_are_named_are_taken(tmp_path):
    rows = [
        {"image": row["image"], "mask_a": row["mask"], "mask_b": cell(encoded(1 - drawn(seed)[1]))}
        for seed, row in enumerate(pairs(3))
    ]
    root = saved(tmp_path / "hf", rows)
    assert "mask_a (Image), mask_b (Image)" in why(root)
    for sample in load(root, mask_column="mask_b").train:
        assert np.array_equal(sample.read()[1], 1 - drawn(int(sample.name.removeprefix("photo")))[1])
    assert "did you mean 'mask_a'" in why(root, mask_column="maska")
    assert "name two columns" in why(root, image_column="image", mask_column="image")


def test_a_column_of_another_type_is_refused(tmp_path):
    rows = [row | {"width": 30} for row in pairs(2)]
    table(rows, width=datasets.Value("int64")).save_to_disk(tmp_path / "hf")
    assert "--mask-column width holds no pictures" in why(tmp_path / "hf", mask_column="width")


# What masks mean


def test_masks_of_numbers_are_read_as_they_are(tmp_path):
    rows = [{"image": row["image"], "mask": drawn(seed)[1].tolist()} for seed, row in enumerate(pairs(4))]
    for name, kind in (("lists", NUMBERS), ("array", datasets.Array2D((20, 30), "uint8"))):
        table(rows, mask=kind).save_to_disk(tmp_path / name)
        dataset = load(tmp_path / name)
        for sample in (*dataset.train, *dataset.val):
            assert np.array_equal(sample.read()[1], drawn(int(sample.name.removeprefix("photo")))[1])


def test_numbers_with_names_name_the_classes(tmp_path):
    kind = datasets.List(datasets.List(datasets.ClassLabel(names=["soil", "leaf", "stem"])))
    rows = [{"image": row["image"], "mask": drawn(seed)[1].tolist()} for seed, row in enumerate(pairs(3))]
    table(rows, mask=kind).save_to_disk(tmp_path / "hf")
    assert load(tmp_path / "hf").classes.names == ("soil", "leaf", "stem")


@pytest.mark.parametrize("place", ["named", "beside"])
def test_a_dataset_yaml_says_what_masks_mean(place, tmp_path):
    rows = [row | {"mask": cell(encoded(drawn(seed)[1] * 200))} for seed, row in enumerate(pairs(3))]
    root = in_parquet(tmp_path / "hf", rows)
    assert "write to a file for --dataset-yaml what they mean: 'values: {0: background" in why(root)
    file = (root if place == "beside" else tmp_path) / "dataset.yaml"
    file.write_text("values: {0: soil, 200: leaf}")
    dataset = load(root, **({} if place == "beside" else {"dataset_yaml": file}))
    assert dataset.classes.names == ("soil", "leaf")
    assert {*np.unique([sample.read()[1] for sample in dataset.train])} == {0, 1}


def test_colour_masks_need_a_dataset_yaml(tmp_path):
    colours = np.array([(0, 0, 0), (255, 0, 0)], np.uint8)
    rows = [row | {"mask": cell(encoded(colours[drawn(seed)[1]]))} for seed, row in enumerate(pairs(3))]
    root = saved(tmp_path / "hf", rows)
    assert "train row 0 (mask) is a colour image and there is no dataset.yaml; write to a file" in why(root)
    (tmp_path / "colours.yaml").write_text("classes: {soil: [0, 0, 0], leaf: '#ff0000'}")
    dataset = load(root, dataset_yaml=tmp_path / "colours.yaml")
    assert np.array_equal(dataset.train[0].read()[1], drawn(int(dataset.train[0].name[5:]))[1])


# What is wrong with rows


def changed(column, content):
    """Rows of which row 2 is another."""
    rows = pairs(5)
    rows[2][column] = content
    return rows


def png(size, **options):
    return encoded(drawn(2, size, **options)[1])


WRONG = {
    "an image cut off early": (changed("image", cell(pairs(3)[2]["image"]["bytes"][:20])), "(image) is "),
    "an image that is none": (changed("image", cell(b"no image")), "(image) is not an image that can be"),
    "an image without bytes": (changed("image", cell(b"")), "(image) is empty"),
    "no image": (changed("image", None), "(image) is null; fill it, or take the row out"),
    "no mask": (changed("mask", None), "(mask) is null"),
    "a mask that is none": (changed("mask", cell(b"\x89PNG no")), "(mask) is not an image"),
    "a mask of another size": (changed("mask", cell(png((10, 30)))), "(mask) is 30×10 but its image hf:"),
    "a JPEG as a mask": (changed("mask", cell(encoded(drawn(2)[1], "jpg"))), "(mask) is in a lossy"),
    "a file that isn't here": (changed("image", cell(None, "gone.jpg")), "(image) can't be read: gone.jpg"),
    "a link": (changed("image", cell(None, "https://example.org/a.jpg")), "(image) is only named, as https://"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_row_is_named_with_its_dataset_split_and_number(case, tmp_path):
    rows, said = WRONG[case]
    root = in_parquet_of_another_library(tmp_path / "hf", rows)
    assert f"hf:{root} train row 2 {said}" in why(root)


def test_what_only_decoding_shows_is_named_when_the_pixels_are_read(tmp_path):
    rows = pairs(5)
    rows[2]["image"]["bytes"] = rows[2]["image"]["bytes"][:-400]
    dataset = load(root := saved(tmp_path / "hf", rows))
    samples = [*dataset.train, *dataset.val]
    with pytest.raises(SegnetError) as error:
        open_pixels(samples, dataset.classes, Fit((16, 16), "area"))
    assert str(error.value).startswith(f"hf:{root} train row 2 (image) is damaged")


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ([[0, 1], [0, -1]], "holds the value -1 (1 pixels are outside 0 to 65535)"),
        ([[0, 1], [0, 2**31 - 1]], "holds the value 2147483647"),
        ([[0, 1], [0]], "is no grid of whole numbers"),
        ([], "is no grid of whole numbers"),
        (None, "is null"),
    ],
)
def test_a_bad_grid_of_numbers_is_named(mask, said, tmp_path):
    rows = [
        {"image": cell(encoded(drawn(seed, (2, 2))[0])), "mask": [[0, 1], [1, 0]] if seed else mask}
        for seed in range(3)
    ]
    table(rows, mask=NUMBERS).save_to_disk(tmp_path / "hf")
    assert f"train row 0 (mask) {said}" in why(tmp_path / "hf")


def test_all_bad_rows_are_said_at_once(tmp_path):
    rows = pairs(6)
    rows[1]["image"], rows[3]["mask"], rows[4]["mask"] = cell(b"no"), None, cell(png((9, 9)))
    said = why(saved(tmp_path / "hf", rows))
    assert said.startswith("3 things are wrong in hf:")
    assert all(f"train row {row} " in said for row in (1, 3, 4))


def test_an_image_that_is_in_two_splits_is_refused(tmp_path):
    root = save(tmp_path / "hf", train=table(pairs(4)), test=table(pairs(1, 2)))
    assert f"hf:{root} test row 0 (image) is also in another split, as hf:{root} train row 2" in why(root)


# What is wrong with the whole


def test_an_empty_split_is_named(tmp_path):
    empty = table(pairs(1)).select([])
    root = save(tmp_path / "saved", train=table(pairs(3)), validation=empty)
    assert f"hf:{root}: the split validation is empty" in why(root)
    root = in_parquet(tmp_path / "parquet", pairs(3))
    empty.to_parquet(root / "validation-00000-of-00001.parquet")
    assert f"hf:{root}: the split validation is empty" in why(root)
    empty.save_to_disk(tmp_path / "alone")
    assert f"hf:{tmp_path / 'alone'}: the split train is empty" in why(tmp_path / "alone")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("hf:", "names no dataset"),
        ("hf: ", "names no dataset"),
        ("hf:pets", "there is no folder pets, and a dataset of the hub is hf:OWNER/NAME"),
        ("hf:pandas", "there is no folder pandas"),
        ("hf:./owner/pets", "there is no folder ./owner/pets"),
        ("hf:/no/such", "there is no folder /no/such"),
        ("hf:nobody/nothing", "hf:nobody/nothing can't be fetched"),
        ("hf:nobody/nothing:config", "hf:nobody/nothing:config can't be fetched"),
    ],
)
def test_a_name_that_leads_nowhere_is_one_line_with_a_remedy(data, said, segnet):
    segnet("train", "--data", data).is_a_mistake_in_one_line(said)


def test_folders_that_hold_no_dataset_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "can't be loaded by datasets" in why(tmp_path / "empty")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/train.parquet").write_bytes(b"PAR1 and no more")
    assert "can't be loaded by datasets" in why(tmp_path / "broken")
    root = saved(tmp_path / "damaged", pairs(3))
    next(root.glob("*.arrow")).write_bytes(b"no arrow")
    assert "can't be loaded by datasets" in why(root)


def test_a_datasets_own_code_is_never_run(tmp_path):
    root = tmp_path / "script"
    root.mkdir()
    (root / "script.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    assert "scripts are no longer supported" in why(root)
    assert not (tmp_path / "was_run").exists()


def test_configurations_are_named(tmp_path):
    root = tmp_path / "hf"
    root.mkdir()
    for number, name in enumerate(("small", "large")):
        in_parquet(root / name, pairs(3, 10 * number))
    configs = "".join(
        f"- config_name: {name}\n  data_files: {name}/train-*.parquet\n" for name in ("small", "large")
    )
    (root / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    assert "needs one of the configurations ['small', 'large']: give --data hf:" in why(root)
    assert names(load(f"{root}:large").splits["train"])[0].startswith("photo1")
    assert load(f"{root}:large").name == "hf:large"
    assert "['small', 'large']" in why(f"{root}:huge")
    assert "has no configurations" in why(f"{saved(tmp_path / 'saved', pairs(3))}:small")


def test_a_missing_package_says_how_to_install_it(monkeypatch, segnet):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    ended = segnet("train", "--data", "hf:owner/pets")
    ended.is_a_mistake_in_one_line("needs datasets: pip install 'segnet[hf]'")


def test_the_package_is_imported_for_its_own_datasets_alone():
    says = (
        "import sys, segnet.data.sources, segnet.cli.train; print({'datasets', 'pyarrow'} & {*sys.modules})"
    )
    assert subprocess.check_output([sys.executable, "-c", says], text=True).strip() == "set()"


def test_options_for_columns_are_for_hugging_face_alone(segnet):
    said = "--mask-column is for hf; with --data synthetic leave it out"
    segnet("train", "--data", "synthetic", "--mask-column", "mask").is_a_mistake_in_one_line(said)


# Its name as a setting


def test_a_folder_holds_from_any_working_directory_and_a_name_stays_a_name(here, monkeypatch):
    saved(here / "my" / "pets", pairs(2))
    monkeypatch.setenv("HOME", str(here))
    for data, absolute in {
        "hf:my/pets": f"hf:{here}/my/pets",
        "hf:my/pets:small": f"hf:{here}/my/pets:small",
        "hf:~/my/pets": f"hf:{here}/my/pets",
        "hf:owner/pets": "hf:owner/pets",
        "hf:owner/pets:small": "hf:owner/pets:small",
    }.items():
        options = DataOptions(data=data)
        whole = replace(options, **absolute_paths(options, DATASET_NAMES))
        assert whole.data == absolute
        assert (whole.place is None) == ("owner" in data)
        assert whole.data_name == {"o": "owner/pets", "m": "pets", "~": "pets"}[data[3]] + (
            ":small" if data.endswith(":small") else ""
        )


@pytest.mark.usefixtures("plain_runs")
def test_a_run_on_a_dataset_is_trained_scored_and_gone_on_with(here, segnet, monkeypatch):
    from segnet.inference.opening import load as open_model

    save(here / "my/leaves", train=table(pairs(12)), validation=table(pairs(4, 50)))
    (here / "leaves.yaml").write_text("classes: [soil, leaf]")
    tiny = json.dumps({"stages": [[8, 1], [8, 1]], "bottleneck": [8, 0, 3]})
    options = ("--model", "segnet-lite", "--size", "32", "--batch-size", "4", "--epochs", "1")
    options += ("--model-options", tiny)
    ended = segnet("train", "--data", "hf:my/leaves", "--dataset-yaml", "leaves.yaml", *options)
    assert ended.code == 0, ended.err
    assert "4 images, the val split of leaves" in ended.out
    run = next(Path("runs").iterdir()).absolute()
    assert run.name.startswith("leaves-segnet-lite")
    kept = open_model(run / "model.safetensors").description.data.options
    assert "data" not in kept  # a path would tell strangers of this machine
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "4 images, the val split of leaves" in segnet("eval", run).out
    ended = segnet("resume", run, "--epochs", "2")
    assert ended.code == 0, ended.err
    # the same images, elsewhere and in a folder: still those that were held out from it
    (here / "my/leaves").rename(here / "moved")
    ended = segnet("eval", run, "--data", f"hf:{here}/moved", "--dataset-yaml", here / "leaves.yaml")
    assert "4 images, the val split of moved" in ended.out
    write_folder(here / "folder/train", pairs(12))
    write_folder(here / "folder/val", pairs(4, 50))
    (here / "folder/dataset.yaml").write_text("classes: [soil, leaf]")
    assert "4 images, the val split of folder" in segnet("eval", run, "--data", here / "folder").out
    segnet("eval", run).is_a_mistake_in_one_line("if it has moved, give --data")
    new = saved(here / "new", pairs(3, 90))
    ended = segnet("eval", run, "--data", f"hf:{new}", "--dataset-yaml", here / "leaves.yaml")
    assert "3 images, all of new" in ended.out
