"""The GIF of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segnet.base.errors import SegnetError
from segnet.report.gif import write_learning_gif

RED, GREEN = (201, 3, 5), (7, 202, 9)


def previews(folder: Path, count: int, size: tuple[int, int] = (1300, 400)) -> list[Path]:
    """Frames with the same noisy photo on the left, and a red bar that grows on green on the right."""
    photo = np.random.default_rng(0).integers(0, 256, (size[1], 400, 3), np.uint8)
    paths = []
    for number in range(1, count + 1):
        pixels = np.full((size[1], size[0], 3), GREEN, np.uint8)
        pixels[:, :400] = photo
        pixels[: size[1] * number // count, 600:900] = RED
        paths.append(folder / f"epoch_{number:03d}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def frames(path: Path) -> tuple[list[np.ndarray], list[int]]:
    pictures, durations = [], []
    with Image.open(path) as gif:
        for number in range(gif.n_frames):
            gif.seek(number)
            pictures.append(np.asarray(gif.convert("RGB")))
            durations.append(gif.info["duration"])
    return pictures, durations


def test_each_preview_is_a_frame_the_last_is_held_and_the_gif_loops(tmp_path):
    write_learning_gif(previews(tmp_path, 5), tmp_path / "learning.gif")
    pictures, durations = frames(tmp_path / "learning.gif")
    assert durations == [400, 400, 400, 400, 3000]
    assert pictures[0].shape == (369, 1200, 3)
    with Image.open(tmp_path / "learning.gif") as gif:
        assert gif.info["loop"] == 0, "for ever"


def test_narrow_previews_keep_their_size(tmp_path):
    write_learning_gif(previews(tmp_path, 2, (950, 90)), tmp_path / "learning.gif")
    assert frames(tmp_path / "learning.gif")[0][0].shape == (90, 950, 3)


def test_one_preview_makes_a_still_picture(tmp_path):
    write_learning_gif(previews(tmp_path, 1), tmp_path / "learning.gif")
    assert len(frames(tmp_path / "learning.gif")[0]) == 1


def test_too_many_previews_are_thinned_out_evenly_and_keep_the_first_and_the_last(tmp_path):
    write_learning_gif(previews(tmp_path, 21, (950, 210)), tmp_path / "learning.gif", max_frames=6)
    pictures, _ = frames(tmp_path / "learning.gif")
    heights = [int((picture[:, 750] == RED).all(axis=-1).sum()) for picture in pictures]
    assert heights == [10, 50, 90, 130, 170, 210]


def test_flat_colours_are_exact_and_still_parts_do_not_flicker(tmp_path):
    write_learning_gif(previews(tmp_path, 6, (950, 120)), tmp_path / "learning.gif")
    pictures, _ = frames(tmp_path / "learning.gif")
    for picture in pictures:
        assert {tuple(map(int, c)) for c in np.unique(picture[:, 500:].reshape(-1, 3), axis=0)} <= {
            RED,
            GREEN,
        }
        np.testing.assert_array_equal(picture[:, :400], pictures[0][:, :400])
    photo = np.asarray(Image.open(tmp_path / "epoch_001.png"))[:, :400].astype(float)
    assert np.abs(pictures[0][:, :400].mean(axis=(0, 1)) - photo.mean(axis=(0, 1))).max() < 3


def test_previews_of_another_size_are_fitted_to_the_last(tmp_path):
    paths = previews(tmp_path, 3, (950, 120))
    Image.new("RGB", (300, 300), RED).save(paths[0])
    write_learning_gif(paths, tmp_path / "learning.gif")
    assert {picture.shape for picture in frames(tmp_path / "learning.gif")[0]} == {(120, 950, 3)}


def test_the_same_previews_give_the_same_gif(tmp_path):
    paths = previews(tmp_path, 3, (950, 60))
    for name in ("a.gif", "b.gif"):
        write_learning_gif(paths, tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_a_damaged_preview_is_named_and_the_old_gif_stays(tmp_path):
    paths = previews(tmp_path, 3, (950, 60))
    target = tmp_path / "learning.gif"
    write_learning_gif(paths, target)
    before = target.read_bytes()
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    with pytest.raises(SegnetError, match=r"epoch_002\.png"):
        write_learning_gif(paths, target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(path.name for path in paths),
        "learning.gif",
    ]


def test_a_gif_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_learning_gif([], tmp_path / "learning.gif")
