"""Label Studio's JSON export: polygons and brushes, https://labelstud.io/guide/export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from segnet.core.foreground import BACKGROUND
from segnet.data.faults import Fault
from segnet.data.labels.shapes import Labelled, Labels, Shape, find_image, polygon, read_json

_UPLOAD_PREFIX = 9  # eight hexadecimal digits and a dash, which an upload puts before a file's name


def is_label_studio(content: Any) -> bool:
    """Whether a JSON file's content is of this format."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and "data" in task and "annotations" in task for task in content[:5])
    )


def read_label_studio(file: Path, folders: Sequence[Path]) -> Labels:
    """Read an export. Of several annotations of a task the last that wasn't cancelled counts.

    Classes are in the order of their names, later shapes lie on top.

    Raises:
        SegnetError: a file that isn't JSON.
    """
    labels = Labels("Label Studio", [])
    names: set[str] = set()
    for task in read_json(file):
        where = f"{file}: task {task.get('id')}"
        try:
            found = _image(task, [file.parent, file.parent / "images", *folders], where)
            done = [each for each in task["annotations"] if not each.get("was_cancelled")]
            results = done[-1]["result"] if done else []
        except Fault as fault:
            labels.faults.append(fault)
            continue
        except (KeyError, TypeError, AttributeError) as error:
            labels.faults.append(Fault("bad-label", where, f"is no task as its format says ({error!r})"))
            continue
        shapes, size = [], None
        for number, entry in enumerate(results, 1):
            try:
                shape, size = _shape(entry, f"{where}, result {number}")
                shapes.append(shape)
            except Fault as fault:
                labels.faults.append(fault)
        names |= {shape.label for shape in shapes}
        labels.images.append(Labelled(found, found.stem, where, "", size, shapes))
    labels.classes = [BACKGROUND, *sorted(names - {BACKGROUND})]
    return labels


def _named(task: dict[str, Any]) -> str:
    """Return the address of a task's image: its only one, or that of the key image."""
    data = task["data"]
    address = data.get("image") or next((value for value in data.values() if isinstance(value, str)), None)
    if address is None:
        raise KeyError("image")
    return str(address)


def _image(task: dict[str, Any], folders: Sequence[Path], where: str) -> Path:
    address = urlsplit(_named(task))
    local = parse_qs(address.query).get("d", [])  # /data/local-files/?d=folder/photo.jpg
    path = unquote(local[0] if local else address.path)
    last = PurePosixPath(path).name
    return find_image([path.lstrip("/"), last, last[_UPLOAD_PREFIX:]], folders, where)


def _shape(entry: Any, where: str) -> tuple[Shape, tuple[int, int]]:
    """Return a shape and the size of the image it was drawn on."""
    try:
        kind, value = str(entry["type"]), entry["value"]
        size = int(entry["original_width"]), int(entry["original_height"])
        if kind not in ("polygonlabels", "brushlabels", "rectanglelabels"):
            raise Fault("flat-label", where, f"is of the type {kind}, which is no shape of a class")
        (label,) = value[kind]
        if kind == "brushlabels":
            return Shape(str(label), bitmap=partial(decode_brush, value["rle"], size, where)), size
        if kind == "rectanglelabels":
            x, y, width, height = (float(value[key]) for key in ("x", "y", "width", "height"))
            if value.get("rotation"):
                raise Fault("bad-label", where, "is a rotated rectangle", "draw it as a polygon")
            points: Any = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        else:
            points = value["points"]
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("bad-label", where, f"is no result as its format says ({error!r})") from error
    outline = polygon(points, size, where, scale=(size[0] / 100, size[1] / 100))  # they are percent
    if not outline:
        raise Fault("flat-label", where, "has no area")
    return Shape(str(label), (outline,)), size


def decode_brush(stored: Any, size: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` that a brush has painted.

    The numbers are bytes of a stream of bits: 32 of how many values follow, 5 of the width of a value, four
    times 4 of the widths of run lengths; then runs, each led by a bit, whether one value is repeated, two
    that choose a width, and a length less one. The values are RGBA, row by row; what is painted is opaque.

    Raises:
        Fault: the stream is no brush of this image.
    """
    try:
        bits = np.unpackbits(np.array(stored, np.uint8)).tolist()
    except (TypeError, ValueError, OverflowError):
        raise Fault("bad-label", where, "has a brush that is no list of bytes") from None
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise Fault("bad-label", where, "has a brush that ends too early")
        value = 0
        for bit in bits[place : place + count]:
            value = value << 1 | bit
        place += count
        return value

    total, width = take(32), take(5) + 1
    if total != size[0] * size[1] * 4 or width > 8:
        raise Fault("bad-label", where, f"has a brush for another image than {size[0]}×{size[1]} pixels")
    widths = [take(4) + 1 for _ in range(4)]

    def runs() -> Iterator[npt.NDArray[np.uint8]]:
        done = 0
        while done < total:
            repeated = take(1)
            length = take(widths[take(2)]) + 1
            done += length
            if repeated:
                yield np.full(min(length, total), take(width), np.uint8)
            else:
                yield np.array([take(width) for _ in range(length)], np.uint8)

    values = np.concatenate([*runs(), np.zeros(0, np.uint8)])[:total]
    painted: npt.NDArray[np.bool_] = values.reshape(size[1], size[0], 4)[..., 3] > 0
    return painted
