"""GeoJSON in pixels, one file an image: as ``segnet predict`` writes it, and QuPath.

https://www.rfc-editor.org/rfc/rfc7946 and https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.images.headers import read_header
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.draw import fill
from segnet.data.labels.fields import Polygon, class_name, field_of, kind_of, list_of, polygon, require
from segnet.data.labels.finding import find_image
from segnet.data.labels.shapes import Labelled, Labels, Shape, outlined

_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
_NAMES = ("class", "label", "category", "class_name")  # of the property that names the class
_NO_PLACE = "feature without a place"

Part = list[Polygon]
"""An outline, and the holes in it."""


def is_geojson(content: Any) -> bool:
    """Whether a JSON file's content is of this format: a collection, a feature, or a list of features."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and (
        first.get("type") in ("FeatureCollection", "Feature") or isinstance(first.get("features"), list)
    )


def read_geojson(
    root: Path, files: Sequence[Path], folders: Sequence[Path], load: Callable[[Path], Any]
) -> Labels:
    """Read files whose coordinates are pixels; later features lie on top.

    A feature's class is its property ``class``, ``label`` or ``category``, or QuPath's classification. The
    image is the one that the file names as ``segnet predict`` does, or the one of the file's own name. A file
    without features says that its image is background. Classes are in the order of their names.

    Args:
        root: what the files lie below; their paths below it are those of the images.
        files: the files.
        folders: where images may be.
        load: returns a file's content.
    """
    labels = Labels("GeoJSON")
    for file, content in labels.read_files(files, load, images=True):
        features = _features(content)
        drawn = [each for each in features or () if not _is_nowhere(each)]
        labels.tally.no_shapes.update(_NO_PLACE for each in features or () if _is_nowhere(each))
        kept = file.relative_to(root).with_suffix("").as_posix()
        read = partial(_image, labels, content, drawn, file, kept, [file.parent, *folders])
        labels.read_image(read, str(file), map(_kind, drawn))
    labels.name_classes()
    return labels


def _features(content: Any) -> list[Any] | None:
    alone = [content] if isinstance(content, dict) and "geometry" in content else None
    found = content if isinstance(content, list) else content.get("features", alone)
    return found if isinstance(found, list) else None


def _is_nowhere(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("geometry", "") is None


def _kind(feature: Any) -> str:
    geometry = field_of(feature, "geometry")
    return kind_of(geometry.get("type")) if isinstance(geometry, dict) else "unknown"


def _image(
    labels: Labels, content: Any, drawn: Sequence[Any], file: Path, kept: str, folders: Sequence[Path]
) -> Labelled:
    require(_features(content) is not None, "has no list of features")
    in_pixels = not field_of(content, "crs")
    require(in_pixels, "holds coordinates of a map (crs)", "export it in pixels of the image, without a crs")
    about = field_of(content, "image")
    if isinstance(about, dict) and "file_name" in about:
        names = [about["file_name"]]
    else:  # its own name, below the same folders or alone
        stems = dict.fromkeys((kept, file.stem))
        suffixes = [*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)]
        names = [f"{stem}{suffix}" for stem in stems for suffix in suffixes]
    found = find_image(names, folders)
    size = read_header(found).size
    shapes = [
        labels.read_shape(feature, _kind(feature), f"{file}, feature {number}", size, _shape, _extent)
        for number, feature in enumerate(drawn, 1)
    ]
    return Labelled(found, kept, str(file), "", size, shapes)


def _shape(feature: Any, size: tuple[int, int]) -> Shape:
    kind = _kind(feature)
    require(kind not in _WITHOUT_AREA, f"is a {kind}, which has no area", kind="flat-label")
    label = _label(feature)
    require(label, "has no class", "give its properties a class")
    parts = [part for part in _parts(feature["geometry"], size) if part[0]]
    shape = outlined(label, (part[0] for part in parts))
    if all(len(part) == 1 for part in parts):
        return shape
    return replace(shape, bitmap=partial(_fill_parts, parts, size))


def _label(feature: Any) -> str:
    properties = feature.get("properties")
    classification = field_of(properties, "classification")
    named = classification.get("name") if isinstance(classification, dict) else classification
    found = next(filter(None, (class_name(field_of(properties, key)) for key in _NAMES)), class_name(named))
    return found or ": ".join(map(str, list_of(classification, "names")))


def _extent(feature: Any, size: tuple[int, int]) -> list[Polygon]:
    return [part[0] for part in _parts(feature["geometry"], size)]


def _parts(geometry: Any, size: tuple[int, int]) -> list[Part]:
    """Return the polygons of a geometry.

    Raises:
        Malformed: another kind of geometry, or coordinates that are no points.
    """
    kind = geometry["type"]
    if kind == "GeometryCollection":
        inside = [each for each in geometry["geometries"] if each["type"] not in _WITHOUT_AREA]
        return [part for each in inside for part in _parts(each, size)]
    require(kind in ("Polygon", "MultiPolygon"), f"has the unknown geometry {kind_of(kind)}")
    polygons = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    return [[polygon([point[:2] for point in ring], size) for ring in rings] for rings in polygons if rings]


def _fill_parts(parts: Sequence[Part], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` of polygons without those of their holes."""
    covered = np.zeros(size[::-1], np.bool_)
    for outline, *holes in parts:
        inside = fill([outline], size)
        if holes := [hole for hole in holes if hole]:
            inside &= ~fill(holes, size)
        covered |= inside
    return covered
