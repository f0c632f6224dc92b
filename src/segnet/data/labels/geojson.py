"""GeoJSON in pixels, one file an image: as ``segnet predict`` writes it, and QuPath.

https://www.rfc-editor.org/rfc/rfc7946 and https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segnet.data.faults import Fault
from segnet.data.images.headers import read_header
from segnet.data.images.suffixes import IMAGE_SUFFIXES
from segnet.data.labels.draw import fill
from segnet.data.labels.shapes import (
    Labelled,
    Labels,
    Polygon,
    Shape,
    class_name,
    files_of_images,
    find_image,
    kind_of,
    polygon,
    read_image,
    read_shape,
    with_background,
)

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


def read_geojson(root: Path, files: Sequence[Path], folders: Sequence[Path]) -> Labels:
    """Read files whose coordinates are pixels; later features lie on top.

    A feature's class is its property ``class``, ``label`` or ``category``, or QuPath's classification. The
    image is the one that the file names as ``segnet predict`` does, or the one of the file's own name. A file
    without features says that its image is background. Classes are in the order of their names.

    Args:
        root: what the files lie below; their paths below it are those of the images.
        files: the files.
        folders: where images may be.
    """
    labels = Labels("GeoJSON", [])
    for file, content in files_of_images(files, is_geojson, "is no GeoJSON", labels):
        features = _features(content)
        drawn = []
        for feature in features if isinstance(features, list) else []:
            if isinstance(feature, dict) and "geometry" in feature and feature["geometry"] is None:
                labels.no_shapes[_NO_PLACE] += 1
            else:
                drawn.append(feature)
        kept = file.relative_to(root).with_suffix("").as_posix()
        read = partial(_image, content, features, drawn, file, kept, [file.parent, *folders], labels.faults)
        labels.images.append(read_image(read, str(file), labels.faults, map(_kind, drawn)))
    names = {shape.label for image in labels.images for shape in image.shapes if shape.label}
    labels.classes = with_background(sorted(names))
    return labels


def _features(content: Any) -> Any:
    if isinstance(content, list):
        return content
    return content.get("features") if "features" in content else [content] if "geometry" in content else None


def _kind(feature: Any) -> str:
    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    return kind_of(geometry.get("type")) if isinstance(geometry, dict) else "unknown"


def _image(
    content: Any,
    features: Any,
    drawn: Sequence[Any],
    file: Path,
    kept: str,
    folders: Sequence[Path],
    faults: list[Fault],
) -> Labelled:
    where = str(file)
    if not isinstance(features, list):
        raise Fault("bad-label", where, "has no list of features")
    if isinstance(content, dict) and content.get("crs"):
        said = "holds coordinates of a map (crs)"
        raise Fault("bad-label", where, said, "export it in pixels of the image, without a crs")
    about = content.get("image") if isinstance(content, dict) else None
    if isinstance(about, dict) and "file_name" in about:
        names = [about["file_name"]]
    else:  # its own name, below the same folders or alone
        stems = dict.fromkeys((kept, file.stem))
        names = [f"{stem}{suffix}" for stem in stems for suffix in _suffixes()]
    found = find_image(names, folders, where)
    size = read_header(found).size
    shapes = []
    for number, feature in enumerate(drawn, 1):
        place = f"{where}, feature {number}"
        read = partial(_shape, feature, size, place)
        shapes.append(read_shape(read, _kind(feature), place, faults, _extent(feature, size, place)))
    return Labelled(found, kept, where, "", size, shapes)


def _suffixes() -> list[str]:
    return [*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)]


def _shape(feature: Any, size: tuple[int, int], where: str) -> Shape:
    kind = _kind(feature)
    if kind in _WITHOUT_AREA:
        raise Fault("flat-label", where, f"is a {kind}, which has no area")
    label = _label(feature)
    if not label:
        raise Fault("bad-label", where, "has no class", "give its properties a class")
    parts = [part for part in _parts(feature["geometry"], size, where) if part[0]]
    if not parts:
        raise Fault("flat-label", where, "has no area")
    outlines = tuple(part[0] for part in parts)
    if all(len(part) == 1 for part in parts):
        return Shape(label, outlines, kind=kind)
    return Shape(label, outlines, partial(_fill_parts, parts, size), kind=kind)


def _label(feature: Any) -> str:
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return ""
    found = next((name for key in _NAMES if (name := class_name(properties.get(key)))), "")
    classification = properties.get("classification")
    if found or not classification:
        return found
    if isinstance(classification, dict):
        names = classification.get("names")
        joined = ": ".join(map(str, names)) if isinstance(names, list) else ""
        return class_name(classification.get("name")) or joined
    return class_name(classification)


def _extent(feature: Any, size: tuple[int, int], where: str) -> list[Polygon]:
    try:
        return [part[0] for part in _parts(feature["geometry"], size, where)]
    except (Fault, KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
        return []


def _parts(geometry: Any, size: tuple[int, int], where: str) -> list[Part]:
    """Return the polygons of a geometry.

    Raises:
        Fault: another kind of geometry, or coordinates that are no points.
    """
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return [
            part
            for each in geometry["geometries"]
            if each["type"] not in _WITHOUT_AREA
            for part in _parts(each, size, where)
        ]
    if kind not in ("Polygon", "MultiPolygon"):
        raise Fault("bad-label", where, f"has the unknown geometry {kind_of(kind)}")
    stored = geometry["coordinates"]
    polygons = [stored] if kind == "Polygon" else stored
    return [
        [polygon([point[:2] for point in ring], size, where) for ring in rings] for rings in polygons if rings
    ]


def _fill_parts(parts: Sequence[Part], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the pixels ``(H, W)`` of polygons without those of their holes."""
    covered = np.zeros(size[::-1], np.bool_)
    for outline, *holes in parts:
        inside = fill([outline], size)
        if holes := [hole for hole in holes if hole]:
            inside &= ~fill(holes, size)
        covered |= inside
    return covered
