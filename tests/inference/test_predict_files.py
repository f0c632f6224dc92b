"""Many files: which images are meant, what the results are called, and what a bad file does."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet import SegnetError
from segnet.inference.predict_files import Page, find_images, pictures_of, predict_files
from segnet.inference.write_results import write_segmentation


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with images in it and below it, and much else; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.JPG",
        "a.png",
        "deep/er/c.webp",
        "deep/[x].png",
        ".hidden.png",
        ".trash/d.png",
        "notes.txt",
    ):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    (tmp_path / "photos" / "folder.png").mkdir()
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        (["photos"], ["a.png", "b.JPG", "deep/[x].png", "deep/er/c.webp"]),
        (["photos/"], ["a.png", "b.JPG", "deep/[x].png", "deep/er/c.webp"]),
        (["photos/deep"], ["deep/[x].png", "deep/er/c.webp"]),
        (["photos/*.png"], ["a.png"]),
        (["photos/**/*.png"], ["a.png", "deep/[x].png"]),
        (["photos/[ab].*"], ["a.png", "b.JPG"]),
        (["photos/b.JPG", "photos/a.png"], ["b.JPG", "a.png"]),
        (["photos/a.png", "photos"], ["a.png", "b.JPG", "deep/[x].png", "deep/er/c.webp"]),
        (["photos/deep/[x].png"], ["deep/[x].png"]),
        (["photos/notes.txt"], ["notes.txt"]),
        (["photos/.hidden.png"], [".hidden.png"]),
    ],
)
def test_files_folders_and_patterns_stand_for_images(photos, sources, found):
    assert find_images(sources) == [Path("photos") / name for name in found]


def test_absolute_paths_and_the_home_folder_work_too(photos, monkeypatch):
    assert find_images([str(photos / "*.png")]) == [photos / "a.png"]
    monkeypatch.setenv("HOME", str(photos))
    monkeypatch.setenv("USERPROFILE", str(photos))
    assert find_images(["~/a.png"]) == [photos / "a.png"]


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        (["photos", "photos/z.png"], r"no image photos/z\.png: no file or folder"),
        (
            ["photos/*.bmp"],
            r"no image photos/\*\.bmp: no file or folder of this name, and as a pattern it matches none",
        ),
        (["photos/deep/er/none"], "no image photos/deep/er/none"),
        (["photos/folder.png"], r"no image photos/folder\.png: the folder holds none"),
        (["~no-such-user/a.png"], "no image ~no-such-user/a"),
    ],
)
def test_a_source_that_stands_for_nothing_is_named(photos, sources, says):
    with pytest.raises(SegnetError, match=says):
        find_images(sources)


def test_outputs_of_a_first_run_are_never_images_of_a_second(photos):
    before = find_images(["photos"])
    for name in ("a.mask.png", "a.overlay.png", "a.uncertainty.png", "deep/c.mask.png"):
        (photos / name).write_bytes(b"")
    assert find_images(["photos"]) == before
    assert find_images(["photos/*.png"]) == [Path("photos/a.png")]
    outputs = [f"photos/a.{kind}.png" for kind in ("mask", "overlay", "uncertainty")]
    as_a_shell_expands = [*outputs, "photos/a.png"]
    assert find_images(as_a_shell_expands) == [Path("photos/a.png")]
    for name in ("a.mask.png", "a.uncertainty.png"):
        with pytest.raises(SegnetError, match=rf"photos/{name}: by their names .* outputs of segnet"):
            find_images([f"photos/{name}"])


def test_a_broken_link_is_found_so_that_it_is_reported(photos, brightest_channel):
    (photos / "deep" / "link.png").symlink_to("nowhere.png")
    found = find_images(["photos/deep"])
    assert Path("photos/deep/link.png") in found
    results = {
        picture.file.name: result for picture, result in predict_files(brightest_channel, pictures_of(found))
    }
    assert "link to nothing" in str(results["link.png"])


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["a.png", "b.jpg"], ["a", "b"]),
        (["a.png", "a.jpg", "deep/a.png"], ["a", "a-2", "a-3"]),
        (["a.png", "a.jpg", "a-2.png"], ["a", "a-2", "a-2-2"]),
        (["a.png", "A.png"], ["a", "A-2"]),
        (["photo.2024.01.png"], ["photo.2024.01"]),
        ([".hidden"], [".hidden"]),
    ],
)
def test_every_image_has_output_names_of_its_own_on_any_file_system(images, names):
    assert [each.name for each in pictures_of([Path(image) for image in images])] == names


def test_a_bad_file_is_given_as_its_error_and_the_others_are_segmented(brightest_channel, tmp_path):
    good = Image.new("RGB", (30, 20), (200, 0, 0))
    for name in ("1.png", "3.jpg"):
        good.save(tmp_path / name)
    (tmp_path / "2.jpg").write_bytes((tmp_path / "3.jpg").read_bytes()[:300])
    results = list(predict_files(brightest_channel, pictures_of(find_images([str(tmp_path)]))))
    assert [picture.name for picture, _ in results] == ["1", "2", "3"]
    assert isinstance(results[1][1], SegnetError)
    assert "2.jpg is damaged" in str(results[1][1])
    assert [results[index][1].areas()["red"] for index in (0, 2)] == [1, 1]


def test_the_mask_and_the_overlay_are_written_at_the_images_size(brightest_channel, tmp_path):
    result = brightest_channel.predict(np.full((20, 33, 3), (0, 0, 99), np.uint8))
    written = write_segmentation(result, tmp_path / "new" / "folder", "photo.1")
    assert [written["mask"].name, written["overlay"].name] == ["photo.1.mask.png", "photo.1.overlay.png"]
    with Image.open(written["mask"]) as mask, Image.open(written["overlay"]) as overlay:
        assert (mask.mode, overlay.mode) == ("P", "RGB")
        assert mask.size == overlay.size == (33, 20)
        assert np.array_equal(np.asarray(mask), np.full((20, 33), 2))


def test_a_prediction_by_samples_leaves_its_uncertainty_too_and_one_without_none(bayesian, tmp_path):
    image = np.random.RandomState(0).randint(0, 256, (20, 33, 3), dtype=np.uint8)
    sampled = bayesian.predict(image, samples=3)
    written = write_segmentation(sampled, tmp_path, "a")
    with Image.open(written["uncertainty_map"]) as picture:
        assert (picture.mode, picture.size) == ("P", (33, 20))
        assert np.array_equal(np.asarray(picture), np.asarray(sampled.uncertainty_image()))
    assert "uncertainty_map" not in write_segmentation(bayesian.predict(image), tmp_path, "b")
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.mask.png",
        "a.overlay.png",
        "a.uncertainty.png",
        "b.mask.png",
        "b.overlay.png",
    }


def test_every_image_is_sampled_from_the_seed_whatever_comes_before_it(bayesian, tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (20, 33, 3), dtype=np.uint8)
    images = [tmp_path / "1.png", tmp_path / "2.png"]
    for image in images:
        Image.fromarray(pixels).save(image)
    first, second = (result for _, result in predict_files(bayesian, pictures_of(images), samples=2, seed=3))
    assert np.array_equal(first.uncertainty, second.uncertainty)
    assert np.array_equal(first.uncertainty, bayesian.predict(pixels, samples=2, seed=3).uncertainty)


def test_samples_that_a_model_cannot_give_end_it_before_any_image_is_read(brightest_channel):
    with pytest.raises(SegnetError, match="has no dropout"):
        next(predict_files(brightest_channel, [Page(Path("no/such/image.png"), "image")], samples=2))


def test_a_place_that_cannot_be_written_to_is_named(brightest_channel, tmp_path):
    (tmp_path / "file").write_text("")
    result = brightest_channel.predict(Image.new("RGB", (8, 8)))
    with pytest.raises(SegnetError, match=r"can't write .*file/a\.mask\.png: a file stands where"):
        write_segmentation(result, tmp_path / "file", "a")


def test_images_of_a_folder_keep_the_folders_they_lie_in(photos):
    (photos / "a.png").rename(photos / "deep/er/a.png")
    found = find_images(["photos", "photos/b.JPG"])
    names = [each.name for each in pictures_of(found, ["photos", "photos/b.JPG"])]
    assert names == ["b", "deep/[x]", "deep/er/a", "deep/er/c"]


def test_each_page_of_a_file_is_segmented_under_its_number(brightest_channel, tmp_path):
    pages = [Image.new("RGB", (30, 20), colour) for colour in ((200, 0, 0), (0, 0, 200), (0, 200, 0))]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    found = list(predict_files(brightest_channel, pictures_of([tmp_path / "scan.tif"])))
    assert [(each.name, each.number) for each, _ in found] == [(f"scan.page{n}", n) for n in (1, 2, 3)]
    shares = [[result.areas()[name] for name in ("red", "blue", "background")] for _, result in found]
    assert shares == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert brightest_channel.predict(tmp_path / "scan.tif", page=2).areas()["blue"] == 1
    with pytest.raises(SegnetError, match=r"scan\.tif has no page 4, it has 3"):
        brightest_channel.predict(tmp_path / "scan.tif", page=4)


def test_what_is_not_asked_for_is_not_written_and_probabilities_are_those_of_the_result(
    brightest_channel, tmp_path
):
    result = brightest_channel.predict(np.full((20, 33, 3), (0, 0, 99), np.uint8))
    written = write_segmentation(result, tmp_path, "deep/a", overlay=False, probabilities=True)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert files == {"deep/a.mask.png", "deep/a.probabilities.npy"}
    stored = np.load(written["probabilities"])
    assert (stored.dtype, stored.shape) == (np.float16, (3, 20, 33))
    np.testing.assert_array_equal(stored, result.probabilities.astype(np.float16))
