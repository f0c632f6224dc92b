"""Pascal VOC's layout as the data set, CVAT and LabelMe write it: what each value and colour means."""

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from .label_files import H, W, box, counted, masks, photo

# As CVAT's documentation gives them: a line of its labelmap and a colour each.
VOC_COLOURS = {
    0: (0, 0, 0),
    1: (128, 0, 0),
    2: (0, 128, 0),
    3: (128, 128, 0),
    15: (192, 128, 128),
    20: (0, 64, 128),
}
BORDER = (224, 224, 192)
LEAF, STEM, EDGE = box(5, 5, 25, 20), box(30, 10, 48, 30), box(5, 20, 25, 21)
EXPECTED = np.zeros((H, W), np.uint8)
EXPECTED[LEAF], EXPECTED[STEM], EXPECTED[EDGE] = 1, 2, 255

LABELMAP = """# label:color_rgb:parts:actions
background:0,0,0::
leaf:10,128,0::
stem:8,108,240:tip,root:cut
"""


def save(file, picture):
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)


def coloured(leaf=(10, 128, 0), stem=(8, 108, 240), edge=BORDER, around=(0, 0, 0)):
    pixels = np.full((H, W, 3), around, np.uint8)
    pixels[LEAF], pixels[STEM], pixels[EDGE] = leaf, stem, edge
    return Image.fromarray(pixels)


def with_palette(values, colours):
    picture = Image.fromarray(values)
    palette = np.zeros((256, 3), np.uint8)
    for value, colour in colours.items():
        palette[value] = colour
    picture.putpalette(palette.tobytes())
    return picture


def layout(root, mask, labelmap="", names=(), images="JPEGImages", stem="a", **lists):
    photo(root / f"{images}/{stem}.jpg")
    save(root / f"SegmentationClass/{stem}.png", mask)
    save(root / f"SegmentationObject/{stem}.png", mask)
    if labelmap:
        (root / "labelmap.txt").write_text(labelmap)
    if names:
        (root / "class_names.txt").write_text("\n".join(names))
    for name, lines in lists.items():
        file = root / f"ImageSets/{name.replace('__', '/')}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines))
    return root


def converted(root, tmp_path, **options):
    done = convert(root, tmp_path / "new", **options)
    (mask,) = masks(tmp_path / "new").values()
    return mask, done


SHUFFLED = {0: 7, 1: 3, 2: 4, 255: 9}  # the values of a palette that lists its colours in another order


@pytest.mark.parametrize(
    "mask",
    [
        coloured(),
        coloured().convert("RGBA"),
        with_palette(
            np.vectorize(SHUFFLED.get)(EXPECTED).astype(np.uint8),
            {7: (0, 0, 0), 3: (10, 128, 0), 4: (8, 108, 240), 9: BORDER},
        ),
        Image.fromarray(EXPECTED),
    ],
    ids=["colours", "with transparency", "palette", "grey, by line number"],
)
def test_a_labelmap_says_which_class_a_colour_is(mask, tmp_path):
    found, done = converted(layout(tmp_path / "voc", mask, LABELMAP), tmp_path)
    np.testing.assert_array_equal(found, EXPECTED)
    assert [*done.pixels] == ["background", "leaf", "stem"]


@pytest.mark.parametrize(
    "text",
    [
        LABELMAP.replace("\n", "\r\n"),
        "\ufeff" + LABELMAP,
        LABELMAP.replace(",", " , ").replace("leaf:", " leaf : "),
        LABELMAP.replace("::", ""),
    ],
)
def test_a_labelmap_may_come_from_any_system(text, tmp_path):
    found, done = converted(layout(tmp_path / "voc", coloured(), text), tmp_path)
    np.testing.assert_array_equal(found, EXPECTED)
    assert [*done.pixels] == ["background", "leaf", "stem"]


def test_a_labelmap_without_colours_means_vocs(tmp_path):
    mask = coloured(VOC_COLOURS[1], VOC_COLOURS[2])
    found, _ = converted(layout(tmp_path / "voc", mask, "background:::\nleaf:::\nstem:::"), tmp_path)
    np.testing.assert_array_equal(found, EXPECTED)


def test_the_background_comes_first_wherever_it_is_listed(tmp_path):
    text = "leaf:10,128,0::\nstem:8,108,240::\nbackground:0,0,0::\nunused:1,1,1::"
    found, done = converted(layout(tmp_path / "voc", coloured(), text), tmp_path)
    np.testing.assert_array_equal(found, EXPECTED)
    assert [*done.pixels] == ["background", "leaf", "stem", "unused"]


def test_whites_and_blacks_of_a_labelmap_are_colours_in_a_grey_mask(tmp_path):
    mask = Image.fromarray(np.where(LEAF, 255, 0).astype(np.uint8))
    found, done = converted(
        layout(tmp_path / "voc", mask, "background:0,0,0::\nleaf:255,255,255::"), tmp_path
    )
    np.testing.assert_array_equal(found, LEAF)
    assert done.pixels["leaf"] == LEAF.sum()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "background:0,0,0::\nleaf:10,128,300::",
            "leaf:10,128,300:: has no colour red,green,blue of 0 to 255",
        ),
        ("background:0,0,0::\nleaf:green::", "'green'"),
        ("background:0,0,0::\nleaf:0,0,0::", "gives leaf the colour .* of another class"),
        ("# nothing", "names no classes"),
        (":0,0,0::", "without a name"),
    ],
)
def test_a_labelmap_that_cannot_be_read_is_named(text, said, tmp_path):
    with pytest.raises(SegnetError, match=f"labelmap.txt.*{said}"):
        convert(layout(tmp_path / "voc", coloured(), text), tmp_path / "new")


def test_a_colour_that_no_line_names_refuses_its_mask_alone(tmp_path):
    root = layout(tmp_path / "voc", coloured(stem=(9, 9, 9)), LABELMAP)
    layout(root, coloured(), stem="b")
    said = rf"a.png holds the colour \(9, 9, 9\) \({STEM.sum()} pixels\), which .*labelmap.txt doesn't name"
    with pytest.raises(SegnetError, match=said):
        convert(root, tmp_path / "new")
    done = convert(root, tmp_path / "new", skip=True)
    assert [*masks(tmp_path / "new")] == ["masks/b.png"]
    assert counted(done)[2] == {"masks with values that are no class": 1}


@pytest.mark.parametrize("first", ["_background_", "background"])
@pytest.mark.parametrize("ignored", [[], ["__ignore__"]])
def test_a_list_of_names_counts_the_values_from_nought(first, ignored, tmp_path):
    root = layout(
        tmp_path / "voc", with_palette(EXPECTED, VOC_COLOURS), names=[*ignored, first, "leaf", "stem"]
    )
    found, done = converted(root, tmp_path)
    np.testing.assert_array_equal(found, EXPECTED)
    assert [*done.pixels] == [first, "leaf", "stem"]


def test_a_value_beyond_the_names_is_named(tmp_path):
    root = layout(tmp_path / "voc", Image.fromarray(EXPECTED), names=["background", "leaf"])
    with pytest.raises(SegnetError, match=r"a.png holds the value 2 \(.*class_names.txt doesn't name"):
        convert(root, tmp_path / "new")


def test_classes_without_a_background_stay_as_they_are(tmp_path):
    values = LEAF.astype(np.uint8)
    _, done = converted(layout(tmp_path / "voc", Image.fromarray(values), names=["soil", "leaf"]), tmp_path)
    assert [*done.pixels] == ["soil", "leaf"]


@pytest.mark.parametrize("mask", [coloured(VOC_COLOURS[15], VOC_COLOURS[3]), "palette"])
def test_without_a_list_vocs_own_colours_are_its_own_classes(mask, tmp_path):
    if mask == "palette":
        values = np.vectorize({0: 0, 1: 15, 2: 3, 255: 255}.get)(EXPECTED).astype(np.uint8)
        mask = with_palette(values, VOC_COLOURS | {255: BORDER})
    found, done = converted(layout(tmp_path / "voc", mask), tmp_path)
    assert len(done.pixels) == 21
    assert (found[7, 7], found[12, 32], found[20, 7], found[0, 0]) == (15, 3, 255, 0)
    assert done.pixels["person"] == LEAF.sum()
    assert any("its classes are taken to be those of Pascal VOC 2012" in each for each in done.warnings)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (coloured(), r"colours .*\(8, 108, 240\).*which Pascal VOC 2012 doesn't name.*labelmap.txt"),
        (
            with_palette(EXPECTED, {1: (9, 9, 9), 2: (5, 5, 5), 255: BORDER}),
            "Pascal VOC 2012 doesn't name.*labelmap.txt",
        ),
        (Image.fromarray(EXPECTED), "nothing in .* names the classes.*add class_names.txt"),
    ],
)
def test_without_a_list_other_masks_are_refused_with_what_to_add(mask, said, tmp_path):
    with pytest.raises(SegnetError, match=said):
        convert(layout(tmp_path / "voc", mask), tmp_path / "new")


@pytest.mark.parametrize("images", ["JPEGImages", "images", "pictures"])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".JPG"])
def test_images_may_be_of_any_format_in_a_folder_of_any_name(images, suffix, tmp_path):
    root = layout(tmp_path / "voc", coloured(), LABELMAP, images=images)
    (root / images / "a.jpg").unlink()
    photo(root / f"{images}/a{suffix}")
    converted(root, tmp_path)
    assert (tmp_path / f"new/images/a{suffix}").read_bytes() == (root / f"{images}/a{suffix}").read_bytes()


def test_images_may_lie_elsewhere_and_in_folders(tmp_path):
    root = layout(tmp_path / "voc", coloured(), LABELMAP, stem="cam 1/a.b")
    (root / "JPEGImages/cam 1/a.b.jpg").unlink()
    photo(tmp_path / "photos/cam 1/a.b.png")
    convert(root, tmp_path / "new", images=[tmp_path / "photos"])
    assert [*masks(tmp_path / "new")] == ["masks/cam 1/a.b.png"]


@pytest.mark.parametrize(
    "lists",
    [
        {"Segmentation__train": ["a"], "Segmentation__val": ["b"]},
        {"Main__train": ["a"], "Main__val": ["b"], "Main__leaf_val": ["a  1", "b -1"]},
        {"train": ["JPEGImages/a.jpg SegmentationClass/a.png"], "val": ["data\\JPEGImages\\b.jpg"]},
        {
            "Segmentation__train_aug": ['"a"'],
            "Segmentation__valid": ["b.png"],
            "Segmentation__trainval": ["a", "b"],
        },
    ],
)
def test_lists_say_the_splits_wherever_they_lie(lists, tmp_path):
    root = layout(tmp_path / "voc", coloured(), LABELMAP, **lists)
    layout(root, coloured(), stem="b")
    assert convert(root, tmp_path / "new").images == {"train": 1, "val": 1}


def test_a_list_that_is_no_split_lists_all_of_them(tmp_path):
    root = layout(
        tmp_path / "voc", coloured(), LABELMAP, stem="with space", Segmentation__default=["with space"]
    )
    assert convert(root, tmp_path / "new").images == {"": 1}


def test_what_lacks_its_mask_its_image_or_its_place_in_a_list_is_counted(tmp_path):
    lists = {"Segmentation__train": ["a", "lost", "unmasked"]}
    root = layout(tmp_path / "voc", coloured(), LABELMAP, **lists)
    layout(root, coloured(), stem="unlisted")
    photo(root / "JPEGImages/unmasked.jpg")
    photo(root / "JPEGImages/neither.jpg")
    photo(root / "JPEGImages/.hidden.jpg")
    done = convert(root, tmp_path / "new")
    assert counted(done)[2] == {
        "not annotated": 2,
        "in no list of ImageSets": 1,
        "listed in ImageSets, but not there": 1,
    }
    (root / "JPEGImages/a.jpg").unlink()
    with pytest.raises(SegnetError, match=r"a.png has no image of its name, a; give --images"):
        convert(root, tmp_path / "again")


def test_a_mask_of_another_size_is_named_before_anything_is_written(tmp_path):
    root = layout(tmp_path / "voc", coloured().resize((W * 2, H)), LABELMAP)
    with pytest.raises(SegnetError, match=r"a.png is labelled as 120×40, but the image is 60×40"):
        convert(root, tmp_path / "new")


def test_a_mask_drawn_before_exif_turned_its_image_is_turned_with_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    root = layout(tmp_path / "voc", coloured(), LABELMAP)
    photo(root / "JPEGImages/a.jpg", exif=exif)
    found, _ = converted(root, tmp_path)
    np.testing.assert_array_equal(found, np.rot90(EXPECTED, -1))


def test_older_labelme_keeps_its_pictures_in_another_folder(tmp_path):
    root = layout(
        tmp_path / "voc", with_palette(EXPECTED, VOC_COLOURS), names=["_background_", "leaf", "stem"]
    )
    (root / "SegmentationClass").rename(root / "SegmentationClassPNG")
    (root / "SegmentationClass").mkdir()
    (root / "SegmentationClass/a.npy").touch()
    np.testing.assert_array_equal(converted(root, tmp_path)[0], EXPECTED)


def test_wanted_classes_give_their_own_ids_to_masks_too(tmp_path):
    root = layout(tmp_path / "voc", coloured(), LABELMAP)
    found, done = converted(root, tmp_path, classes=["stem", "background", "leaf"])
    wanted = np.array([1, 2, 0], np.uint8)[EXPECTED.clip(max=2)]
    np.testing.assert_array_equal(found, np.where(EDGE, 255, wanted))
    assert [*done.pixels] == ["stem", "background", "leaf"]


def test_masks_in_jpeg_are_refused_with_the_reason(tmp_path):
    root = layout(tmp_path / "voc", coloured(), LABELMAP)
    (root / "SegmentationClass/a.png").unlink()
    coloured().save(root / "SegmentationClass/a.jpg")
    with pytest.raises(
        SegnetError, match=r"a.jpg holds the colours .*; JPEG changes values and colours: export"
    ):
        convert(root, tmp_path / "new")


def test_several_data_sets_in_one_folder_are_named(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        layout(tmp_path / "devkit" / year, coloured(), LABELMAP)
    with pytest.raises(SegnetError, match="but VOC2007, VOC2012 in it do; convert each by itself"):
        convert(tmp_path / "devkit", tmp_path / "new")


def test_a_folder_around_all_others_is_entered(tmp_path):
    root = layout(tmp_path / "VOCdevkit/VOC2012", coloured(), LABELMAP)
    assert root.parent.parent == tmp_path
    assert convert(tmp_path / "VOCdevkit", tmp_path / "new").images == {"": 1}


@pytest.mark.parametrize("above", ["VOC2012", "VOCdevkit/VOC2012"])
def test_a_known_format_in_the_only_folder_goes_before_images_with_masks(above, tmp_path):
    layout(tmp_path / "top" / above, coloured(), LABELMAP)
    layout(tmp_path / "plain", coloured(), LABELMAP)
    expected = convert(tmp_path / "plain", tmp_path / "new/plain")
    done = convert(tmp_path / "top", tmp_path / "new/nested")
    assert (done.format, done.pixels) == (expected.format, expected.pixels)
    np.testing.assert_equal(masks(tmp_path / "new/nested"), masks(tmp_path / "new/plain"))
