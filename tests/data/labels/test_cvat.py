"""CVAT for images 1.1: every kind of shape against drawing of our own, every dialect of its exports."""

import numpy as np
import pytest

from segnet.base.errors import SegnetError
from segnet.data.labels.convert import convert

from .label_files import H, W, agree_away_from_edges, box, counted, masks, photo, pixel_centres, turned


def document(images, labels=("leaf", "stem"), head='<?xml version="1.0" encoding="utf-8"?>\n', meta=""):
    declared = "".join(f"<label><name>{name}</name></label>" for name in labels)
    return (
        f"{head}<annotations><version>1.1</version><meta><job><labels>{declared}{meta}</labels></job></meta>"
        f"{images}</annotations>"
    )


def image(shapes, name="a.jpg", more=""):
    return f'<image id="0" name="{name}" width="{W}" height="{H}" {more}>{shapes}</image>'


def converted(tmp_path, shapes, **options):
    """The mask of one image with these shapes, and what the conversion tells."""
    source = tmp_path / "job"
    photo(source / "a.jpg")
    (source / "annotations.xml").write_text(document(image(shapes)), encoding="utf-8")
    done = convert(source / "annotations.xml", tmp_path / "new", **options)
    (mask,) = masks(tmp_path / "new").values()
    return mask, done


LEAF = '<box label="leaf" xtl="5" ytl="5" xbr="25" ybr="20"/>'


@pytest.mark.parametrize(
    ("shape", "pixels"),
    {
        '<polygon label="leaf" points="5,5;25,5;25,20;5,20"/>': box(5, 5, 25, 20),
        '<polygon label="leaf" points="5.00, 5.00; 25.00, 5.00; 25,20; 5,20;"/>': box(5, 5, 25, 20),
        '<box label="leaf" xtl="5" ytl="5" xbr="25" ybr="20" occluded="1"/>': box(5, 5, 25, 20),
        '<box label="leaf" xtl="20" ytl="10" xbr="40" ybr="30" rotation="90"/>': box(20, 10, 40, 30),
        '<box label="leaf" xtl="10" ytl="15" xbr="50" ybr="25" rotation="90.0"/>': box(25, 0, 35, 40),
        '<box label="leaf" xtl="10" ytl="15" xbr="50" ybr="25" rotation="180"/>': box(10, 15, 50, 25),
        '<box label="leaf" xtl="-8" ytl="30" xbr="12" ybr="48"/>': box(0, 30, 12, 40),
        '<mask label="leaf" rle="2, 4, 4, 4, 1" left="7" top="3" width="5" height="3"/>': np.pad(
            np.array([[0, 0, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]], bool), ((3, H - 6), (7, W - 12))
        ),
        '<mask label="leaf" rle="0,20" left="56" top="38" width="10" height="2"/>': box(56, 38, 60, 40),
    }.items(),
)
def test_a_shape_covers_its_pixels(shape, pixels, tmp_path):
    mask, done = converted(tmp_path, shape)
    np.testing.assert_array_equal(mask == 1, pixels)
    assert counted(done) == ({shape[1:].split()[0]: 1}, {}, {})


@pytest.mark.parametrize("degrees", [0, 17.5, 45, 90, 211, 359.9, -30])
def test_a_box_is_turned_clockwise_about_its_centre(degrees, tmp_path):
    shape = f'<box label="leaf" xtl="17" ytl="14" xbr="43" ybr="24" rotation="{degrees}"/>'
    mask, _ = converted(tmp_path, shape)
    x, y = turned(*pixel_centres(), (30, 19), degrees)
    assert agree_away_from_edges(mask == 1, np.minimum(13 - abs(x - 30), 5 - abs(y - 19)))


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 270])
def test_an_ellipse_is_turned_clockwise_about_its_centre(degrees, tmp_path):
    shape = f'<ellipse label="leaf" cx="30" cy="19" rx="16" ry="6" rotation="{degrees}"/>'
    mask, _ = converted(tmp_path, shape)
    x, y = turned(*pixel_centres(), (30, 19), degrees)
    depth = (1 - np.hypot((x - 30) / 16, (y - 19) / 6)) * 6
    assert agree_away_from_edges(mask == 1, depth)
    assert (mask == 1).sum() == pytest.approx(np.pi * 16 * 6, rel=0.03)


def test_clockwise_is_as_one_sees_it(tmp_path):
    mask, _ = converted(tmp_path, '<box label="leaf" xtl="10" ytl="17" xbr="50" ybr="21" rotation="30"/>')
    rows, columns = np.nonzero(mask)
    assert rows[columns > 40].mean() > 25, "the right end goes down"
    assert rows[columns < 20].mean() < 13, "the left end goes up"


def test_the_higher_z_order_lies_on_top_and_of_equals_the_later(tmp_path):
    shapes = (
        '<box label="stem" xtl="0" ytl="0" xbr="10" ybr="10" z_order="2"/>'
        '<box label="leaf" xtl="5" ytl="5" xbr="15" ybr="15" z_order="-1"/>'
        '<box label="leaf" xtl="30" ytl="5" xbr="40" ybr="15"/>'
        '<box label="stem" xtl="35" ytl="5" xbr="45" ybr="15" z_order="0"/>'
    )
    mask, _ = converted(tmp_path, shapes)
    expected = np.zeros((H, W), np.uint8)
    expected[5:15, 5:15], expected[0:10, 0:10] = 1, 2
    expected[5:15, 30:40], expected[5:15, 35:45] = 1, 2
    np.testing.assert_array_equal(mask, expected)


CUBOID = " ".join(
    f'{axis}{end}{side}{face}="{value}"'
    for (end, side, face), (x, y) in {
        "tl1": (30, 10), "bl1": (30, 30), "tr1": (40, 10), "br1": (40, 30),
        "tl2": (44, 8), "bl2": (44, 28), "tr2": (36, 8), "br2": (36, 28),
    }.items()
    for axis, value in (("x", x), ("y", y))
)  # fmt: skip


def test_what_has_no_area_is_left_out_and_counted(tmp_path):
    shapes = (
        LEAF + '<polyline label="leaf" points="1,1;50,30"/><points label="stem" points="3,3"/>'
        '<skeleton label="stem"><points label="tip" outside="0" points="1,2"/></skeleton>'
        '<tag label="healthy"><attribute name="by">me</attribute></tag>'
        '<box label="stem" xtl="0" ytl="0" xbr="60" ybr="40" outside="1"/>'
        '<ellipse label="stem" cx="5" cy="5" rx="0" ry="3"/>'
    )
    mask, done = converted(tmp_path, shapes)
    np.testing.assert_array_equal(mask, box(5, 5, 25, 20))
    drawn, left_out, _ = counted(done)
    assert drawn == {"box": 1}
    assert left_out == {
        ("polyline", "no area"): 1,
        ("points", "no area"): 1,
        ("skeleton", "no area"): 1,
        ("ellipse", "no area"): 1,
        ("box", "marked as outside the image"): 1,
    }
    assert dict(done.tally.no_shapes) == {"tag": 1}
    assert not done.some_failed


def test_the_pixels_of_a_cuboid_are_ignored_and_never_background(tmp_path):
    mask, done = converted(tmp_path, f'{LEAF}<cuboid label="stem" {CUBOID}/>')
    expected = np.where(box(30, 8, 44, 30), 255, box(5, 5, 25, 20)).astype(np.uint8)
    np.testing.assert_array_equal(mask, expected)
    assert counted(done)[1] == {("cuboid", "no outline"): 1}
    assert "which isn't drawn: the pixels of its box are ignored" in done.warnings[0]


@pytest.mark.parametrize(
    ("shape", "said", "ignored"),
    [
        ('<box xtl="30" ytl="8" xbr="44" ybr="30"/>', "has no label", box(30, 8, 44, 30)),
        (
            '<mask label="a" rle="1,2" left="30" top="8" width="14" height="22"/>',
            "run lengths",
            box(30, 8, 44, 30),
        ),
        ('<box label="a" xtl="30" ytl="8" xbr="44" ybr="30" z_order="up"/>', "is no box", box(30, 8, 44, 30)),
        ('<box label="a" xtl="30" ytl="8" xbr="44" ybr="30" rotation="nan"/>', "rotation is nan", None),
        ('<polygon label="a" points="1,5 3,4"/>', "is no polygon", None),
        ('<polygon label="a" points="1,5,9;1,2;3,4"/>', "is no polygon", None),
        ('<box label="a" xtl="1" ytl="1" xbr="1e9" ybr="1e9"/>', "far outside its image", None),
        ('<blob label="a"/>', "unknown kind blob", None),
    ],
)
def test_a_shape_that_cannot_be_read_is_never_background(shape, said, ignored, tmp_path):
    photo(tmp_path / "job/a.jpg")
    photo(tmp_path / "job/b.jpg")
    images = image(LEAF + shape) + image(LEAF, "b.jpg")
    (tmp_path / "job/annotations.xml").write_text(document(images))
    with pytest.raises(SegnetError, match=f"a.jpg, shape 2 .*{said}.* --skip"):
        convert(tmp_path / "job", tmp_path / "new")
    done = convert(tmp_path / "job", tmp_path / "new", skip=True)
    assert done.some_failed
    found = masks(tmp_path / "new")
    assert counted(done)[0] == {"box": 1 if ignored is None else 2}
    if ignored is None:
        assert [*found] == ["masks/b.png"]
    else:
        expected = np.where(ignored, 255, box(5, 5, 25, 20)).astype(np.uint8)
        np.testing.assert_array_equal(found["masks/a.png"], expected)


def test_images_without_shapes_are_left_out_as_cvat_does_not_tell_who_looked_at_them(tmp_path):
    photo(tmp_path / "job/a.jpg")
    photo(tmp_path / "job/b.jpg")
    (tmp_path / "job/annotations.xml").write_text(document(image(LEAF) + image("", "b.jpg")))
    done = convert(tmp_path / "job", tmp_path / "new")
    assert counted(done)[2] == {"not annotated": 1}
    done = convert(tmp_path / "job", tmp_path / "both", empty_as_background=True)
    assert done.images == {"": 2}
    assert done.tally.empty == 1


def test_classes_are_the_declared_ones_in_order_without_those_that_have_no_area(tmp_path):
    photo(tmp_path / "job/a.jpg")
    meta = (
        "<label><name>spine</name><type>skeleton</type></label><label><name>tip</name><type>points</type>"
        "<parent>spine</parent></label><label><name>Background</name><type>any</type></label>"
    )
    text = document(
        image(LEAF + '<box label="new" xtl="1" ytl="1" xbr="3" ybr="3"/>'), ("stem", "leaf"), meta=meta
    )
    (tmp_path / "job/annotations.xml").write_text(text)
    done = convert(tmp_path / "job", tmp_path / "new")
    assert [*done.pixels] == ["Background", "stem", "leaf", "new"]


def test_subsets_are_splits_and_their_images_may_lie_in_folders_of_their_names(tmp_path):
    job = tmp_path / "project"
    for subset in ("Train", "Validation"):
        photo(job / f"images/{subset}/a.jpg")
    images = image(LEAF, more='subset="Train"') + image(LEAF, more='subset="Validation"')
    (job / "annotations.xml").write_text(document(images))
    done = convert(job, tmp_path / "new")
    assert done.images == {"train": 1, "val": 1}
    for split, subset in (("train", "Train"), ("val", "Validation")):
        copied = (tmp_path / f"new/{split}/images/a.jpg").read_bytes()
        assert copied == (job / f"images/{subset}/a.jpg").read_bytes()


def test_several_jobs_are_one_source_side_by_side_or_in_folders_of_their_own(tmp_path):
    together = tmp_path / "together"
    for name in ("a", "b"):
        photo(together / f"images/{name}.jpg")
        (together / f"annotations_{name}.xml").write_text(
            document(image(LEAF, f"{name}.jpg"), (f"of {name}",))
        )
    done = convert(together, tmp_path / "one")
    assert done.images == {"": 2}
    assert [*done.pixels] == ["background", "of a", "of b", "leaf"]
    apart = tmp_path / "apart"
    for job in ("job_1", "job_2"):
        photo(apart / job / "images/a.jpg")
        (apart / job / "annotations.xml").write_text(document(image(LEAF)))
    assert convert(apart, tmp_path / "two").images == {"": 2}
    for job in ("job_1", "job_2"):
        assert (tmp_path / f"two/images/{job}/a.jpg").read_bytes() == (
            apart / job / "images/a.jpg"
        ).read_bytes()


def test_one_job_that_cannot_be_read_leaves_the_others(tmp_path):
    photo(tmp_path / "jobs/a.jpg")
    (tmp_path / "jobs/1.xml").write_text(document(image(LEAF)))
    (tmp_path / "jobs/2.xml").write_text("<annotations><image")
    with pytest.raises(SegnetError, match=r"2.xml can't be read as XML .*--skip"):
        convert(tmp_path / "jobs", tmp_path / "new")
    assert convert(tmp_path / "jobs", tmp_path / "new", skip=True).images == {"": 1}


def test_a_video_is_refused_with_what_to_choose_instead(tmp_path):
    (tmp_path / "annotations.xml").write_text(document('<track id="0" label="leaf"><box frame="0"/></track>'))
    with pytest.raises(
        SegnetError, match=r"CVAT for video.*'CVAT for images 1.1' or as 'Segmentation mask 1.1'"
    ):
        convert(tmp_path / "annotations.xml", tmp_path / "new/data")


def test_boxes_of_pascal_voc_are_refused_by_name(tmp_path):
    (tmp_path / "a.xml").write_text("<annotation><object/></annotation>")
    with pytest.raises(SegnetError, match=r"begins with <annotation>, Pascal VOC's boxes"):
        convert(tmp_path / "a.xml", tmp_path / "new/data")


@pytest.mark.parametrize(
    ("name", "file"),
    [("cam 1/a.jpg", "cam 1/a.jpg"), ("cam\\a.jpg", "cam/a.jpg"), ("C:\\photos\\a.jpg", "a.jpg")],
)
def test_names_may_hold_folders_of_any_system(name, file, tmp_path):
    photo(tmp_path / "job/images" / file)
    (tmp_path / "job/annotations.xml").write_text(document(image(LEAF, name)))
    assert convert(tmp_path / "job", tmp_path / "new").images == {"": 1}


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("cp1252", "windows-1252"),
        ("gbk", "gbk"),
        ("utf-8", None),
    ],
)
def test_a_file_is_read_as_it_declares_its_encoding(encoding, declared, tmp_path):
    name = "叶" if encoding == "gbk" else "feuille brûlée"
    photo(tmp_path / "job/a.jpg")
    head = f'<?xml version="1.0" encoding="{declared}"?>\r\n' if declared else ""
    text = document(image(LEAF.replace("leaf", name)), (name,), head).replace("><image", ">\r\n<image")
    (tmp_path / "job/annotations.xml").write_bytes(text.encode(encoding))
    done = convert(tmp_path / "job", tmp_path / "new")
    assert [*done.pixels] == ["background", name]


def test_entities_are_refused_in_every_encoding(tmp_path):
    text = (
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'
    )
    (tmp_path / "a.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(SegnetError, match=r"declares a document type"):
        convert(tmp_path / "a.xml", tmp_path / "new/data")


def test_an_image_that_is_not_there_is_left_out_with_its_shapes(tmp_path):
    photo(tmp_path / "job/a.jpg")
    (tmp_path / "job/annotations.xml").write_text(document(image(LEAF) + image(LEAF * 3, "gone.jpg")))
    with pytest.raises(SegnetError, match=r"gone.jpg, which is not there; give --images its folder; --skip"):
        convert(tmp_path / "job", tmp_path / "new")
    done = convert(tmp_path / "job", tmp_path / "new", skip=True)
    left_out = {("box", "image left out: image not there"): 3}
    assert counted(done) == ({"box": 1}, left_out, {"image not there": 1})


@pytest.mark.parametrize(("named", "stored"), [("\u00e4.jpg", "a\u0308.jpg"), ("a\u0308.jpg", "\u00e4.jpg")])
def test_a_name_is_found_in_either_unicode_form(named, stored, tmp_path):
    photo(tmp_path / "job" / stored)
    (tmp_path / "job/annotations.xml").write_text(document(image(LEAF, named)), encoding="utf-8")
    assert convert(tmp_path / "job", tmp_path / "new").images == {"": 1}


def test_one_file_is_not_two_images_whatever_folders_the_names_have(tmp_path):
    photo(tmp_path / "job/a.jpg")
    images = image(LEAF, "left/a.jpg") + image(LEAF * 2, "right/a.jpg")
    (tmp_path / "job/annotations.xml").write_text(document(images))
    with pytest.raises(
        SegnetError, match=r"right/a.jpg means the image .*a.jpg, of which .*left/a.jpg has labels"
    ):
        convert(tmp_path / "job", tmp_path / "new")
    done = convert(tmp_path / "job", tmp_path / "new", skip=True)
    assert counted(done)[2] == {"image labelled twice": 1}


def test_what_systems_leave_behind_is_no_job(tmp_path):
    photo(tmp_path / "job/a.jpg")
    (tmp_path / "job/annotations.xml").write_text(document(image(LEAF)))
    for name in (
        "._annotations.xml",
        ".ipynb_checkpoints/annotations-checkpoint.xml",
        "__MACOSX/annotations.xml",
    ):
        (tmp_path / "job" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "job" / name).write_text(document(image(LEAF)))
    assert convert(tmp_path / "job", tmp_path / "new").images == {"": 1}
