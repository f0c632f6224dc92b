"""Labels as JSON with every kind of shape of each format, of photos a.png to d.png of 60x40 pixels."""

import base64
import io
import itertools

import numpy as np
from PIL import Image

from .label_files import H, W

OUTLINE = [[5, 5], [30, 5], [30, 20], [5, 20]]
SQUARE = [[40, 30], [50, 30], [50, 38], [40, 38]]


def flat(points):
    return [float(value) for point in points for value in point]


def png(pixels):
    """A picture as base64."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def runs_of(mask):
    """COCO's run lengths, pixel by pixel down the columns."""
    counts, value = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def bits_of_brush(painted):
    """Label Studio's stream: every run of equal values spelled with the widest run length."""
    values = np.repeat(np.where(painted, 255, 0).astype(np.uint8).ravel(), 4)
    bits = f"{len(values):032b}" + f"{7:05b}" + "".join(f"{width:04b}" for width in (2, 7, 10, 15))
    starts = [0, *(np.flatnonzero(np.diff(values.astype(int))) + 1).tolist(), len(values)]
    for start, end in itertools.pairwise(starts):
        bits += "1" + "11" + f"{end - start - 1:016b}" + f"{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def percent(points):
    return [[x / W * 100, y / H * 100] for x, y in points]


BLOB = np.zeros((H, W), bool)
BLOB[2:9, 33:41] = True
BLOB[4:6, 35:37] = False

COCO = {
    "info": {"description": "x"},
    "images": [
        {"id": number, "file_name": f"{name}.png", "width": W, "height": H}
        for number, name in enumerate("abc", 1)
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [flat(OUTLINE), flat(SQUARE)], "iscrowd": 0},  # noqa: E501
        {"id": 2, "image_id": 1, "category_id": 9, "segmentation": {"size": [H, W], "counts": runs_of(BLOB)}},
        {"id": 3, "image_id": 1, "category_id": 9, "bbox": [52, 2, 6, 6]},
        {"id": 4, "image_id": 1, "caption": "a leaf"},
        {"id": 5, "image_id": 2, "category_id": 3, "segmentation": [flat(SQUARE)], "bbox": [40, 30, 10, 8],
         "iscrowd": 1, "area": 80},
        {"id": 6, "image_id": 2, "category_id": 9, "segmentation": [], "keypoints": [1, 2, 2], "bbox": [0, 0, 3, 3]},  # noqa: E501
    ],
    "categories": [{"id": 3, "name": "leaf"}, {"id": 9, "name": "stem"}],
}  # fmt: skip

LABELME = {
    "version": "5.5.0",
    "flags": {"checked": True},
    "shapes": [
        {"label": "leaf", "points": OUTLINE, "shape_type": "polygon", "group_id": None, "flags": {}},
        {"label": "stem", "points": [[32, 22], [44, 32]], "shape_type": "rectangle"},
        {"label": "leaf", "points": SQUARE, "shape_type": "rotation", "direction": 0.5, "difficult": False},
        {"label": "stem", "points": [[14, 29], [14, 36]], "shape_type": "circle"},
        {"label": "stem", "points": [[33, 2], [40, 8]], "shape_type": "mask", "mask": png(BLOB[2:9, 33:41])},
        {"label": "leaf", "points": [[1, 1], [50, 9]], "shape_type": "line"},
        {"label": "leaf", "points": [[1, 1]], "shape_type": "point"},
    ],
    "imagePath": "a.png",
    "imageData": None,
    "imageHeight": H,
    "imageWidth": W,
}


def feature(kind, coordinates, **properties):
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


HOLE = [[10, 10], [20, 10], [20, 15], [10, 15], [10, 10]]

GEOJSON = {
    "type": "FeatureCollection",
    "features": [
        feature("Polygon", [[*OUTLINE, OUTLINE[0]], HOLE], **{"class": "leaf"}),
        feature(
            "MultiPolygon", [[[*SQUARE, SQUARE[0]]], [[[52, 2], [58, 2], [58, 8], [52, 8]]]], label="stem"
        ),
        feature(
            "Polygon", [HOLE], classification={"name": "seed", "color": [1, 2, 3]}, objectType="annotation"
        ),
        feature("Point", [3, 3], **{"class": "leaf"}),
        {"type": "Feature", "geometry": None, "properties": {"class": "leaf"}},
    ],
}


def region(kind, value, name="leaf", **changes):
    common = {"id": f"{kind}-{name}", "original_width": W, "original_height": H, "image_rotation": 0}
    names = {kind: [name]} if kind.endswith("labels") else {}
    return {"type": kind, "to_name": "image", "from_name": "label", "value": value | names} | common | changes


BOX = {"x": 50, "y": 50, "width": 20, "height": 25, "rotation": 30}
ELLIPSE = {"x": 25, "y": 75, "radiusX": 20, "radiusY": 10, "rotation": 20}

LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/upload/3/1a2b3c4d-a.png"},
        "predictions": [{"result": [region("polygonlabels", {"points": percent(SQUARE)})]}],
        "annotations": [
            {"result": [region("polygonlabels", {"points": percent(SQUARE)})], "was_cancelled": True},
            {
                "result": [
                    region("polygonlabels", {"points": percent(OUTLINE), "closed": True}),
                    region("rectanglelabels", BOX, "stem"),
                    region("ellipselabels", ELLIPSE, "stem"),
                    region("brushlabels", {"format": "rle", "rle": bits_of_brush(BLOB)}),
                    region("polygon", {"points": percent(SQUARE)}, id="p"),
                    region("labels", {"points": percent(SQUARE), "labels": ["stem"]}, id="p"),
                    {"type": "choices", "value": {"choices": ["good"]}, "from_name": "c", "to_name": "image"},
                    {"type": "relation", "from_id": "p", "to_id": "q", "direction": "right"},
                    region("keypointlabels", {"x": 5, "y": 5, "width": 1}),
                ],
                "was_cancelled": False,
            },
        ],
    },
    {"id": 2, "data": {"image": "b.png"}, "annotations": [{"result": [], "was_cancelled": False}]},
    {"id": 3, "data": {"image": "c.png"}, "annotations": [{"result": [], "was_cancelled": True}]},
    {"id": 4, "data": {"image": "d.png"}, "annotations": [], "drafts": [{"result": []}]},
]
