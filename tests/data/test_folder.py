"""A user's own folder: both layouts, every kind of mask, and an error that names the fix for each mistake."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.dataset import Dataset
from segnet.data.folder import load_folder
from segnet.data.options import DataOptions

Pixels = list[list[int]] | list[list[tuple[int, int, int]]]

BLACK, RED, GREEN, WHITE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 255)


def grey(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.array(pixels, np.uint8))


def colour(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.array(pixels, np.uint8))


def palette(pixels: Pixels, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.frombytes("P", (len(pixels[0]), len(pixels)), np.array(pixels, np.uint8).tobytes())
    image.putpalette([channel for entry in colours for channel in entry])
    return image


def add(folder: Path, name: str, mask: Image.Image, suffix: str = ".png") -> None:
    """Write a mask, and an image of its size that no other name has."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    number = zlib.crc32(f"{folder.name}/{name}".encode())
    Image.new("RGB", mask.size, tuple(number.to_bytes(4)[:3])).save(folder / "images" / f"{name}{suffix}")
    mask.save(folder / "masks" / f"{name}.png")


def describe(root: Path, text: str) -> None:
    (root / "dataset.yaml").write_text(text)


def read(dataset: Dataset) -> dict[str, list[list[int]]]:
    samples = (*dataset.train, *dataset.val, *dataset.test)
    return {sample.name: sample.read()[1].tolist() for sample in samples}


def names(samples: object) -> list[str]:
    return [sample.name for sample in samples]  # type: ignore[attr-defined]


def one_of_each(root: Path, mask: Image.Image) -> Path:
    """Fill a folder with a training and a validation sample that have this mask."""
    add(root / "train", "a", mask)
    add(root / "val", "b", mask)
    return root


# Layouts


def test_split_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    for split, stems in {"train": ("b", "a"), "val": ("c",), "test": ("d",)}.items():
        for stem in stems:
            add(tmp_path / split, stem, grey([[0, 1]]))
    dataset = load_folder(tmp_path)
    assert dataset.name == tmp_path.name
    assert [names(split) for split in (dataset.train, dataset.val, dataset.test)] == [
        ["a", "b"],
        ["c"],
        ["d"],
    ]


@pytest.mark.parametrize("below", ["", "train"], ids=["one level", "train without val"])
def test_without_a_val_folder_a_seeded_part_is_held_out(below: str, tmp_path: Path) -> None:
    for index in range(10):
        add(tmp_path / below, f"{index}", grey([[0, 1]]))

    def load(seed: int) -> Dataset:
        return load_folder(tmp_path, DataOptions(data=str(tmp_path), holdout=0.3, seed=seed))

    dataset = load(1)
    assert dataset.train
    assert dataset.val
    assert not dataset.test
    assert sorted(names(dataset.train) + names(dataset.val)) == [str(index) for index in range(10)]
    assert names(load(1).val) == names(dataset.val)
    assert len({tuple(names(load(seed).val)) for seed in range(8)}) > 1


def test_images_of_common_formats_are_found_and_other_files_passed_over(tmp_path: Path) -> None:
    for stem, suffix in {
        "a": ".JPG",
        "b": ".jpeg",
        "c": ".PNG",
        "d": ".webp",
        "e.1": ".tif",
        "f": ".bmp",
    }.items():
        add(tmp_path, stem, grey([[0, 1]]), suffix)
    for stray in ("images/._a.jpg", "images/Thumbs.db", "masks/.DS_Store", "masks/._a.png", "notes.txt"):
        (tmp_path / stray).write_bytes(b"stray")
    dataset = load_folder(tmp_path)
    assert sorted(read(dataset)) == ["a", "b", "c", "d", "e.1", "f"]


def test_samples_read_as_rgb_with_a_mask_of_the_same_size(tmp_path: Path) -> None:
    sample = load_folder(one_of_each(tmp_path, grey([[0, 1, 2]]))).train[0]
    image, mask = sample.read()
    assert (image.mode, image.size, mask.shape, mask.dtype) == ("RGB", (3, 1), (1, 3), np.uint8)


# Masks without a dataset.yaml


@pytest.mark.parametrize(
    "mask",
    [
        grey([[0, 1, 2], [255, 1, 0]]),
        palette([[0, 1, 2], [255, 1, 0]], *[BLACK, RED, GREEN], *[WHITE] * 253),
        Image.fromarray(np.array([[0, 1, 2], [255, 1, 0]], np.uint16)),
    ],
    ids=["grey", "palette", "16 bits"],
)
def test_ids_are_counted_and_255_ignored(mask: Image.Image, tmp_path: Path) -> None:
    dataset = load_folder(one_of_each(tmp_path, mask))
    assert dataset.classes.names == ("class 0", "class 1", "class 2")
    assert dataset.classes.ignore_index == 255
    assert read(dataset)["a"] == [[0, 1, 2], [255, 1, 0]]


def test_classes_are_counted_over_all_splits(tmp_path: Path) -> None:
    for split, mask in {"train": [[0, 1]], "val": [[0, 2]], "test": [[3, 0]]}.items():
        add(tmp_path / split, "a", grey(mask))
    assert len(load_folder(tmp_path).classes) == 4


def test_one_bit_masks_have_two_classes(tmp_path: Path) -> None:
    dataset = load_folder(one_of_each(tmp_path, Image.fromarray(np.array([[True, False]]))))
    assert len(dataset.classes) == 2
    assert read(dataset)["a"] == [[1, 0]]


def test_a_palette_gives_the_classes_their_colours(tmp_path: Path) -> None:
    add(tmp_path / "train", "a", palette([[0, 1]], BLACK, RED, GREEN))
    add(tmp_path / "val", "b", palette([[0, 2]], BLACK, RED, GREEN))
    assert load_folder(tmp_path).classes.colours == (BLACK, RED, GREEN)


def test_a_palette_of_almost_equal_greys_is_not_shown(tmp_path: Path) -> None:
    dataset = load_folder(one_of_each(tmp_path, palette([[0, 1]], (0, 0, 0), (1, 1, 1))))
    assert np.ptp(dataset.classes.colours, axis=0).max() > 100


@pytest.mark.parametrize(
    ("values", "meaning"),
    [
        ([0, 255], "{0: background, 255: object}"),
        ([1, 2, 3], "{1: class 0, 2: class 1, 3: class 2}"),
        ([0, 128, 255], "{0: class 0, 128: class 1, 255: class 2}"),
    ],
)
def test_values_that_are_no_ids_are_refused_and_the_suggested_description_works(
    values: list[int], meaning: str, tmp_path: Path
) -> None:
    one_of_each(tmp_path, grey([values]))
    with pytest.raises(SegnetError) as caught:
        load_folder(tmp_path)
    message = str(caught.value)
    assert f"hold {', '.join(map(str, values))}, which are no ids" in message
    assert f"write to {tmp_path / 'dataset.yaml'}" in message
    suggested = message.split("'")[-2]
    assert suggested == f"values: {meaning}"
    describe(tmp_path, suggested)
    assert read(load_folder(tmp_path))["a"] == [list(range(len(values)))]


def test_masks_of_a_single_value_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SegnetError, match="nothing but 0"):
        load_folder(one_of_each(tmp_path, grey([[0, 0]])))


def test_palettes_that_disagree_are_refused(tmp_path: Path) -> None:
    add(tmp_path / "train", "a", palette([[0, 1]], BLACK, RED))
    add(tmp_path / "val", "b", palette([[0, 1]], RED, BLACK))
    with pytest.raises(
        SegnetError,
        match=r"b\.png has another palette than .*a\.png: 0 is \(255, 0, 0\), there it is \(0, 0, 0\)",
    ):
        load_folder(tmp_path)


def test_a_colour_mask_without_a_table_is_refused_and_the_suggested_table_works(tmp_path: Path) -> None:
    one_of_each(tmp_path, colour([[BLACK, RED, GREEN]]))
    with pytest.raises(
        SegnetError, match=r"a\.png is a colour image and there is no dataset\.yaml"
    ) as caught:
        load_folder(tmp_path)
    describe(tmp_path, str(caught.value).split("'")[-2])
    dataset = load_folder(tmp_path)
    assert dataset.classes.colours == (BLACK, GREEN, RED)
    assert read(dataset)["a"] == [[0, 2, 1]]


# dataset.yaml


TABLE = "classes: {soil: [0, 0, 0], leaf: '#00ff00', fruit: [255, 0, 0]}\n"

DESCRIBED = {
    "names": ("classes: [soil, leaf, fruit]", grey([[0, 1, 2, 255]]), [[0, 1, 2, 255]]),
    "another ignored value": ("classes: [soil, leaf]\nignore: 9", grey([[0, 1, 9]]), [[0, 1, 255]]),
    "values": ("values: {0: soil, 128: leaf, 255: fruit}", grey([[0, 128, 255]]), [[0, 1, 2]]),
    "values in another order": (
        "classes: [leaf, soil]\nvalues: {0: soil, 255: leaf}",
        grey([[0, 255]]),
        [[1, 0]],
    ),
    "two values of a class": ("values: {0: soil, 1: leaf, 2: leaf}", grey([[0, 1, 2]]), [[0, 1, 1]]),
    "values and ignore": ("values: {1: soil, 2: leaf}\nignore: 0", grey([[0, 1, 2]]), [[255, 0, 1]]),
    "colours": (TABLE, colour([[BLACK, GREEN, RED]]), [[0, 1, 2]]),
    "colours with alpha": (TABLE, colour([[BLACK, GREEN, RED]]).convert("RGBA"), [[0, 1, 2]]),
    "an ignored colour": (TABLE + "ignore: '#ffffff'", colour([[WHITE, GREEN, RED]]), [[255, 1, 2]]),
    "colours, but a mask of ids": (TABLE, grey([[0, 1, 2, 255]]), [[0, 1, 2, 255]]),
    "colours of a shuffled palette": (TABLE, palette([[0, 1, 2]], RED, BLACK, GREEN), [[2, 0, 1]]),
    "names of a shuffled palette": (
        "classes: [a, b, c]",
        palette([[0, 1, 2]], RED, BLACK, GREEN),
        [[0, 1, 2]],
    ),
    "grey colours": ("classes: {soil: [0, 0, 0], leaf: [255, 255, 255]}", grey([[0, 255]]), [[0, 1]]),
}


@pytest.mark.parametrize("case", DESCRIBED)
def test_a_description_says_what_masks_mean(case: str, tmp_path: Path) -> None:
    text, mask, expected = DESCRIBED[case]
    describe(tmp_path, text)
    assert read(load_folder(one_of_each(tmp_path, mask))) == {"a": expected, "b": expected}


def test_a_description_names_and_colours_the_classes(tmp_path: Path) -> None:
    describe(tmp_path, TABLE)
    classes = load_folder(one_of_each(tmp_path, grey([[0]]))).classes
    assert classes.names == ("soil", "leaf", "fruit")
    assert classes.colours == (BLACK, GREEN, RED)


def test_a_fingerprint_follows_the_mask_and_what_its_values_mean(tmp_path: Path) -> None:
    def of(text: str) -> bytes:
        describe(tmp_path, text)
        return load_folder(tmp_path).train[0].fingerprint()

    one_of_each(tmp_path, grey([[0, 1]]))
    before = of("values: {0: soil, 1: leaf}")
    assert of("values: {0: earth, 1: leaf}") == before
    assert of("classes: [leaf, soil]\nvalues: {0: soil, 1: leaf}") != before
    one_of_each(tmp_path, grey([[1, 1]]))
    assert of("values: {0: soil, 1: leaf}") != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [soil, leaf", "can't be read as YAML"),
        ("", "needs entries such as"),
        ("- soil\n- leaf", "needs entries such as"),
        ("class: [soil, leaf]", "unknown entry 'class'; did you mean 'classes'"),
        ("ignore: 255", "classes must list names"),
        ("classes: soil", "classes must list names"),
        ("classes: []", "classes must list names"),
        ("classes: [soil, soil]", "class names must differ"),
        ("classes: [no, yes]", "the class name False is no text to YAML; put it in quotes"),
        ("classes: [{soil: 1}]", "is no text to YAML"),
        ("classes: {soil: [0, 0], leaf: [1, 1, 1]}", r"soil needs a colour, .* got \[0, 0\]"),
        ("classes: {soil: [0, 0, 256]}", "soil needs a colour"),
        ("classes: {soil: red}", "soil needs a colour"),
        ("classes:\n  soil: #00ff00\n", "in quotes, got None"),
        ("classes: {soil: [0, 0, 0], leaf: '#000000'}", "two entries have the same colour"),
        ("classes: {soil: [0, 0, 0]}\nignore: [0, 0, 0]", "two entries have the same colour"),
        ("classes: [soil, leaf]\nignore: 1", "the value 1 is both ignored and the class 'leaf'"),
        ("classes: [soil, leaf]\nignore: true", "ignore must be a value from 0 to 65535"),
        ("classes: [soil, leaf]\nignore: 65536", "ignore must be a value from 0 to 65535"),
        ("classes: [soil, leaf]\nignore: []", "ignore must be a value from 0 to 65535, or a list of them"),
        ("classes: [soil, leaf]\nignore: [7, '#ffffff']", "where classes have no colours"),
        ("classes: [soil, leaf]\nignore: [254, 254]", "ignore names 254 twice"),
        ("classes: [soil, leaf]\nignore: [254, 1]", "the value 1 is both ignored and the class 'leaf'"),
        ("classes: {soil: [0, 0, 0]}\nignore: [7, [0, 0, 0]]", "two entries have the same colour"),
        ("classes: {soil: [0, 0, 0]}\nignore: [7, [0, 0]]", "ignore needs a colour"),
        ("classes: [soil, leaf]\ninstances: leave", "instances names an unknown class 'leave'"),
        ("classes: [leaf]\ninstances: leaf", "classes must also name what 0 means"),
        ("instances: [leaf]", "is no text to YAML"),
        ("instances: leaf\nignore: [0, 0]", "ignore names 0 twice"),
        ("classes: [soil, leaf]\nvalues: {0: soil, 1: leave}", "unknown class 'leave'; did you mean 'leaf'"),
        ("values: {0: soil, 65536: leaf}", "values must map"),
        ("values: [0, 255]", "values must map"),
        ("values: {0: [soil]}", "is no text to YAML"),
    ],
)
def test_a_malformed_description_is_refused(text: str, message: str, tmp_path: Path) -> None:
    describe(tmp_path, text)
    with pytest.raises(SegnetError, match=rf"dataset\.yaml.*{message}") as caught:
        load_folder(one_of_each(tmp_path, grey([[0, 1]])))
    assert "\n" not in str(caught.value)


# Mistakes in the files


@pytest.mark.parametrize(
    ("text", "mask", "message"),
    [
        ("classes: [soil, leaf]", grey([[0, 7, 7]]), r"the value 7 \(2 pixels\), .* there is 0, 1, 255"),
        ("values: {0: soil, 255: leaf}", grey([[0, 1]]), r"the value 1 \(1 pixels\), .* there is 0, 255"),
        (
            TABLE,
            colour([[BLACK, (1, 2, 3)]]),
            r"the colour \(1, 2, 3\) \(1 pixels\).*ignore it there: 'ignore: \[\[1, 2, 3\]\]'",
        ),
        (TABLE, palette([[0, 1]], BLACK, (1, 2, 3)), r"the colour \(1, 2, 3\) \(1 pixels\)"),
        (TABLE, colour([[(i, i, i) for i in range(64)]]), "63 values .* or export it without anti-aliasing"),
        (
            "classes: [soil, leaf]",
            colour([[BLACK, RED]]),
            r"dataset\.yaml gives no colours; .*leaf: \[255, 0, 0\]",
        ),
    ],
    ids=["value", "value beside values", "colour", "palette colour", "smoothed", "no table"],
)
def test_a_mask_that_does_not_fit_its_description_is_named_on_reading(
    text: str, mask: Image.Image, message: str, tmp_path: Path
) -> None:
    describe(tmp_path, text)
    with pytest.raises(SegnetError, match=rf"train.masks.a\.png .*{message}"):
        load_folder(one_of_each(tmp_path, mask)).train[0].read()


def test_a_mask_of_another_size_is_named_on_reading(tmp_path: Path) -> None:
    one_of_each(tmp_path, grey([[0, 1, 0]]))
    Image.new("RGB", (30, 10)).save(tmp_path / "train" / "images" / "a.png")
    with pytest.raises(SegnetError, match=r"masks.a\.png is 3×1 but its image .*images.a\.png is 30×10"):
        load_folder(tmp_path).train[0].read()


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    one_of_each(tmp_path, grey([[0, 1]]))
    (tmp_path / "val" / "masks" / "b.png").write_bytes(b"nothing")
    with pytest.raises(SegnetError, match=r"val.masks.b\.png is not an image"):
        load_folder(tmp_path)


def remove_all(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda train: (train / "masks" / "a.png").unlink(),
            r"images.a\.png has no mask in .*masks; add the mask",
        ),
        (lambda train: remove_all(train / "masks"), r"images.a\.png has no mask in .*1 more like it"),
        (
            lambda train: (train / "images" / "b.png").unlink(),
            r"masks.b\.png has no image of its name in .*images; add the image",
        ),
        (lambda train: remove_all(train / "images"), r"images holds no image \(\.jpg"),
        (
            lambda train: (train / "masks").rename(train / "labels"),
            "train.masks is not there, but there is labels/: rename it to masks/",
        ),
        (lambda train: (train / "images" / "a.JPG").touch(), r"a\.png has the same name as a\.JPG"),
        (lambda train: (train / "masks" / "a.jpg").touch(), r"a\.jpg has the same name as a\.png"),
    ],
    ids=["no mask", "no masks", "no image", "empty", "no folder", "name twice", "JPEG beside a mask"],
)
def test_images_and_masks_must_pair(spoil: object, message: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        add(tmp_path / split, "a", grey([[0, 1]]))
        add(tmp_path / split, "b", grey([[0, 1]]))
    spoil(tmp_path / "train")  # type: ignore[operator]
    with pytest.raises(SegnetError, match=message):
        load_folder(tmp_path)


def test_a_folder_of_another_layout_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(SegnetError, match="holds nothing; it must hold either"):
        load_folder(tmp_path)
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "readme.txt").touch()
    with pytest.raises(
        SegnetError,
        match=r"holds JPEGImages/, readme\.txt, but there is JPEGImages/: rename it to images/; it must hold",
    ):
        load_folder(tmp_path)
    with pytest.raises(SegnetError, match="is no folder"):
        load_folder(tmp_path / "readme.txt")


def test_a_split_of_another_name_is_not_passed_over(tmp_path: Path) -> None:
    add(one_of_each(tmp_path, grey([[0, 1]])) / "valid", "c", grey([[0, 1]]))
    with pytest.raises(SegnetError, match=r"valid is an unknown split; did you mean 'val'"):
        load_folder(tmp_path)


def test_a_folder_with_both_layouts_is_ambiguous(tmp_path: Path) -> None:
    add(one_of_each(tmp_path, grey([[0, 1]])), "c", grey([[0, 1]]))
    with pytest.raises(SegnetError, match="must hold either"):
        load_folder(tmp_path)


@pytest.mark.parametrize("fraction", [-0.5, 1])
def test_a_share_to_hold_out_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(SegnetError, match=r"--holdout must be from 0 to 0\.9"):
        DataOptions(holdout=fraction)


def test_of_a_single_image_nothing_is_held_out(tmp_path: Path) -> None:
    add(tmp_path, "a", grey([[0, 1]]))
    dataset = load_folder(tmp_path)
    assert (names(dataset.train), names(dataset.val)) == (["a"], [])
