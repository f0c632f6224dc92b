"""The GIF of a run: its previews one after the other, so that one sees the network learn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segnet.base.colours import pack, unpack
from segnet.base.errors import SegnetError
from segnet.base.files import replacing
from segnet.data.store.batches import evenly_spread
from segnet.report.panel import BACKGROUND


def write_learning_gif(
    frames: Sequence[Path],
    target: Path,
    *,
    max_frames: int = 60,
    width_px: int = 1200,
    frame_ms: int = 400,
    last_ms: int = 3000,
) -> None:
    """Write the previews as a looping GIF, whole or not at all.

    All frames share one palette in which flat colours are exact. What does not change from frame to frame
    is dithered once, so photos look smooth and nothing flickers.

    Args:
        frames: previews in order, at least one; all are fitted to the size of the last.
        target: the GIF.
        max_frames: 2 or more; a longer run is thinned out evenly, the first and the last stay.
        width_px: wider previews are made smaller.
        frame_ms: how long a frame shows.
        last_ms: how long the last one shows.

    Raises:
        SegnetError: a preview that can't be read, or no room for the GIF; names the file.
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("a GIF needs at least one frame")
    chosen = [frames[row] for row in evenly_spread(len(frames), max_frames)]
    last = read_preview(chosen[-1])
    size = (min(width_px, last.width), round(last.height * min(1.0, width_px / last.width)))
    typical = (chosen[0], chosen[len(chosen) // 2], chosen[-1])
    fitted = {path: _fit(read_preview(path), size) for path in dict.fromkeys(typical)}
    palette = _shared_palette([fitted[path] for path in typical])
    # the typical ones are at hand; all at once could be more than memory holds
    pictures = (fitted.get(path) or _fit(read_preview(path), size) for path in chosen)
    first, *rest = _indexed(pictures, palette)
    durations = [frame_ms] * len(rest) + [last_ms]
    with replacing(target) as temporary:
        first.save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=rest,
            duration=durations if rest else last_ms,
            loop=0,
            optimize=True,
        )


def read_preview(path: Path) -> Image.Image:
    """Return the picture of an epoch in RGB.

    Raises:
        SegnetError: one that can't be read; names the file.
    """
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise SegnetError(f"can't read the preview {path}: {error}; delete it and try again") from error


def _fit(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.pad(picture, size, Image.Resampling.LANCZOS, color=BACKGROUND)


def _shared_palette(pictures: Sequence[Image.Image]) -> Image.Image:
    """Build 255 colours: the flat ones as they are, the photos' by octree; one index stays free.

    An octree keeps the rare colours, a pink tongue say, that a median cut drops. Pillow uses the free index
    as "unchanged since the last frame", which keeps the file small.
    """
    pixels = np.concatenate([np.asarray(picture).reshape(-1, 3) for picture in pictures])
    packed = pack(pixels)
    values, counts = np.unique(packed, return_counts=True)
    frequent = values[np.argsort(-counts, kind="stable")[:64]]
    flat = frequent[np.isin(frequent, values[counts > len(packed) / 1000])]
    colours = np.array([unpack(number) for number in flat.tolist()], np.uint8).reshape(-1, 3)
    others = pixels[~np.isin(packed, flat)]
    if len(others):
        cut = Image.fromarray(others[None]).quantize(255 - len(colours), Image.Quantize.FASTOCTREE)
        colours = np.concatenate([colours, np.array(cut.getpalette(), np.uint8).reshape(-1, 3)])
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.tobytes())
    return palette


def _indexed(pictures: Iterable[Image.Image], palette: Image.Image) -> Iterator[Image.Image]:
    """Yield the frames in palette colours; pixels that equal the first frame's keep its dithered index."""
    frames = iter(pictures)
    first = next(frames)
    dithered = first.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    yield dithered
    for picture in frames:
        same = (np.asarray(picture) == np.asarray(first)).all(axis=-1)
        frame = picture.quantize(palette=palette, dither=Image.Dither.NONE)
        frame.paste(dithered, mask=Image.fromarray(same))
        yield frame
