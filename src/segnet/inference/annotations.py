"""Predictions in the formats of annotation tools: COCO, LabelMe, Label Studio and GeoJSON.

So a first model labels the next thousand images, and people only correct them. The background is
what nobody outlines.
"""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from segnet import __version__
from segnet.base.class_roles import background_of
from segnet.base.classes import ClassTable
from segnet.base.colours import hex_code
from segnet.base.errors import refuse
from segnet.base.files import write_text
from segnet.inference.label_studio_tasks import configuration, task_of
from segnet.inference.predict_files import Page
from segnet.inference.regions import Polygon, Region, outline_all
from segnet.inference.segmentation import Segmentation

Format = Literal["coco", "labelme", "label-studio", "geojson"]

Outlined = Sequence[tuple[Region, Sequence[Polygon]]]

_OF_ALL = "annotations.json"
TASKS, CONFIGURATION = "tasks.json", "label_config.xml"
"""What Label Studio imports, and the labelling configuration that goes with it."""


@dataclass(frozen=True)
class Annotated:
    """What is said of one image."""

    file: Path
    """Where it stands, or will stand."""
    regions: list[Region]
    image: dict[str, Any] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    """COCO's entries, not yet numbered; ``image`` is Label Studio's task there."""


@dataclass
class AnnotationWriter:
    """Writes what is found in images, one after the other, as annotations.

    ``labelme`` and ``geojson`` have a file for each image, ``NAME.json`` and ``NAME.geojson``; ``coco`` has
    ``annotations.json`` for all of them, and ``label-studio`` has ``tasks.json`` and ``label_config.xml``,
    which ``finish`` writes.
    """

    format: Format
    folder: Path
    classes: ClassTable
    tolerance_px: float = 1.0
    least_px: int = 1
    _images: list[dict[str, Any]] = field(default_factory=list)
    _annotations: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        known, tolerance = get_args(Format), self.tolerance_px
        refuse(
            (self.format not in known, f"annotations are {', '.join(known)}, not {self.format!r}"),
            (not 0 <= tolerance < 1000, f"--tolerance must be from 0 to 1000 pixels, got {tolerance:g}"),
        )

    def describe(self, result: Segmentation, page: Page) -> Annotated:
        """Outline what was found in a page, and write it where it has a file of its own; in any thread."""
        image, name, size = page.file, page.name, result.image.size
        outlined = self._outlined(result)
        regions = [region for region, _ in outlined]
        if self.format == "coco":
            entry = {"file_name": image.as_posix(), "width": size[0], "height": size[1]}
            entry |= {} if page.number is None else {"page": page.number}  # its pages share the file's name
            annotations = [self._coco(region, polygons, size) for region, polygons in outlined]
            return Annotated(self.folder / _OF_ALL, regions, entry, annotations)
        if self.format == "label-studio":
            task = task_of(image.as_posix(), outlined, size, f"segnet {__version__}")
            return Annotated(self.folder / TASKS, regions, task)
        if self.format == "labelme":
            target = self.folder / f"{name}.json"
            content = self._labelme(outlined, image, size, target)
        else:
            target = self.folder / f"{name}.geojson"
            content = self._geojson(outlined, image, size)
        write_text(target, json.dumps(content))
        return Annotated(target, regions)

    def of_one(self, result: Segmentation, page: Page) -> dict[str, Any]:
        """Return what the file of this image alone would hold, in COCO or GeoJSON; nothing is written."""
        if self.format == "geojson":
            return self._geojson(self._outlined(result), page.file, result.image.size)
        assert self.format == "coco", "LabelMe's files name the image's place on the disk"
        self.keep(self.describe(result, page))
        return self._of_all()

    def _outlined(self, result: Segmentation) -> list[tuple[Region, list[Polygon]]]:
        regions = list(result.regions(least_px=self.least_px))
        outlines = outline_all(
            regions, result.image.size, tolerance_px=self.tolerance_px, larger_below=self.format == "coco"
        )
        return [*zip(regions, outlines, strict=True)]

    def keep(self, annotated: Annotated) -> None:
        """Number what ``describe`` gave, in the order in which it is called."""
        if self.format == "coco":
            number = len(self._images) + 1
            self._images.append({"id": number} | annotated.image)
            for entry in annotated.annotations:
                numbers = {"id": len(self._annotations) + 1, "image_id": number}
                self._annotations.append(numbers | entry)
        elif self.format == "label-studio":
            self._images.append(annotated.image)

    def finish(self) -> None:
        """Write the file of all images, where there is one."""
        if self.format == "coco":
            write_text(self.folder / _OF_ALL, json.dumps(self._of_all()))
        elif self.format == "label-studio":
            write_text(self.folder / TASKS, json.dumps(self._images))
            write_text(self.folder / CONFIGURATION, configuration(self.classes))

    def _of_all(self) -> dict[str, Any]:
        numbers = self._categories().items()
        return {
            "info": {"description": f"predicted by segnet {__version__}"},
            "images": self._images,
            "annotations": self._annotations,
            "categories": [{"id": number, "name": name, "supercategory": ""} for name, number in numbers],
        }

    def _categories(self) -> dict[str, int]:
        """Return COCO's number of each class, from 1: many tools take 0 for the background."""
        names = [name for name in self.classes.names if name != background_of(self.classes.names)]
        return {name: number for number, name in enumerate(names, 1)}

    def _coco(self, region: Region, polygons: Sequence[Polygon], size: tuple[int, int]) -> dict[str, Any]:
        left, top, right, bottom = region.box
        segmentation: Any = [[value for point in each.outline for value in point] for each in polygons]
        if any(each.holes for each in polygons):  # COCO's polygons have no holes, its run lengths do
            segmentation = {"size": [size[1], size[0]], "counts": _run_lengths(region, size)}
        return {
            "category_id": self._categories()[region.class_name],
            "segmentation": segmentation,
            "area": region.area_px,
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
        }

    def _labelme(
        self, outlined: Outlined, image: Path, size: tuple[int, int], target: Path
    ) -> dict[str, Any]:
        shapes = []
        for number, (region, polygons) in enumerate(outlined, 1):
            common = {"label": region.class_name, "group_id": number, "description": "", "flags": {}}
            if any(each.holes for each in polygons):  # LabelMe's polygons have no holes, its masks do
                left, top, right, bottom = region.box
                corners = [[left, top], [right - 1, bottom - 1]]  # the last pixel's, as LabelMe has it
                shapes.append(common | {"shape_type": "mask", "points": corners, "mask": _png(region)})
                continue
            for each in polygons:
                points = [list(point) for point in each.outline]
                shapes.append(common | {"shape_type": "polygon", "points": points, "mask": None})
        return {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": os.path.relpath(image.absolute(), target.parent.absolute()),
            "imageData": None,
            "imageHeight": size[1],
            "imageWidth": size[0],
        }

    def _geojson(self, outlined: Outlined, image: Path, size: tuple[int, int]) -> dict[str, Any]:
        features = []
        for region, polygons in outlined:
            parts = [
                [[[*point] for point in (*ring, ring[0])] for ring in (each.outline, *each.holes)]
                for each in polygons
            ]
            geometry = (
                {"type": "Polygon", "coordinates": parts[0]}
                if len(parts) == 1
                else {"type": "MultiPolygon", "coordinates": parts}
            )
            colour = hex_code(self.classes.colours[region.class_id])
            properties = region.to_dict() | {"color": colour}
            features.append({"type": "Feature", "geometry": geometry, "properties": properties})
        about = {"file_name": image.as_posix(), "width": size[0], "height": size[1]}
        return {"type": "FeatureCollection", "image": about, "features": features}


def _run_lengths(region: Region, size: tuple[int, int]) -> list[int]:
    """Return COCO's run lengths: down the columns, pixels outside and inside in turn, outside first."""
    whole = np.zeros(size, np.bool_)  # (W, H): its rows are the image's columns
    left, top, right, bottom = region.box
    whole[left:right, top:bottom] = region.shape.T
    flat = whole.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def _png(region: Region) -> str:
    stream = io.BytesIO()
    Image.fromarray(region.shape).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
