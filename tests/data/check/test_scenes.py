"""Images of one scene are found across a split, and images that are only alike in kind are not."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from segnet.data.check.inspect_folder import inspect_folder
from segnet.data.check.scenes import counted_scenes, group_by_names, same_scenes, view_of
from segnet.data.synthetic import SyntheticSample


def crop(image, chosen):
    """Half to 85 % of an image, at another size, as a JPEG."""
    width, height = image.size
    part = chosen.uniform(0.5, 0.85)
    w, h = int(width * part), int(height * part)
    x, y = chosen.randint(0, width - w), chosen.randint(0, height - h)
    scale = chosen.uniform(0.7, 1.5)
    stream = io.BytesIO()
    small = image.crop((x, y, x + w, y + h)).resize(
        (int(w * scale), int(h * scale)), Image.Resampling.BICUBIC
    )
    small.save(stream, "JPEG", quality=chosen.randint(70, 95))
    return Image.open(stream).convert("RGB")


def eye(seed, side=300):
    """A retina as a camera shows it: a round, unevenly lit field, a bright disc, and vessels of its own."""
    chosen = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((5, 5, side - 5, side - 5), fill=(190 + int(chosen.integers(-20, 20)), 90, 40))
    x0, y0 = (80 if chosen.integers(2) else 220), 150 + int(chosen.integers(-10, 10))
    draw.ellipse((x0 - 18, y0 - 18, x0 + 18, y0 + 18), fill=(240, 200, 120))
    for _ in range(8):
        x, y, angle, width = float(x0), float(y0), chosen.uniform(0, 6.28), chosen.uniform(2, 4)
        for _ in range(60):
            to = x + 4 * np.cos(angle), y + 4 * np.sin(angle)
            if np.hypot(to[0] - 150, to[1] - 150) > 140:
                break
            draw.line((x, y, *to), fill=(120, 40, 25), width=max(1, int(width)))
            (x, y), angle, width = to, angle + chosen.normal(0, 0.15), width * 0.985
    lit = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    rows, columns = np.mgrid[:side, :side] - 150
    lit = lit * (1 - 0.4 * (rows**2 + columns**2) / 150**2)[..., None] + chosen.normal(0, 2, lit.shape)
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def found(images, sides=None):
    pairs = same_scenes([view_of(image) for image in images], sides or [-1] * len(images))
    return {tuple(sorted(pair)) for pair in pairs}


def pairs_of_crops(images):
    """Two crops of each image, one after the other, and which belong together."""
    chosen = random.Random(0)
    crops = [crop(image, chosen) for image in images for _ in range(2)]
    return crops, {(number, number + 1) for number in range(0, len(crops), 2)}


def test_two_crops_of_a_photograph_are_found_and_no_two_photographs(oxford_pets):
    files = sorted((oxford_pets / "images").glob("*.jpg"))
    photos = [Image.open(file).convert("RGB") for file in random.Random(5).sample(files, 120)]
    crops, belong = pairs_of_crops(photos[:60])
    shown = found(crops + photos[60:])
    assert len(shown & belong) >= 0.9 * len(belong)
    assert shown <= belong


def test_two_crops_of_a_drawing_are_found():
    crops, belong = pairs_of_crops([SyntheticSample(0, number).read()[0] for number in range(12)])
    shown = found(crops)
    assert len(shown & belong) >= 0.9 * len(belong)
    assert shown <= belong


def test_different_eyes_are_no_one_scene_although_all_look_alike():
    eyes = [eye(seed) for seed in range(24)]
    assert len(found(eyes)) <= 2
    again = eyes[3].resize((200, 200), Image.Resampling.BICUBIC)
    assert (3, 24) in found([*eyes, again])


def test_a_stamp_in_every_image_makes_no_scene(oxford_pets):
    files = sorted((oxford_pets / "images").glob("*.jpg"))
    stamped = []
    for file in random.Random(2).sample(files, 30):
        photo = Image.open(file).convert("RGB").resize((300, 300))
        draw = ImageDraw.Draw(photo)
        draw.rectangle((5, 5, 150, 40), fill="white")
        draw.text((10, 10), "camera 7, north side\n2026-11-30 08:15", fill="black")
        stamped.append(photo)
    assert found(stamped) == set()


def test_only_pairs_across_a_split_are_told_and_the_one_outside_training_second():
    image, *others = [SyntheticSample(0, number).read()[0] for number in range(11)]
    views = [view_of(each) for each in (image, image, *others, image)]
    assert [*same_scenes(views, [1, 0, *[0] * 10, 1])] in ([(1, 0), (1, 12)], [(1, 12), (1, 0)])
    assert [*same_scenes(views, [0] * 13)] == []


def test_flat_and_tiny_images_are_like_no_other():
    images = [Image.new("RGB", size, "grey") for size in ((300, 200), (16, 16), (1, 1), (5000, 20))]
    assert found(images) == set()


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a_scaled_0", "a_scaled_1", "b_scaled_0", "b_scaled_1", "c_scaled_0"], r"^(.+)[_-][0-9]+"),
        (
            ["a_0_jpg.rf.9c", "a_1_jpg.rf.03", "b_0_jpg.rf.a1", "b_1_jpg.rf.77", "c_0_jpg.rf.1d"],
            r"^(.+)[_-][0-9]+",
        ),
        (["wall1", "wall2", "door1", "door2", "roof1"], r"^(.*[^0-9])[0-9]+$"),
        (["wall/x", "wall/y", "door/x", "door/y", "roof/z"], r"^(.+)/"),
        (["one", "two", "three", "four", "five"], ""),
    ],
)
def test_names_tell_what_keeps_scenes_together(names, pattern):
    assert group_by_names(names, [(0, 1), (2, 3)]) == pattern


def test_names_of_crops_are_told_from_names_that_are_merely_numbered():
    crops = [f"wall{number}_scaled_{part}" for number in range(10) for part in range(3)]
    sides = [0, 1, 0] * 10
    assert counted_scenes(crops, sides) == {3 * number + 1: 3 * number for number in range(10)}
    breeds = [f"breed{number}_{counter}" for number in range(10) for counter in (3, 17, 90)]
    for numbered in (
        breeds,
        [f"IMG_{counter:04}" for counter in range(30)],
        [f"{k:02}_eye" for k in range(30)],
    ):
        assert counted_scenes(numbered, sides) == {}


@pytest.mark.parametrize("layout", [("",), ("train", "val")])
def test_check_says_the_option_that_keeps_scenes_on_one_side(tmp_path, layout):
    """Crops that overlap nowhere are known by their names alone."""
    for number in range(8):
        scene = SyntheticSample(0, number).read()[0].crop((0, 0, 120, 120))
        halves = (scene.crop((0, 0, 60, 120)), scene.crop((60, 0, 120, 120)))
        for part, half in enumerate(halves):
            folder = tmp_path / layout[part % len(layout)]
            for kind, image in (("images", half), ("masks", Image.new("L", half.size, part))):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                image.save(folder / kind / f"scene{number}_part_{part}.png")
    (tmp_path / "dataset.yaml").write_text("classes: [background, object]\n")
    told = [fault for fault in inspect_folder(tmp_path).faults if fault.kind == "one-name"]
    assert len(told) == 8
    assert all("segnet train --group-by '^(.+)[_-][0-9]+'" in fault.remedy for fault in told)
