"""What tests of label formats share: photos, the masks that were written, and shapes drawn without ours."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

W, H = 60, 40


def photo(file, size=(W, H), **options):
    """Save noise that differs from file to file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(sum(str(file).encode()))
    Image.fromarray(random.randint(0, 255, (size[1], size[0], 3), np.uint8)).save(file, **options)
    return file


def masks(folder):
    """The masks of a converted folder by their path."""
    return {
        file.relative_to(folder).as_posix(): np.asarray(Image.open(file))
        for file in sorted(Path(folder).rglob("masks/**/*.png"))
    }


def counted(done):
    """What became of shapes and images: read is drawn and left out together."""
    tally = done.tally
    assert tally.read.total() == tally.drawn.total() + tally.left_out.total()
    return dict(tally.drawn), dict(tally.left_out), dict(tally.images_left_out)


def box(left, top, right, bottom, size=(W, H)):
    """The pixels of a rectangle."""
    inside = np.zeros(size[::-1], bool)
    inside[top:bottom, left:right] = True
    return inside


def turned(xs, ys, centre, degrees):
    """Where points lie for a shape that is turned clockwise, as one sees it, about its centre."""
    angle, (x, y) = math.radians(-degrees), centre
    across, down = xs - x, ys - y
    return (
        x + math.cos(angle) * across - math.sin(angle) * down,
        y + math.sin(angle) * across + math.cos(angle) * down,
    )


def agree_away_from_edges(mask, depth):
    """Whether a mask covers what lies a pixel inside a shape, and nothing that lies a pixel outside.

    ``depth`` says of each pixel's centre how many pixels it lies inside, negative outside.
    """
    return bool(mask[depth > 1].all() and not mask[depth < -1].any())


def pixel_centres(size=(W, H)):
    """The centres of all pixels, as x and y."""
    return np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
